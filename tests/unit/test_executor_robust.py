"""An executor on this machine, where something goes wrong: no future hangs, no call is made twice."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jasmin_arc import ArcInterface, JobFailedError

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
