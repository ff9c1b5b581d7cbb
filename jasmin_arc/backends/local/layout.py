"""Where things lie under ``LOCAL_DIR``.

.. code-block:: text

    jobs.sqlite             the record of all jobs
    runner/HOST.lock        held by the runner of that host
    runner/HOST.wake        a named pipe: a byte wakes the runner
    runner/HOST.log         what the runner says
    jobs/KEY/session/       the job's session folder
    jobs/KEY/claim          made once, by the job's supervisor, which holds a lock on it as long as it lives
    jobs/KEY/exit           how the job ended; the session folder is still being cleaned
    jobs/KEY/done           the same, cleaned
    jobs/KEY/fetched        how fetching the URL inputs ended
"""

from __future__ import annotations

import contextlib
import os


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

    def job(self, key: str, *name: str) -> str:
        """The path of a job's folder, or of a file in it."""
        return os.path.join(self.jobs, key, *name)

    def fetching(self, key: str, pid: int) -> str:
        """The path of what a process has so far of an input that it fetches for a job."""
        return self.job(key, f"fetching.{pid}")

    def session(self, key: str) -> str:
        """The path of a job's session folder."""
        return self.job(key, "session")
