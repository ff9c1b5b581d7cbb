"""Functions whose jobs die for real: their futures are settled, with the cause."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from conftest import MakeArc

from jasmin_arc import ArcInterface, JobFailedError
from jasmin_arc.executor import JobFuture

LIMIT = 240
"""Seconds after which something is wrong: some limits are looked at once a minute"""


@pytest.fixture
def arc(
    request: pytest.FixtureRequest,
    make_arc: MakeArc,
    slurm_environment: Callable[[str], AbstractContextManager[None]],
) -> Iterator[ArcInterface]:
    """An interface of the place that the test names."""
    place = str(request.param)
    with slurm_environment(place) if place in ("slurm", "lotus") else nullcontext():
        yield make_arc(place)


def at(*places: str, rarely: Collection[str] = ()) -> pytest.MarkDecorator:
    """Run the test at these places, and at some of them in make soak alone."""
    marks = {
        name: [pytest.mark.grid] * (name != "local") + [pytest.mark.soak] * (name in rarely)
        for name in (*places, *rarely)
    }
    return pytest.mark.parametrize(
        "arc", [pytest.param(name, marks=marked) for name, marked in marks.items()], indirect=True
    )


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_with_all_around() -> None:
    """What would otherwise tell how the function ended is gone, too."""
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def out_of_the_memory_that_a_process_may_have() -> None:
    """As on batch systems that limit each process."""
    resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))
    os.execv(sys.executable, ["python3", "-c", "bytearray(900 << 20)"])


def out_of_the_memory_of_the_job() -> None:
    everything = bytearray(300 << 20)
    time.sleep(LIMIT)
    del everything


def told(future: JobFuture) -> str:
    """Why a call has no result."""
    with pytest.raises(JobFailedError) as caught:
        future.result(LIMIT)
    assert future.job is not None
    assert caught.value.job_ids == [future.job.id]
    return str(caught.value)


def why(arc: ArcInterface, function: Callable[..., Any], *arguments: Any, **fields: Any) -> str:
    """Why a call has no result, in a job with these fields."""
    with arc.executor(modules=[__name__], **fields) as executor:
        return told(executor.submit(function, *arguments))


@at("local", "rest", rarely=["slurm"])
def test_killed(arc: ArcInterface) -> None:
    assert "The program was killed (SIGKILL)" in why(arc, killed)


@at("local", "slurm", rarely=["rest"])
def test_killed_with_all_around(arc: ArcInterface) -> None:
    words = {"local": "how the job ended is not known", "slurm": "killed from outside", "rest": "SIGKILL"}
    assert words[arc.config.BACKEND] in why(arc, killed_with_all_around)


@at("slurm", rarely=["rest"])
def test_out_of_the_memory_that_a_process_may_have(arc: ArcInterface) -> None:
    told = why(arc, out_of_the_memory_that_a_process_may_have, memory="200 MB")
    assert "ran out of memory, of which it had asked for 200 MB per slot" in told


@at("lotus")
def test_out_of_the_memory_of_the_job(arc: ArcInterface) -> None:
    assert "of which it had asked for 100 MB per slot" in why(arc, out_of_the_memory_of_the_job, memory="100 MB")


@at("local")
def test_out_of_time(arc: ArcInterface) -> None:
    assert "the wall time that it had asked for, 1 s" in why(arc, time.sleep, LIMIT, wall_time="1s")


@pytest.mark.soak
@at("slurm", "rest")
def test_out_of_time_where_that_is_counted_in_minutes(arc: ArcInterface) -> None:
    assert "the wall time that it had asked for, 1 min" in why(arc, time.sleep, LIMIT, wall_time="1m")


@at("slurm", rarely=["rest"])
def test_calls_of_a_job_that_died_keep_their_results(arc: ArcInterface) -> None:
    def call(number: int) -> int:
        if number == 1:
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with arc.executor(chunk=3) as executor:
        first, second, third = [executor.submit(call, number) for number in range(3)]
        assert "SIGKILL" in told(second)
        assert (first.result(LIMIT), third.result(LIMIT)) == (0, 2)
    # The last one had not begun.
    assert first.job == second.job != third.job


@at("slurm", rarely=["rest"])
def test_no_call_of_a_job_that_was_cancelled_is_made_by_another(arc: ArcInterface) -> None:
    def call(number: int) -> int:
        if number == 1:
            os.system("scancel $SLURM_JOB_ID")
            time.sleep(LIMIT)
        return number

    with arc.executor(chunk=3) as executor:
        first, second, third = [executor.submit(call, number) for number in range(3)]
        for future in (second, third):
            assert "cancelled in the batch system" in told(future)
        assert first.result(LIMIT) == 0
