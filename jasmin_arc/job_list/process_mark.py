"""Which process is submitting a job: a mark that other processes can check."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

from jasmin_arc._support.machine import boot_id, host_name

UNCHECKABLE_FOR = timedelta(hours=1)
"""For how long a process that cannot be looked up from here, as on another host, counts as alive"""


def owner_mark() -> str:
    """Return the mark of this process: host, boot, PID namespace, PID and start time."""
    pid = os.getpid()
    return " ".join([host_name(), boot_id() or "-", _namespace(), str(pid), _start(pid) or "-"])


def owner_lives(mark: str, since: datetime) -> bool:
    """Whether the process that left this mark then may still be at work."""
    parts = mark.split(" ")
    if len(parts) != 5 or not parts[3].isdecimal():
        return False
    host, boot, namespace, pid, start = parts
    if host == host_name() and boot != (boot_id() or "-"):
        return False
    if (host, namespace) != (host_name(), _namespace()):
        return datetime.now(timezone.utc) - since < UNCHECKABLE_FOR
    if start != "-":
        return _start(int(pid)) == start
    try:
        os.kill(int(pid), 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def _start(pid: int) -> str | None:
    """The start time in clock ticks since boot; ``None`` for no such process, a zombie, or a system without /proc."""
    try:
        # The program's name, in parentheses, may itself hold spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZXx" else fields[19]


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "-"
