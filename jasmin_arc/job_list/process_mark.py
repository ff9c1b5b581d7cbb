"""Who is at work on something: a mark of this process that other processes can check."""

from __future__ import annotations

import os
import socket
from datetime import datetime, timedelta, timezone
from pathlib import Path

UNCHECKABLE_FOR = timedelta(hours=1)
"""For how long a process that cannot be looked up from here, as on another host, counts as alive"""


def owner_mark() -> str:
    """Return the mark of this process: host, boot, PID namespace, PID and start time."""
    pid = os.getpid()
    return " ".join([socket.gethostname() or "-", _boot(), _namespace(), str(pid), _start(pid) or "-"])


def owner_lives(mark: str, since: datetime) -> bool:
    """Say whether the process with this mark may still be at work.

    :param since: when it left the mark; decides where the process cannot be looked up
    """
    parts = mark.split(" ")
    if len(parts) != 5 or not parts[3].isdecimal():
        return False
    host, boot, namespace, pid, start = parts
    if host == (socket.gethostname() or "-") and boot != _boot():
        return False
    if (boot, namespace) != (_boot(), _namespace()) or host != (socket.gethostname() or "-"):
        return datetime.now(timezone.utc) - since < UNCHECKABLE_FOR
    return _lives(int(pid), start)


def _lives(pid: int, start: str) -> bool:
    if start != "-":
        return _start(pid) == start
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _start(pid: int) -> str | None:
    """The start time in clock ticks since boot; ``None`` for no such process, a zombie, or a system without /proc."""
    try:
        # The program's name, in parentheses, may itself hold spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZXx" else fields[19]


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() or "-"
    except OSError:
        return "-"


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "-"
