"""How a job ended is told when Slurm's queue has forgotten it, as it was told before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm

from jasmin_arc import JobInfo
from jasmin_arc.constants import JobState


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[FakeSlurm]:
    slurm = FakeSlurm(tmp_path)
    with slurm.arc:
        yield slurm


def forgotten(slurm: FakeSlurm, mark: str, sacct: str) -> JobInfo:
    """What is told of a job that left this mark, when only the accounting knows it."""
    job_id = slurm.arc.submit("true").id
    batch, _, token = job_id.rpartition("/")
    if mark:
        (slurm.dir / batch.rpartition("/")[2] / "marks" / f"{token}.{mark}").touch()
    (slurm.folder / "jobs").write_text("")
    slurm.program("sacct", f"cat <<'EOF'\n{sacct}EOF")
    found = slurm.backend.query([job_id])[job_id]
    assert slurm.backend.states([job_id]) == {job_id: found.state}
    return found


def accounted(state: str, exit_code: str, *, resident: str = "", reason: str = "None") -> str:
    """What sacct says of the job, and of its script."""
    job = f"101|{state}|{exit_code}|1763776800|1763776860|node1||00:00:01|{reason}\n"
    return job + f"101.batch|CANCELLED|{exit_code}|1763776800|1763776860|node1|{resident}|00:00:01|\n"


def test_a_job_that_ended_at_its_time_limit(slurm: FakeSlurm) -> None:
    found = forgotten(slurm, "143t", accounted("TIMEOUT", "0:0"))
    assert (found.state, found.native_state, found.exit_code) == (JobState.FAILED, "TIMEOUT", 143)
    assert found.errors == ("Slurm ended the job: it ran into its time limit (TIMEOUT)",)


def test_a_running_job_that_somebody_cancelled(slurm: FakeSlurm) -> None:
    found = forgotten(slurm, "143t", accounted("CANCELLED by mary", "0:0"))
    assert (found.state, found.native_state) == (JobState.KILLED, "CANCELLED")
    assert found.errors == ("Slurm: the job was cancelled by mary (CANCELLED)",)


@pytest.mark.parametrize("told", ["", accounted("RUNNING", "0:0")], ids=["nothing", "the past"])
def test_its_own_word_counts_where_the_accounting_has_none(slurm: FakeSlurm, told: str) -> None:
    found = forgotten(slurm, "143t", told)
    assert (found.state, found.native_state, found.errors) == (JobState.FAILED, "FAILED", ("exit code 143",))


def test_a_job_that_was_killed_for_its_memory(slurm: FakeSlurm) -> None:
    found = forgotten(slurm, "run", accounted("FAILED", "0:9", resident="307352K"))
    assert (found.state, found.exit_code, found.memory) == (JobState.FAILED, 137, 307352 * 1024)
    assert found.errors == ("the job was killed from outside, with signal 9 (FAILED)",)


def test_a_job_that_could_not_be_started(slurm: FakeSlurm) -> None:
    assert forgotten(slurm, "", accounted("FAILED", "0:53")).errors == ("the job could not be started (FAILED)",)
