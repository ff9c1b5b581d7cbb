"""Slurm on a grid of its own: a controller that is stopped or starts again, forgets soon, allows only small arrays."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeArc
from faults.slurm_kit import OwnSlurm, Place, assert_settled, make_place, own_slurm, settle

from jasmin_arc import ArcInterface, JasminArcError, JobDescription, JobStatuses
from jasmin_arc.constants import JobState

pytestmark = [pytest.mark.grid, pytest.mark.timeout(600)]
LIMIT = 120


@pytest.fixture(scope="module")
def slurm(grid_config: dict[str, Any]) -> Iterator[OwnSlurm]:
    """Only where the usual grid is. What is asked for in vain fails soon; what has ended is forgotten soon."""
    for slurm in own_slurm("jasmin-arc-outage-", 11000 + os.getpid() % 900):
        # A node whose job cannot tell the controller its end for long would take no more jobs.
        slurm.configure(MessageTimeout=4, MinJobAge=2, SlurmctldTimeout=30, UnkillableStepTimeout=3600)
        yield slurm


@pytest.fixture
def place(slurm: OwnSlurm) -> Iterator[Place]:
    place = make_place(slurm.folder, slurm.options(), "out")
    yield place
    slurm.go()
    place.wipe()


@pytest.fixture
def arc(place: Place, make_arc: MakeArc) -> ArcInterface:
    return make_arc("slurm", **place.options)


def until_forgotten(place: Place) -> None:
    deadline = time.monotonic() + 60
    while place.rows():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def kill_all_of(number: str) -> None:
    """Kill all processes of a job at once, as a node that runs out of memory does, but for Slurm's own."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_slurms = (folder / "cmdline").read_bytes().startswith(b"slurmstepd")
            environment = (folder / "environ").read_bytes().split(b"\0")
            if not is_slurms and f"SLURM_JOB_ID={number}".encode() in environment:
                os.kill(int(folder.name), signal.SIGKILL)


def until_running(arc: ArcInterface, *job_ids: str) -> None:
    deadline = time.monotonic() + 60
    while set(arc.backend.states(job_ids).values()) != {JobState.RUNNING}:
        assert time.monotonic() < deadline
        time.sleep(0.2)


# --- a controller that forgets ------------------------------------------------------------------------------------


def test_a_job_that_slurm_has_forgotten_still_has_its_end(arc: ArcInterface, place: Place) -> None:
    jobs = [JobDescription("sh", ["-c", f"exit {code}"], outputs=[]) for code in (0, 3)]
    jobs.append(JobDescription("sleep", ["100"], outputs=[]))
    ids = arc.submit_jobs(jobs)
    until_running(arc, ids[2])
    arc.cancel_jobs(ids[2])
    assert arc.wait(ids, timeout=LIMIT) == [JobStatuses.COMPLETED, JobStatuses.FAILED, JobStatuses.FAILED]
    until_forgotten(place)
    expected = [JobState.FINISHED, JobState.FAILED, JobState.KILLED]
    assert list(arc.backend.states(ids).values()) == expected
    infos = arc.backend.query(ids)
    assert [infos[job_id].state for job_id in ids] == expected
    assert [infos[job_id].exit_code for job_id in ids][:2] == [0, 3]
    assert infos[ids[1]].errors == ("exit code 3",)
    assert infos[ids[2]].errors == ("User requested to cancel the job",)
    assert all(infos[job_id].native_id and infos[job_id].started and infos[job_id].ended for job_id in ids)


def test_a_job_that_was_killed_as_a_whole_and_forgotten_has_no_invented_end(
    arc: ArcInterface, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jasmin_arc.watcher.PATIENCE", 3.0)
    ids = arc.submit_jobs([JobDescription("sleep", ["300"], outputs=[]), JobDescription("sleep", ["1"], outputs=[])])
    until_running(arc, ids[0])
    with ThreadPoolExecutor() as pool:
        wait = pool.submit(arc.wait, ids, timeout=LIMIT)
        time.sleep(2)
        # The number in its environment: of a job of an array, it is another one than that with an index.
        (row,) = [row for row in place.rows() if row[0] == arc.backend.query(ids)[ids[0]].native_id]
        kill_all_of(place.slurm("squeue", "-h", "-o", "%A", "-j", row[0]).strip())
        until_forgotten(place)
        with pytest.raises(JasminArcError, match="Slurm no longer knows the job") as error:
            wait.result()
    assert ids[0] in str(error.value)
    assert "left no word of how it ended" in str(error.value)
    states = arc.backend.states(ids)
    assert isinstance(states[ids[0]], JasminArcError)
    assert states[ids[1]] is JobState.FINISHED
    info = arc.backend.query(ids)[ids[0]]
    assert info.state is JobState.UNDEFINED
    assert "Slurm no longer knows the job" in info.errors[0]
    # What the advice says helps.
    assert "cancel it" in str(error.value)
    arc.cancel_jobs(ids[0])
    assert arc.get_job_status(ids[0]) is JobStatuses.FAILED
    arc.clean_jobs(ids[0])
    assert arc.backend.list_jobs() == [ids[1]]


# --- a controller that is away ------------------------------------------------------------------------------------


def test_a_wait_survives_restarts_of_the_controller_without_false_ends(arc: ArcInterface, slurm: OwnSlurm) -> None:
    lengths = [2, 6, 10, 14]
    ids = arc.submit_jobs([JobDescription("sleep", [str(seconds)], outputs=[]) for seconds in lengths])
    until_running(arc, *ids)
    ends: dict[str, float] = {}
    began = time.monotonic()

    def watch() -> list[object]:
        return [(ends.setdefault(job.id, time.monotonic()), job.status) for job in arc.as_completed(ids, timeout=LIMIT)]

    with ThreadPoolExecutor() as pool:
        wait = pool.submit(watch)
        for _ in range(3):
            slurm.restart()
            # Whoever asks then, learns no false end.
            states = arc.backend.states(ids)
            assert not any(state in (JobState.FAILED, JobState.KILLED) for state in states.values()), states
        wait.result()
    assert arc.wait(ids, timeout=LIMIT) == [JobStatuses.COMPLETED] * 4
    assert ends[ids[3]] - began > 8


@pytest.mark.parametrize("seconds", [25, pytest.param(60, marks=pytest.mark.soak)])
def test_while_the_controller_is_away_ends_are_seen_by_their_marks(
    arc: ArcInterface, slurm: OwnSlurm, seconds: int
) -> None:
    lengths = [3, 5, 7, 9, 12, 20, seconds + 6]
    ids = arc.submit_jobs([JobDescription("sleep", [str(length)], outputs=[]) for length in lengths])
    until_running(arc, *ids)
    ended: dict[str, float] = {}

    def watch() -> None:
        for job in arc.as_completed(ids, timeout=LIMIT):
            ended[job.id] = time.time()

    with ThreadPoolExecutor() as pool:
        wait = pool.submit(watch)
        time.sleep(1)
        slurm.stop()
        # So that a question to Slurm is due.
        answer = Path(arc.config.SLURM_DIR, "queue")
        answer.write_text(f"0\n{answer.read_text().partition(chr(10))[2]}")
        try:
            time.sleep(seconds)
        finally:
            slurm.go()
        wait.result()
    marked = {job_id: mark(arc, job_id) for job_id in ids}
    late = {job_id: ended[job_id] - marked[job_id] for job_id in ids}
    assert max(late.values()) < 3, late


def mark(arc: ArcInterface, job_id: str) -> float:
    """When a job has marked its end."""
    batch, token = job_id.split("/")[-2:]
    (path,) = Path(arc.config.SLURM_DIR, batch, "marks").glob(f"{token}.0")
    return path.stat().st_ctime


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_a_submission_in_whose_middle_the_controller_stops_is_settled(
    arc: ArcInterface, place: Place, slurm: OwnSlurm, rounds: int
) -> None:
    chance = random.Random(20261122)
    told: Counter[str] = Counter()
    submitted = []
    assert arc.backend.endpoint
    for number in range(rounds):
        jobs = [place.job(f"{number}-{job}", memory=f"{64 + job} MB") for job in range(6)]
        stopper = threading.Timer(chance.uniform(0, 0.25), slurm.stop)
        going = threading.Timer(chance.choice((3, 9, 15)), slurm.go)
        stopper.start()
        going.start()
        outcomes = arc.backend.submit(jobs)
        told.update(type(outcome).__name__ for outcome in outcomes)
        submitted += [job.name for job, outcome in zip(jobs, outcomes) if isinstance(outcome, str)]
        going.join()
        if chance.random() < 0.5:
            arc.recover()
    settle(arc, limit=1000)
    assert_settled(arc, place, submitted)


# --- arrays -------------------------------------------------------------------------------------------------------


def test_equal_jobs_are_as_many_arrays_as_slurm_wants(arc: ArcInterface, place: Place, slurm: OwnSlurm) -> None:
    slurm.configure(MaxArraySize=4)
    names = [f"j{number}" for number in range(10)]
    calls = len((place.grid / "calls" / "sbatch").read_text().splitlines())
    ids = arc.submit_jobs([place.job(name) for name in names])
    assert len((place.grid / "calls" / "sbatch").read_text().splitlines()) == calls + 3
    assert set(arc.wait(ids, timeout=LIMIT)) == {JobStatuses.COMPLETED}
    assert place.ran() == Counter(names)
    numbers = {info.native_id for info in arc.backend.query(ids).values()}
    assert len(numbers) == 10
    assert {number.partition("_")[2] for number in numbers} == {"0", "1", "2", "3"}


def test_more_jobs_than_a_folder_holds_are_two_batches(arc: ArcInterface, place: Place, slurm: OwnSlurm) -> None:
    slurm.configure(MaxArraySize=1001)
    jobs = [place.job(f"j{number}", native={"begin": "now+1hour"}) for number in range(1003)]
    jobs += [place.job("runs", memory="64 MB")]
    ids = arc.submit_jobs(jobs)
    assert len(set(ids)) == 1004
    assert Counter(job_id.split("/")[-2] for job_id in ids).most_common()[0][1] == 1000
    assert arc.wait(ids[-1], timeout=LIMIT) == [JobStatuses.COMPLETED]
    states = arc.backend.states(ids)
    assert Counter(states.values()) == {JobState.QUEUING: 1003, JobState.FINISHED: 1}
    arc.cancel_jobs(ids[:-1])
    assert Counter(arc.backend.states(ids).values()) == {JobState.KILLED: 1003, JobState.FINISHED: 1}
    arc.clean_jobs(ids, force=True)
    assert place.folders() == set()
    assert [path.name for path in place.folder.iterdir() if path.name[:2] == "20"] == []
