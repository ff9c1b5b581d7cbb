"""Where things lie under ``LOCAL_DIR``, and the ids of its jobs: ``local://HOST/PATH-OF-LOCAL_DIR/KEY``.

.. code-block:: text

    jobs.sqlite             the record of all jobs
    runner/HOST.lock        held by the runner of that host
    runner/HOST.wake        a named pipe: a byte wakes the runner
    runner/HOST.log         what the runner says
    jobs/KEY/session/       the job's session folder
    jobs/KEY/claim          made once, by the job's supervisor, which holds a lock on it as long as it lives
    jobs/KEY/exit           how the job ended; the session folder is still being cleaned
    jobs/KEY/done           the same, cleaned
    jobs/KEY/fetching.PID   what a process has so far of a URL input
    jobs/KEY/fetched        how fetching the URL inputs ended
"""

from __future__ import annotations

import contextlib
import os
from functools import cached_property


class Layout:
    """One ``LOCAL_DIR``, which several hosts may share, as one host uses it.

    :param root: its path, without symbolic links
    """

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
        for folder in (self.root, self.jobs, self.runner):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self.wake, 0o600)

    def job(self, key: str, *name: str) -> str:
        """The path of a job's folder, or of a file in it."""
        return os.path.join(self.jobs, key, *name)

    def session(self, key: str) -> str:
        """The path of a job's session folder."""
        return self.job(key, "session")

    @cached_property
    def _quoted(self) -> str:
        # Not at the top: the runner needs no ids, and somebody waits for its start.
        from urllib.parse import quote

        return quote(os.fsencode(self.root)).rstrip("/")

    @property
    def endpoint(self) -> str:
        """The first part of the ids of this host's jobs."""
        return f"local://{self.host}{self._quoted}"

    def id(self, key: str, host: str | None = None) -> str:
        """The id of a job of this host, or of another one."""
        return f"local://{host or self.host}{self._quoted}/{key}"

    def key(self, job_id: str) -> str:
        """The key of a job of this host; empty if the id is that of another place."""
        host, key = self.split(job_id) or ("", "")
        return key if host == self.host else ""

    def split(self, job_id: str) -> tuple[str, str] | None:
        """The host and the key of a job in this ``LOCAL_DIR``; ``None`` if the id is that of another place."""
        start, _, key = job_id.rpartition("/")
        host = start.removeprefix("local://").removesuffix(self._quoted)
        is_known = host and key and "/" not in host and job_id == self.id(key, host)
        return (host, key) if is_known else None
