"""How a job ended is told when Slurm's queue has forgotten it, as it was told before."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_slurm import JOB, FakeSlurm

from jasmin_arc import JobInfo
from jasmin_arc.constants import JobState


@pytest.fixture
def slurm(tmp_path: Path) -> FakeSlurm:
    return FakeSlurm(tmp_path)


def info(slurm: FakeSlurm) -> JobInfo:
    with slurm.arc() as arc:
        found = arc.backend.query([JOB])[JOB]
        assert arc.backend.states([JOB]) == {JOB: found.state}
        return found


def accounted(state: str, exit_code: str, *, resident: str = "", reason: str = "None") -> str:
    """What sacct says of the job, and of its script."""
    job = f"7|{state}|{exit_code}|1763776800|1763776860|node1||00:00:01|{reason}\n"
    return job + f"7.batch|CANCELLED|{exit_code}|1763776800|1763776860|node1|{resident}|00:00:01|\n"


def test_a_job_that_ended_at_its_time_limit(slurm: FakeSlurm) -> None:
    slurm.mark("143t")
    slurm.says("sacct", accounted("TIMEOUT", "0:0"))
    found = info(slurm)
    assert (found.state, found.native_state, found.exit_code) == (JobState.FAILED, "TIMEOUT", 143)
    assert found.errors == ("Slurm ended the job: it ran into its time limit (TIMEOUT)",)


def test_a_running_job_that_somebody_cancelled(slurm: FakeSlurm) -> None:
    slurm.mark("143t")
    slurm.says("sacct", accounted("CANCELLED by mary", "0:0"))
    found = info(slurm)
    assert (found.state, found.native_state) == (JobState.KILLED, "CANCELLED")
    assert found.errors == ("Slurm: the job was cancelled by mary (CANCELLED)",)


@pytest.mark.parametrize("told", ["", accounted("RUNNING", "0:0")], ids=["nothing", "the past"])
def test_its_own_word_counts_where_the_accounting_has_none(slurm: FakeSlurm, told: str) -> None:
    slurm.mark("143t")
    slurm.says("sacct", told)
    found = info(slurm)
    assert (found.state, found.native_state, found.errors) == (JobState.FAILED, "FAILED", ("exit code 143",))


def test_a_job_that_was_killed_for_its_memory(slurm: FakeSlurm) -> None:
    slurm.mark("run")
    slurm.says("sacct", accounted("FAILED", "0:9", resident="307352K"))
    found = info(slurm)
    assert (found.state, found.exit_code, found.memory) == (JobState.FAILED, 137, 307352 * 1024)
    assert found.errors == ("the job was killed from outside, with signal 9 (FAILED)",)


def test_a_job_that_could_not_be_started(slurm: FakeSlurm) -> None:
    slurm.says("sacct", accounted("FAILED", "0:53"))
    assert info(slurm).errors == ("the job could not be started (FAILED)",)
