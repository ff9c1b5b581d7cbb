"""Python functions as jobs: results, exceptions, what was printed, and functions that died, wherever they run."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest
from contract_kit import LIMIT

from jasmin_arc import ArcInterface, JobFailedError, JobStatuses


@pytest.mark.core
def test_results_come_back_and_the_jobs_are_gone(arc: ArcInterface) -> None:
    def twice(number: int) -> int:
        print(f"twice {number}")
        return 2 * number

    with arc.executor() as executor:
        first = executor.submit(twice, 21)
        assert list(executor.map(twice, range(3), timeout=LIMIT)) == [0, 2, 4]
        assert first.result(LIMIT) == 42
    assert first.job is not None
    assert first.job.stdout() == "twice 21\n"
    assert first.job.status is JobStatuses.COMPLETED
    assert arc.job_list.ids() == []


def test_an_exception_is_the_functions_own(arc: ArcInterface) -> None:
    def fail(key: str) -> int:
        return {"a": 1}[key]

    with arc.executor() as executor:
        future, readable = executor.submit(fail, "b"), executor.submit(os.path.exists, __file__)
        with pytest.raises(KeyError, match="'b'") as caught:
            future.result(LIMIT)
        source = 'return {"a": 1}[key]' if readable.result(LIMIT) else ""
    told = str(caught.value.__cause__)
    assert re.search(r'test_functions\.py", line \d+, in fail', told)
    assert source in told


def test_a_function_that_is_killed_fails_with_the_cause_and_the_others_are_called(arc: ArcInterface) -> None:
    def work(number: int) -> int:
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with arc.executor(chunk=4) as executor:
        futures = [executor.submit(work, number) for number in range(4)]
        with pytest.raises(JobFailedError, match=r"SIGKILL|killed"):
            futures[1].result(LIMIT)
        assert [futures[number].result(LIMIT) for number in (0, 2, 3)] == [0, 2, 3]
        assert futures[0].job == futures[1].job != futures[2].job
    # What died is kept, to be looked at.
    assert arc.job_list.ids() == [futures[1].job.id]


def test_a_running_function_is_cancelled_through_its_job(arc: ArcInterface) -> None:
    with arc.executor() as executor:
        future = executor.submit(time.sleep, 600)
        until_sent = time.monotonic() + LIMIT
        while future.job is None and time.monotonic() < until_sent:
            time.sleep(0.05)
        assert not future.cancel()
        future.job.cancel()
        with pytest.raises(JobFailedError, match="cancelled"):
            future.result(LIMIT)
