"""Slurm's commands as small scripts, which say what a test has written down for them.

What the real ones say of a job is on the grid, too; but there it takes minutes until they forget it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jasmin_arc import ArcInterface

BATCH = "20261122-010000-0123abcd"
TOKEN = "89abcdef000000"
JOB = f"slurm://lotus/{BATCH}/{TOKEN}"
_FACTS = "ClusterName = lotus\nMaxArraySize = 1001\n"
_PARTITION = "PartitionName=standard Default=YES\n"


class FakeSlurm:
    """A cluster with one job, number 7, of which nothing is known."""

    def __init__(self, folder: Path) -> None:
        self._bin = folder / "bin"
        self._bin.mkdir()
        self.dir = folder / "slurm"
        self._job_list = folder / "jobs.dat"
        for command in ("sbatch", "squeue", "scancel", "sacct", "sinfo", "sacctmgr"):
            self.says(command, "")
        self._write("scontrol", f"[ $2 = config ] && printf {shlex.quote(_FACTS)} || printf {shlex.quote(_PARTITION)}")
        batch = self.dir / BATCH
        for name in ("marks", "logs", f"{TOKEN}/session"):
            (batch / name).mkdir(parents=True)
        (batch / "ids").write_text("0 0 7 1\n")
        (batch / "fate").symlink_to("committed")

    def says(self, command: str, output: str, *, error: str = "", code: int = 0) -> None:
        """Let a command print something each time."""
        self._write(command, f"printf %s {shlex.quote(output)}; printf %s {shlex.quote(error)} >&2; exit {code}")

    def _write(self, command: str, script: str) -> None:
        (self._bin / command).write_text(f"#!/bin/sh\n{script}\n")
        (self._bin / command).chmod(0o700)

    def mark(self, name: str) -> None:
        """Leave a mark of the job."""
        (self.dir / BATCH / "marks" / f"{TOKEN}.{name}").touch()

    @contextmanager
    def arc(self) -> Iterator[ArcInterface]:
        options = {"SLURM_BIN": str(self._bin), "SLURM_DIR": str(self.dir), "JOBS_INFO_FILE": str(self._job_list)}
        with ArcInterface(config={"BACKEND": "slurm", **options}) as arc:
            yield arc
