"""The small file, one for each site, in which its limits are kept for a day.

It is a convenience: where it cannot be read, written or trusted, it is as if there were none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from jasmin_arc._support.text import printable
from jasmin_arc._support.whole_file import write_whole
from jasmin_arc.site_info import QosInfo, QueueInfo, SiteInfo

MAX_AGE = 86400.0
"""Seconds after which limits count as unknown"""
_MAX_SIZE = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TIMES = ("max_wall_time", "max_cpu_time")
_NUMBERS = ("max_slots", "max_memory", "total_slots", "max_jobs")
_TRUTHS = ("overrides_wall_time",)
_NAMES = ("accounts", "qos")
"""What is kept of queues and qualities of service: not what changes with every job"""
_DEFAULTS = ("default_queue", "default_account", "default_qos")
_Limits = TypeVar("_Limits", QueueInfo, QosInfo)


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
        defaults: dict[str, Any] = {name: printable(kept[name]) for name in _DEFAULTS}
        site = SiteInfo(
            endpoint,
            queues=tuple(_limits(QueueInfo, entry) for entry in kept["queues"]),
            qos=tuple(_limits(QosInfo, entry) for entry in kept["qos"]),
            accounts=_texts(kept["accounts"]),
            **defaults,
        )
        found = float(kept["time"])
        known = kept["endpoint"] == endpoint and 0 <= time.time() - found < MAX_AGE
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
        return None
    return (found, site) if known else None


def write(found: float, site: SiteInfo) -> None:
    """Keep the limits of a site, which were found at this time, for this user alone; if that fails, nothing is kept."""
    kept = {name: getattr(site, name) for name in ("endpoint", "accounts", *_DEFAULTS)}
    kept.update(time=found, queues=list(map(_plain, site.queues)), qos=list(map(_plain, site.qos)))
    text = json.dumps(kept)
    with contextlib.suppress(OSError, RuntimeError):
        path = path_of(site.endpoint)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, text.encode(), prefix=f".{path.name}-")


def _content(path: Path) -> str:
    with os.fdopen(os.open(path, _FLAGS), "rb") as file:
        told = os.fstat(file.fileno())
        if not stat.S_ISREG(told.st_mode) or told.st_uid != os.getuid() or told.st_mode & 0o022:
            raise ValueError("not a file of this user alone")
        return file.read(_MAX_SIZE).decode("utf-8")


def _plain(limits: QueueInfo | QosInfo) -> dict[str, Any]:
    values = {name: getattr(limits, name, None) for name in (*_TIMES, *_NUMBERS, *_TRUTHS, *_NAMES)}
    known = {name: value for name, value in values.items() if value is not None}
    plain = {name: value.total_seconds() if name in _TIMES else value for name, value in known.items()}
    return {"name": limits.name, **plain}


def _limits(kind: type[_Limits], kept: dict[str, Any]) -> _Limits:
    limits: dict[str, Any] = {name: timedelta(seconds=kept[name]) for name in _TIMES if name in kept}
    limits.update({name: int(kept[name]) for name in _NUMBERS if name in kept})
    limits.update({name: bool(kept[name]) for name in _TRUTHS if name in kept})
    limits.update({name: _texts(kept[name]) for name in _NAMES if name in kept})
    return kind(printable(kept["name"]), **limits)


def _texts(kept: list[str]) -> tuple[str, ...]:
    return tuple(map(printable, kept))
