"""Many tasks at a time."""

from __future__ import annotations

import threading

import pytest

from jasmin_arc._support.parallel import WorkerPool
from jasmin_arc.exceptions import JasminArcError


def test_all_tasks_are_done_and_those_that_they_add() -> None:
    done: list[int] = []
    with WorkerPool(3) as crew:

        def task(number: int) -> None:
            done.append(number)
            if number:
                crew.add(lambda: task(number - 1))

        for _ in range(4):
            crew.add(lambda: task(5))
        crew.wait()
        assert sorted(done) == sorted([*range(6)] * 4)


def test_no_tasks_take_no_time() -> None:
    with WorkerPool(3) as crew:
        crew.wait()


def test_an_error_ends_the_wait_and_drops_the_rest() -> None:
    done: list[int] = []
    with pytest.raises(ZeroDivisionError), WorkerPool(1) as crew:
        crew.add(lambda: done.append(1))
        crew.add(lambda: done.append(1 // 0))
        crew.add(threading.Event().wait)  # type: ignore[arg-type]
        crew.wait()
    assert done == [1]


def test_the_threads_end_with_the_block() -> None:
    before = threading.enumerate()
    with WorkerPool(4) as crew:
        for _ in range(8):
            crew.add(lambda: None)
        crew.wait()
        threads = [thread for thread in threading.enumerate() if thread not in before]
        assert len(threads) <= 4
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_fewer_threads_than_wanted_do_all_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, []

    def start_one(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    done: list[int] = []
    with WorkerPool(4) as crew:
        for number in range(8):
            crew.add(lambda number=number: done.append(number))  # type: ignore[misc]
        crew.wait()
    assert done == [*range(8)]
    with pytest.raises(JasminArcError, match="ulimit -u"), WorkerPool(4) as crew:
        crew.add(lambda: None)
