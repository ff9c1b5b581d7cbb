"""The small file, one for each site, in which its limits are kept for a day.

It is a convenience: where it cannot be read, written or trusted, it is as if there were none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from jasmin_arc._support.text import printable
from jasmin_arc.site_info import QueueInfo, SiteInfo

MAX_AGE = 86400.0
"""Seconds after which limits count as unknown"""
_MAX_SIZE = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TIMES = ("max_wall_time", "max_cpu_time")
_NUMBERS = ("max_slots", "max_memory", "total_slots")
"""What is kept of a queue: not what changes with every job"""


def path_of(endpoint: str) -> Path:
    """Return where the file of a site is.

    :raises RuntimeError: if the home directory is not known
    """
    folder = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(folder) if folder.startswith("/") else Path.home() / ".cache"
    return cache / "jasmin_arc" / f"site-{hashlib.sha256(endpoint.encode()).hexdigest()[:16]}.json"


def read(endpoint: str) -> tuple[float, SiteInfo] | None:
    """Return what was kept of a site, and when it was found; ``None`` if there is nothing to rely on."""
    try:
        kept = json.loads(_content(path_of(endpoint)))
        site = SiteInfo(
            endpoint, queues=tuple(map(_queue, kept["queues"])), default_queue=printable(kept["default_queue"])
        )
        found = float(kept["time"])
        known = kept["endpoint"] == endpoint and 0 <= time.time() - found < MAX_AGE
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
        return None
    return (found, site) if known else None


def write(found: float, site: SiteInfo) -> None:
    """Keep the limits of a site, which were found at this time, for this user alone; if that fails, nothing is kept."""
    queues = [_plain(queue) for queue in site.queues]
    text = json.dumps({"endpoint": site.endpoint, "time": found, "default_queue": site.default_queue, "queues": queues})
    with contextlib.suppress(OSError, RuntimeError):
        path = path_of(site.endpoint)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            Path(part).replace(path)
        except OSError:
            Path(part).unlink()


def _content(path: Path) -> str:
    with os.fdopen(os.open(path, _FLAGS), "rb") as file:
        told = os.fstat(file.fileno())
        if not stat.S_ISREG(told.st_mode) or told.st_uid != os.getuid() or told.st_mode & 0o022:
            raise ValueError("not a file of this user alone")
        return file.read(_MAX_SIZE).decode("utf-8")


def _plain(queue: QueueInfo) -> dict[str, Any]:
    values = {name: getattr(queue, name) for name in (*_TIMES, *_NUMBERS)}
    times = {name: value.total_seconds() for name in _TIMES if (value := values[name]) is not None}
    numbers = {name: values[name] for name in _NUMBERS if values[name] is not None}
    return {"name": queue.name, **times, **numbers}


def _queue(kept: dict[str, Any]) -> QueueInfo:
    limits: dict[str, Any] = {name: timedelta(seconds=kept[name]) for name in _TIMES if name in kept}
    limits.update({name: int(kept[name]) for name in _NUMBERS if name in kept})
    return QueueInfo(printable(kept["name"]), **limits)
