"""What the tests of the local backend share: a backend of their own, waiting, and looking at processes."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jasmin_arc._support.machine import host_name
from jasmin_arc.backends.base import Services
from jasmin_arc.backends.local.backend import LocalBackend
from jasmin_arc.backends.local.layout import Layout
from jasmin_arc.backends.posix.files import is_locked
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.constants import JobState
from jasmin_arc.credentials import Credentials
from jasmin_arc.description import JobDescription
from jasmin_arc.job_info import JobInfo
from jasmin_arc.job_list import JobList

LIMIT = 60.0


def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Wait until a condition holds, and return what it returned."""
    deadline = time.monotonic() + LIMIT
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"waited in vain {what}"
        time.sleep(0.01)


def shell(script: str, **options: Any) -> JobDescription:
    return JobDescription(executable="/bin/sh", arguments=["-c", script], **{"outputs": ["output"], **options})


def alive(pid: int) -> bool:
    """Say whether a process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def no_credentials() -> Credentials:
    raise AssertionError("the local backend needs no credentials")


class Kit:
    """A local backend with a folder of its own."""

    def __init__(self, folder: Path, *, slots: int = 2) -> None:
        self.folder = folder
        self.config = ConnectionConfig({"LOCAL_DIR": str(folder / "state"), "LOCAL_SLOTS": slots})
        self.job_list = JobList(folder / "jobs.dat")
        self.backend = LocalBackend(
            self.config, Services(self.job_list, no_credentials, logging.getLogger("local_kit"))
        )
        self.layout = Layout(self.config.LOCAL_DIR, host_name())

    def submit(self, *jobs: JobDescription) -> list[str]:
        results = self.backend.submit(jobs)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return [str(result) for result in results]

    def one(self, script: str, **options: Any) -> str:
        return self.submit(shell(script, **options))[0]

    def info(self, job_id: str) -> JobInfo:
        return self.backend.query([job_id])[job_id]

    def ended(self, *job_ids: str) -> list[JobInfo]:
        def states() -> bool:
            found = self.backend.states(job_ids)
            assert set(found) == set(job_ids)
            return all(isinstance(state, JobState) and state.final for state in found.values())

        until(states, f"for {job_ids} to end")
        infos = self.backend.query(job_ids)
        return [infos[job_id] for job_id in job_ids]

    def run(self, script: str, **options: Any) -> JobInfo:
        return self.ended(self.one(script, **options))[0]

    def read(self, job_id: str, name: str = "stdout") -> bytes:
        with self.backend.open(job_id, name) as stream:
            return stream.read()

    def files(self, job_id: str, path: str = "") -> list[str]:
        names = []
        for entry in self.backend.list_files(job_id, path):
            names.append(entry.name)
            if entry.is_dir:
                names += self.files(job_id, entry.name)
        return names

    def written(self, job_id: str, name: str) -> bytes:
        """Wait until a running job has written a file, and return its content."""

        def content() -> bytes:
            try:
                return self.read(job_id, name)
            except LookupError:
                return b""

        return bytes(until(content, f"for {name}"))

    def running(self, job_id: str) -> None:
        until(lambda: self.info(job_id).native_state == "RUNNING", f"for {job_id} to run")

    def claim(self, job_id: str) -> Path:
        return Path(self.layout.job(job_id.rpartition("/")[2], "claim"))

    def supervisor(self, job_id: str) -> int:
        """The process that watches a running job."""
        return int(until(lambda: self.claim(job_id).exists() and self.claim(job_id).read_text()))

    def runners(self) -> list[int]:
        """The runners of this kit's folder; supervisors, which are forks of them, left out."""
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            if b"run" in words and os.fsencode(self.layout.root) in words and b"/bin/sh" not in words:
                found[int(entry.name)] = parent
        supervisors = {_number_in(path) for path in Path(self.layout.jobs).glob("*/claim")}
        return [pid for pid, parent in found.items() if parent not in found and pid not in supervisors and alive(pid)]

    def kill_runner(self) -> None:
        """Kill the runner, which must be there, without a word of warning."""
        (runner,) = until(self.runners, "for a runner")
        os.kill(runner, signal.SIGKILL)
        until(lambda: not alive(runner))

    def no_runner(self) -> bool:
        return not is_locked(self.layout.lock)

    def close(self) -> None:
        """End and erase all jobs that the test left."""
        ids = self.backend.list_jobs()
        self.backend.cancel(ids)
        mine = [job_id for job_id in ids if job_id.startswith(self.backend.endpoint + "/")]
        if mine:
            self.ended(*mine)
            self.backend.clean(mine)


def _number_in(path: Path) -> int:
    try:
        return int(path.read_text() or 0)
    except FileNotFoundError:
        return 0
