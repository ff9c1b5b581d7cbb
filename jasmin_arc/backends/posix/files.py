"""Small files that are private, whole or absent, and locked by one process."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import Any


def private(path: str, flags: int) -> int:
    """An opener for files that their owner alone may read."""
    return os.open(path, flags, 0o600)


def write_json(path: str, value: Any) -> None:
    """Write a small file whole or not at all."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="ascii", opener=private) as file:
        json.dump(value, file)
    os.replace(temporary, path)


def read_json(path: str) -> Any:
    """Read what :func:`write_json` wrote; ``None`` if it is not there, or was cut short when the machine went down."""
    try:
        with open(path, encoding="ascii") as file:
            return json.load(file)
    except (FileNotFoundError, ValueError):
        return None


def lock(path: str, flags: int = os.O_RDWR | os.O_CREAT) -> int | None:
    """Lock a file, made if need be, until the descriptor is closed; ``None`` if another process holds a lock."""
    descriptor = private(path, flags)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, (BlockingIOError, PermissionError)):
            return None
        raise
    return descriptor


def is_locked(path: str) -> bool:
    """Whether another process holds a lock on a file; a file that is not there is not locked."""
    try:
        descriptor = lock(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def remove(*paths: str) -> None:
    """Remove files that may be gone already."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
