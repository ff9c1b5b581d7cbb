"""Where things lie under ``LOCAL_DIR``, and the file operations that must be all or nothing.

.. code-block:: text

    jobs.sqlite             the record of all jobs
    runner/HOST.lock        held by the runner of that host
    runner/HOST.wake        a named pipe: a byte wakes the runner
    runner/HOST.log         what the runner says
    jobs/KEY/session/       the job's session folder
    jobs/KEY/claim          made once, by the job's supervisor, which holds a lock on it as long as it lives
    jobs/KEY/exit           how the job ended; the session folder is still being tidied
    jobs/KEY/done           the same, tidied
    jobs/KEY/fetched        how fetching the URL inputs ended
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import Any


class Layout:
    """The paths of one ``LOCAL_DIR``, as one host uses it."""

    def __init__(self, root: str, host: str) -> None:
        self.root = root
        self.host = host
        self.database = os.path.join(root, "jobs.sqlite")
        self.jobs = os.path.join(root, "jobs")
        self.runner = os.path.join(root, "runner")
        self.lock = os.path.join(self.runner, f"{host}.lock")
        self.wake = os.path.join(self.runner, f"{host}.wake")
        self.log = os.path.join(self.runner, f"{host}.log")

    def make(self) -> None:
        """Create the folders and the pipe, for their owner alone."""
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        for folder in (self.jobs, self.runner):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self.wake, 0o600)

    def job(self, key: str, name: str = "") -> str:
        """The path of a job's folder, or of a file in it."""
        return os.path.join(self.jobs, key, name) if name else os.path.join(self.jobs, key)

    def fetching(self, key: str, pid: int) -> str:
        """The path of what a process has so far of an input that it fetches for a job."""
        return self.job(key, f"fetching.{pid}")

    def session(self, key: str) -> str:
        """The path of a job's session folder."""
        return self.job(key, "session")

    def job_id(self, key: str) -> str:
        """The id of a job of this host."""
        return job_id(self.host, key)


def job_id(host: str, key: str) -> str:
    """The id of a job."""
    return f"local://{host}/{key}"


def split_job_id(text: str) -> tuple[str, str] | None:
    """The host and the key of a job id; ``None`` if it is not one of ours."""
    scheme, separator, rest = text.partition("://")
    host, slash, key = rest.partition("/")
    return (host, key) if scheme == "local" and separator and slash and host and key else None


def this_host() -> str:
    """The name of this machine."""
    return os.uname().nodename.replace("/", "_") or "localhost"


def boot_id() -> str:
    """What is different after each start of this machine; empty where the system does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def write_json(path: str, value: Any) -> None:
    """Write a small file whole or not at all."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="ascii", opener=private) as file:
        json.dump(value, file)
    os.replace(temporary, path)


def read_json(path: str) -> Any:
    """Read what :func:`write_json` wrote; ``None`` if it is not there."""
    try:
        with open(path, encoding="ascii") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def private(path: str, flags: int) -> int:
    """An opener for files that their owner alone may read."""
    return os.open(path, flags, 0o600)


def lock(path: str) -> int | None:
    """Lock a file, which is made if need be.

    :returns: the descriptor that holds the lock until it is closed; ``None`` if another process holds one
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, (BlockingIOError, PermissionError)):
            return None
        raise
    return descriptor


def is_locked(path: str) -> bool:
    """Say whether another process holds a lock on a file; a file that is not there is not locked."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def remove(*paths: str) -> None:
    """Remove files that may be gone already."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
