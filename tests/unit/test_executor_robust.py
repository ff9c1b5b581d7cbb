"""An executor on this machine, where something goes wrong: no future hangs, no call is made twice."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from jasmin_arc import ArcInterface, JasminArcError, JobFailedError
from jasmin_arc.exceptions import JobNotFoundError, ServerUnavailableError
from jasmin_arc.functions.kept import Sweep

LIMIT = 60.0


@pytest.fixture
def arc(tmp_path: Path) -> Iterator[ArcInterface]:
    options = {"BACKEND": "local", "LOCAL_DIR": str(tmp_path / "local"), "LOCAL_SLOTS": 4}
    with ArcInterface(log=None, config={**options, "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}) as arc:
        yield arc


# --- What functions do ---


def _leave_elsewhere(pid: int) -> None:
    if os.getpid() != pid:
        sys.exit("left while it was unpacked")


class Leaves:
    """Ends the thread, or the program, in which it is unpacked: anywhere but where it was made."""

    def __init__(self) -> None:
        self.pid = os.getpid()

    def __reduce__(self) -> Any:
        return _leave_elsewhere, (self.pid,)


class BecomesText(Exception):
    def __reduce__(self) -> Any:
        return str, ("text",)


class HasNoText(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__()

    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize("way", ["there", "back"])
def test_a_value_that_ends_whoever_unpacks_it_fails_its_future_alone(arc: ArcInterface, way: str) -> None:
    with arc.executor(modules=[__name__]) as executor:
        bad = executor.submit(len, Leaves()) if way == "there" else executor.submit(lambda: Leaves())
        with pytest.raises(SystemExit, match="left while it was unpacked"):
            bad.result(LIMIT)
        assert executor.submit(abs, -1).result(LIMIT) == 1


@pytest.mark.parametrize("kind", ["BecomesText", "HasNoText"])
def test_an_exception_that_becomes_something_else_is_told(arc: ArcInterface, kind: str) -> None:
    def fail() -> None:
        raise BecomesText if kind == "BecomesText" else HasNoText(1, 2)

    with arc.executor(modules=[__name__]) as executor, pytest.raises(RuntimeError, match=kind):
        executor.submit(fail).result(LIMIT)


def test_a_function_that_forks_and_returns_twice_has_one_result(arc: ArcInterface, tmp_path: Path) -> None:
    def fork(folder: Path) -> str:
        child = os.fork()
        if not child:
            return "child"
        os.waitpid(child, 0)
        return "parent"

    def touch(folder: Path) -> int:
        (folder / f"{os.getpid()}").touch()
        return len(list(folder.iterdir()))

    (tmp_path / "made").mkdir()
    with arc.executor(chunk=2) as executor:
        functions = [fork, touch]
        futures = list(executor.map(lambda number: functions[number](tmp_path / "made"), range(2)))
    assert futures == ["parent", 1]


def test_a_function_that_ends_its_program_with_success_is_told_so(arc: ArcInterface) -> None:
    with arc.executor() as executor:
        future = executor.submit(os._exit, 0)
        with pytest.raises(JobFailedError, match="ended before the call did") as caught:
            future.result(LIMIT)
    assert "\n" not in caught.value.message


# --- Threads ---


@pytest.mark.parametrize("call", ["shutdown", "submit"])
def test_a_callback_may_use_the_executor(arc: ArcInterface, call: str) -> None:
    executor = arc.executor()
    more: Future[Any] = Future()

    def go_on(_: Future[Any]) -> None:
        made = executor.submit(abs, -2) if call == "submit" else None
        if call == "shutdown":
            executor.shutdown()
        more.set_result(made)

    executor.submit(time.sleep, 0.1).add_done_callback(go_on)
    made = more.result(LIMIT)
    if call == "submit":
        assert made.result(LIMIT) == 2
    executor.shutdown()


def test_an_executor_whose_second_thread_cannot_be_started_refuses_all(
    arc: ArcInterface, mocker: MockerFixture
) -> None:
    start = threading.Thread.start

    def refuse_one(thread: threading.Thread) -> None:
        if thread.name == "jasmin_arc executor collects":
            raise RuntimeError("can't start new thread")
        start(thread)

    mocker.patch.object(threading.Thread, "start", refuse_one)
    executor = arc.executor()
    with pytest.raises(RuntimeError, match="start new thread"):
        executor.submit(abs, 1)
    with pytest.raises(RuntimeError, match="start new thread") as caught:
        executor.submit(abs, 1).result(LIMIT)
    assert str(caught.value).count("cannot go on") == 1
    executor.shutdown()


def test_somebody_else_who_waits_for_a_job_learns_of_its_end_after_an_outage(
    arc: ArcInterface, mocker: MockerFixture
) -> None:
    mocker.patch("jasmin_arc.functions.dispatcher._OUTAGE", (0.01, 0.02))
    went_down, is_back = threading.Event(), threading.Event()
    fetch, states = arc.backend.fetch, arc.backend.watched_states

    def fetch_later(job_id: str, names: Any) -> Any:
        went_down.set()
        if not is_back.is_set():
            raise ServerUnavailableError("not now")
        return fetch(job_id, names)

    def answer_later(job_ids: Any) -> Any:
        if went_down.is_set() and not is_back.is_set():
            raise ServerUnavailableError("not now")
        return states(job_ids)

    mocker.patch.object(arc.backend, "fetch", fetch_later)
    mocker.patch.object(arc.backend, "watched_states", answer_later)
    with arc.executor() as executor:
        future = executor.submit(abs, -1)
        assert went_down.wait(LIMIT)
        job = future.job
        assert job is not None

        def wait() -> None:
            # It may be erased by then.
            with suppress(JobNotFoundError):
                job.wait()

        waits = threading.Thread(target=wait, daemon=True)
        waits.start()
        time.sleep(2)
        is_back.set()
        waits.join(20)
        assert not waits.is_alive()
        assert future.result(LIMIT) == 1


def test_ctrl_c_at_the_end_of_the_block_stops_at_once(arc: ArcInterface, mocker: MockerFixture) -> None:
    executor = arc.executor()
    mocker.patch.object(executor, "shutdown", side_effect=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt), executor:
        future = executor.submit(time.sleep, 600)
        while future.job is None:
            time.sleep(0.02)
    with pytest.raises(BrokenExecutor, match="interrupted"):
        future.result(0)
    assert future.job is not None
    arc.wait(future.job.id, timeout=LIMIT)


# --- Calls that are known ---


def test_a_cache_that_cannot_be_used_leaves_the_name_free(arc: ArcInterface, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JasminArcError, match="file"):
        arc.executor(name="mine", cache=tmp_path / "file")
    with arc.executor(name="mine") as executor:
        assert executor.submit(abs, -1).result(LIMIT) == 1


def test_a_name_is_taken_over_only_once_a_submission_under_way_is_done(
    arc: ArcInterface, mocker: MockerFixture, tmp_path: Path
) -> None:
    mocker.patch("jasmin_arc.functions.dispatcher._LEAVING", 0.1)
    submit = arc.backend.submit
    is_slow = threading.Event()

    def slowly(jobs: Any) -> Any:
        is_slow.set()
        time.sleep(1)
        return submit(jobs)

    mocker.patch.object(arc.backend, "submit", slowly)

    def work(folder: Path) -> int:
        (folder / str(os.getpid())).touch()
        return len(list(folder.iterdir()))

    made = tmp_path / "made"
    made.mkdir()
    former = arc.executor(name="slow")
    former.submit(work, made)
    assert is_slow.wait(LIMIT)
    with arc.executor(name="slow") as executor:
        assert executor.submit(work, made).result(LIMIT) == 1
    assert len(list(made.iterdir())) == 1


def left(arc: ArcInterface, function: Any, items: Any, **options: Any) -> list[str]:
    """Submit calls as a process that is killed would; return the ids of the jobs."""
    executor = arc.executor(name="sweep", **options)
    futures = [executor.submit(function, item) for item in items]
    while not all(future.job for future in futures):
        time.sleep(0.02)
    executor._dispatcher.leave("the process was killed")
    return list(dict.fromkeys(future.job.id for future in futures if future.job is not None))


def test_plans_of_jobs_at_another_place_stay(arc: ArcInterface, tmp_path: Path) -> None:
    go = tmp_path / "go"

    def work(number: int) -> int:
        while not go.exists():
            time.sleep(0.05)
        (tmp_path / f"made-{os.getpid()}").touch()
        return number

    left(arc, work, [1])
    elsewhere = dict(arc.config.as_dict(), LOCAL_DIR=str(tmp_path / "other"))
    with ArcInterface(log=None, config=elsewhere) as other:
        other.executor(name="sweep").shutdown()
    go.touch()
    with arc.executor(name="sweep") as executor:
        assert executor.submit(work, 1).result(LIMIT) == 1
    assert len(list(tmp_path.glob("made-*"))) == 1


def test_calls_that_a_dead_job_had_not_begun_are_made_and_a_callback_may_ask_for_them(
    arc: ArcInterface, tmp_path: Path
) -> None:
    def work(number: int) -> int:
        (tmp_path / f"{number}-{os.getpid()}").touch()
        if number == 1:
            os._exit(3)
        return number

    (job_id,) = left(arc, work, range(4), chunk=4)
    arc.wait(job_id, timeout=LIMIT)
    later: list[Future[Any]] = []
    with arc.executor(name="sweep", chunk=4) as executor:
        first = executor.submit(work, 0)
        asked = threading.Event()

        def ask(_: Future[Any]) -> None:
            later.extend(executor.submit(work, number) for number in (1, 2))
            asked.set()

        first.add_done_callback(ask)
        assert first.result(LIMIT) == 0
        assert asked.wait(LIMIT)
        with pytest.raises(JobFailedError, match="exit code 3"):
            later[0].result(LIMIT)
        assert later[1].result(LIMIT) == 2
        # The job has ended, and nobody had asked for this one.
        assert executor.submit(work, 3).result(LIMIT) == 3
    assert sorted(path.name[0] for path in tmp_path.glob("?-*")) == ["0", "1", "2", "3"]


def test_large_functions_are_submitted_piece_by_piece(arc: ArcInterface, mocker: MockerFixture) -> None:
    mocker.patch("jasmin_arc.functions.waiting._MOST_BYTES_AT_ONCE", 3 << 20)
    submit = mocker.spy(arc.backend, "submit")
    table = os.urandom(1 << 20)
    with arc.executor(chunk=1) as executor:
        assert list(executor.map(lambda number: len(table) + number, range(5))) == [(1 << 20) + n for n in range(5)]
    assert [len(call.args[0]) for call in submit.call_args_list] == [3, 2]


def test_a_job_of_calls_that_turn_out_to_be_long_leaves_the_rest_to_others(
    arc: ArcInterface, mocker: MockerFixture
) -> None:
    mocker.patch.object(type(arc.backend), "worthwhile", 0.3)

    def work(number: int) -> str:
        time.sleep(0 if number < 10 else 1)
        return os.environ["JASMIN_ARC_JOB_ID"]

    with arc.executor() as executor:
        list(executor.map(work, range(10)))
        jobs = list(executor.map(work, range(10, 16)))
    assert len(set(jobs)) > 2


def test_a_fork_leaves_the_executor_and_its_jobs_to_the_parent(arc: ArcInterface, tmp_path: Path) -> None:
    idle = arc.executor(name="idle")
    with arc.executor() as executor:
        future = executor.submit(time.sleep, 3)
        while future.job is None:
            time.sleep(0.02)
        child = os.fork()
        if not child:
            try:
                for one in (executor, idle):
                    one.abort("the child ends")
                    one.shutdown()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert future.result(LIMIT) is None
    with pytest.raises(JasminArcError, match="in use"):
        Sweep(tmp_path / "jobs.dat.sweeps" / "idle")
    idle.shutdown()
    Sweep(tmp_path / "jobs.dat.sweeps" / "idle").close()
