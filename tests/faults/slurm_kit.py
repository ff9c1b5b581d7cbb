"""What the tests of faults of Slurm share: what Slurm has of one SLURM_DIR, and what must hold after faults."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jasmin_arc import ArcInterface, JobDescription

_GRID = Path(__file__).resolve().parents[1] / "grid" / "grid.sh"
_FIELDS = "JobArrayID:|,State:|,Reason:|,Comment:|,WorkDir:"


@dataclass
class Place:
    """A SLURM_DIR that one test has to itself, and a file that its jobs write their names into."""

    grid: Path
    options: dict[str, Any]

    @property
    def folder(self) -> Path:
        return Path(self.options["SLURM_DIR"])

    @property
    def shared(self) -> Path:
        return Path(f"{self.folder}.ran")

    def slurm(self, *command: str) -> str:
        done = subprocess.run(
            [self.grid / "bin" / command[0], *command[1:]], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def rows(self) -> list[list[str]]:
        """Slurm's number, state, reason and comment of each of its jobs that Slurm knows."""
        lines = (line.split("|") for line in self.slurm("squeue", "-h", "-r", "-t", "all", "-O", _FIELDS).splitlines())
        return [[word.strip() for word in words[:4]] for words in lines if str(self.folder) in words[-1]]

    def folders(self) -> set[str]:
        """The folders of jobs, as BATCH/TOKEN."""
        return {f"{job.parent.name}/{job.name}" for job in self.folder.glob("????????-??????-????????/" + 14 * "?")}

    def ran(self) -> Counter[str]:
        return Counter(self.shared.read_text().splitlines())

    def job(self, name: str, *, seconds: float = 0, **fields: Any) -> JobDescription:
        """A job that writes its name into the file."""
        script = f'echo "$0" >>"$1"; sleep {seconds}'
        arguments = ["-c", script, name, str(self.shared)]
        return JobDescription(
            **{"executable": "/bin/sh", "arguments": arguments, "name": name, "outputs": [], **fields}
        )

    def make(self) -> None:
        self.shared.touch()
        self.shared.chmod(0o666)

    def wipe(self) -> None:
        numbers = sorted({row[0].partition("_")[0] for row in self.rows()})
        if numbers:
            self.slurm("scancel", *numbers)
        deadline = time.monotonic() + 20
        while self.folder.exists() and time.monotonic() < deadline:
            # Jobs that are just told to end still write.
            shutil.rmtree(self.folder, ignore_errors=True)
            time.sleep(0.1)
        self.shared.unlink(missing_ok=True)


def make_place(grid: Path, options: dict[str, Any], prefix: str) -> Place:
    own = {name: value for name, value in options.items() if name != "JOBS_INFO_FILE"}
    place = Place(grid, {**own, "SLURM_DIR": f"{grid}/work/{prefix}-{os.urandom(4).hex()}"})
    place.make()
    return place


def settle(arc: ArcInterface, *, limit: float = 90) -> None:
    """Recover until nothing is left to settle."""
    deadline = time.monotonic() + limit
    while arc.recover() or arc.job_list.unfinished(arc.backend.endpoint):
        assert time.monotonic() < deadline, arc.job_list.unfinished(arc.backend.endpoint)
        time.sleep(0.5)


def assert_settled(arc: ArcInterface, place: Place, names: Sequence[str] = ()) -> list[str]:
    """Check that each job in the list runs once and each other one never, and return the ids of those in the list.

    :param names: the names of jobs that must be in the list
    """
    ids = arc.job_list.ids(arc.backend.endpoint)
    listed = {record.name: job_id for job_id, record in arc.job_list.get(ids).items()}
    assert set(names) <= set(listed), f"lost: {set(names) - set(listed)}"
    assert len(listed) == len(ids)
    if ids:
        arc.wait(ids, timeout=200)
    held = [row for row in place.rows() if row[1] == "PENDING"]
    assert held == []
    # A job that must not run would have been able to start by now.
    time.sleep(2)
    assert place.ran() == Counter(dict.fromkeys(listed, 1))
    batch_and_token = {"/".join(job_id.split("/")[-2:]) for job_id in ids}
    assert place.folders() == batch_and_token
    left = {path.name for path in place.folder.iterdir()} - {job.partition("/")[0] for job in batch_and_token}
    # Where a submission never arrived, a mark stays for some time, so that it cannot arrive any more.
    left -= {name for name in left if (place.folder / name / "fate").is_symlink()}
    assert left <= {"queue", "queue.pace"}, left
    return ids


@dataclass
class OwnSlurm:
    """A grid of one's own, whose Slurm may be stopped and configured otherwise."""

    folder: Path
    port: int

    def __call__(self, *command: str) -> None:
        settings = {"GRID_DIR": str(self.folder), "GRID_PORT": str(self.port)}
        done = subprocess.run(
            [_GRID, *command], env={**os.environ, **settings}, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def options(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "slurm.json").read_text()))

    def slurm(self, *command: str) -> str:
        done = subprocess.run(
            [self.folder / "bin" / command[0], *command[1:]], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    @property
    def _controller(self) -> int:
        return int((self.folder / "slurm" / "slurmctld.pid").read_text())

    def stop(self) -> None:
        """Let slurmctld answer nobody."""
        os.kill(self._controller, signal.SIGSTOP)

    def go(self) -> None:
        os.kill(self._controller, signal.SIGCONT)

    def configure(self, **settings: object) -> None:
        """Change settings, and start slurmctld again with them."""
        path = self.folder / "slurm" / "slurm.conf"
        lines = [line for line in path.read_text().splitlines() if line.partition("=")[0] not in settings]
        site = self.folder / "slurm" / "site.conf"
        kept = [line for line in site.read_text().splitlines() if line.partition("=")[0] not in settings]
        site.write_text("\n".join(kept) + "\n")
        path.write_text("\n".join([*lines, *(f"{name}={value}" for name, value in settings.items())]) + "\n")
        self.restart()

    def restart(self) -> None:
        process = self._controller
        command = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[:-1]
        environment = dict(
            word.split(b"=", 1) for word in Path(f"/proc/{process}/environ").read_bytes().split(b"\0") if b"=" in word
        )
        os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + 30
        while Path(f"/proc/{process}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        subprocess.run(command, env=environment, check=True, stdin=subprocess.DEVNULL, timeout=30)
        while subprocess.run([self.folder / "bin" / "scontrol", "ping"], capture_output=True, timeout=60).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # For slurmd, too.
        self.slurm("scontrol", "reconfigure")


def own_slurm(prefix: str, port: int) -> Iterator[OwnSlurm]:
    """A grid of one's own while a generator lives. Griduser must be able to enter it, unlike pytest's own folders."""
    slurm = OwnSlurm(Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp")), port)
    try:
        slurm("up")
        yield slurm
    finally:
        with contextlib.suppress(OSError, ValueError):
            slurm.go()
        slurm("wipe")
