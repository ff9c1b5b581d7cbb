"""An executor on this machine: what it does beyond what the standard library's own tests ask of every executor."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from jasmin_arc import (
    ArcInterface,
    InvalidJobDescription,
    JasminArcError,
    JobDescription,
    JobFailedError,
    JobNotFoundError,
    SubmissionUnknownError,
)
from jasmin_arc.exceptions import JobSubmissionError, NoTargetsAvailableError, ServerError, ServerUnavailableError

LIMIT = 60.0


@pytest.fixture
def arc(tmp_path: Path) -> Iterator[ArcInterface]:
    options = {"BACKEND": "local", "LOCAL_DIR": str(tmp_path / "local"), "LOCAL_SLOTS": 4}
    with ArcInterface(log=None, config={**options, "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}) as arc:
        yield arc


def calls(folder: Path) -> Callable[[Any], Any]:
    """A function that leaves a file for each call."""

    def call(value: Any) -> Any:
        import tempfile

        tempfile.mkstemp(prefix=f"{value}-", dir=folder)
        return value

    return call


# --- Sending ---


def test_calls_that_come_together_are_one_submission(arc: ArcInterface, mocker: MockerFixture) -> None:
    submit = mocker.spy(arc.backend, "submit")
    with arc.executor() as executor:
        futures = [executor.submit(abs, -number) for number in range(5)]
        assert [future.result(LIMIT) for future in futures] == [0, 1, 2, 3, 4]
    assert [len(call.args[0]) for call in submit.call_args_list] == [5]


def test_short_calls_are_put_together_once_they_are_known_to_be_short(arc: ArcInterface) -> None:
    with arc.executor() as executor:
        futures = [executor.submit(abs, -number) for number in range(300)]
        wait(futures, LIMIT)
    jobs = {future.job for future in futures}
    assert [future.result() for future in futures] == list(range(300))
    assert 10 < len(jobs) <= 20


def test_calls_that_wait_for_a_slot_are_not_taken_for_long_ones(arc: ArcInterface, mocker: MockerFixture) -> None:
    mocker.patch("jasmin_arc.functions.grouping._LONG", 0.1)
    arc.submit_jobs([JobDescription("/bin/sleep", [3])] * 4)
    with arc.executor() as executor:
        futures = [executor.submit(abs, -number) for number in range(100)]
        assert [future.result(LIMIT) for future in futures] == list(range(100))
    assert len({future.job for future in futures}) <= 20


def test_calls_that_run_long_are_sent_one_by_one(arc: ArcInterface, mocker: MockerFixture) -> None:
    mocker.patch("jasmin_arc.functions.grouping._LONG", 0.1)
    with arc.executor() as executor:
        futures = [executor.submit(time.sleep, 60) for _ in range(12)]
        until = time.monotonic() + LIMIT
        while futures[-1].job is None and time.monotonic() < until:
            time.sleep(0.05)
        assert not any(future.done() for future in futures)
        assert len({future.job for future in futures}) == 12
        executor.abort("that is all")


@pytest.mark.parametrize("way", ["chunk", "chunksize"])
def test_a_number_of_calls_for_each_job(arc: ArcInterface, way: str) -> None:
    with arc.executor(chunk=5 if way == "chunk" else "auto") as executor:
        names = list(
            executor.map(lambda _: os.environ["JASMIN_ARC_JOB_ID"], range(20), chunksize=5 if way == "chunksize" else 1)
        )
    assert [names.count(name) for name in sorted(set(names))] == [5] * 4


def test_no_more_jobs_than_allowed_are_there_at_once(arc: ArcInterface, tmp_path: Path) -> None:
    def work(_: int) -> int:
        own = tmp_path / str(os.getpid())
        own.touch()
        there = len(list(tmp_path.glob("[0-9]*")))
        time.sleep(0.3)
        own.unlink()
        return there

    with arc.executor(max_in_flight=2) as executor:
        assert max(executor.map(work, range(6), chunksize=1)) <= 2


def test_an_item_is_taken_only_when_there_is_room_in_the_buffer(arc: ArcInterface) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(6):
            taken.append(number)
            yield number

    with arc.executor() as executor:
        results = executor.map(abs, items(), buffersize=2)
        assert taken == [0, 1]
        assert next(results) == 0
        assert taken == [0, 1, 2]
        assert list(results) == [1, 2, 3, 4, 5]


def test_fields_of_the_job_reach_it_and_others_are_refused(arc: ArcInterface, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("1961")

    def read() -> str:
        return Path("data.txt").read_text() + os.environ["MODEL"]

    with arc.executor(inputs=[tmp_path / "data.txt"], environment={"MODEL": "UKESM"}, slots=2) as executor:
        assert executor.submit(read).result(LIMIT) == "1961UKESM"
    with pytest.raises(TypeError, match="did you mean 'wall_time'"):
        arc.executor(walltime="1h")
    with pytest.raises(TypeError, match="no keyword 'outputs'"):
        arc.executor(outputs=["x"])
    with pytest.raises(InvalidJobDescription, match="memory"):
        arc.executor(memory="much")
    for option in ("max_in_flight", "chunk"):
        with pytest.raises(ValueError, match=option):
            arc.executor(**{option: 0})


# --- Failures ---


def test_another_version_of_python_is_told_in_one_sentence(arc: ArcInterface, tmp_path: Path) -> None:
    other = tmp_path / "python"
    main = 'runpy.run_path(sys.argv[0], run_name="__main__")'
    program = f"import sys, runpy\nsys.version_info = (2, 7, 18)\nsys.argv = sys.argv[1:]\n{main}"
    other.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{program}' \"$@\"\n")
    other.chmod(0o755)
    with arc.executor(python=str(other)) as executor:
        here = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
        with pytest.raises(JobFailedError, match=rf"sent by {here}, but .* is Python 2\.7.*python=") as caught:
            executor.submit(abs, 1).result(LIMIT)
    assert "\n" not in caught.value.message


def test_modules_that_the_node_does_not_have_are_named(
    arc: ArcInterface, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("storm_tracks", "ocean_mixing"):
        (tmp_path / f"{name}.py").write_text("def f(x):\n    return x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import ocean_mixing  # type: ignore[import-not-found]
    import storm_tracks  # type: ignore[import-not-found]

    def work(value: int) -> int:
        return int(storm_tracks.f(ocean_mixing.f(value)))

    with arc.executor() as executor, pytest.raises(JobFailedError, match="cannot import ocean_mixing, storm_tracks"):
        executor.submit(work, 1).result(LIMIT)
    with arc.executor(modules=[storm_tracks, "ocean_mixing"]) as executor:
        assert executor.submit(work, 1).result(LIMIT) == 1


def test_a_job_without_its_python_fails_with_the_cause(arc: ArcInterface) -> None:
    with arc.executor(python="/no/such/python3") as executor:
        futures = [executor.submit(abs, number) for number in range(2)]
        for future in futures:
            with pytest.raises(JobFailedError, match="/no/such/python3"):
                future.result(LIMIT)


def test_what_a_node_lost_is_called_again_and_what_a_function_raised_is_not(arc: ArcInterface, tmp_path: Path) -> None:
    call = calls(tmp_path)

    def die_once(value: str) -> str:
        call(value)
        if len(list(tmp_path.glob(f"{value}-*"))) < 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    def fail(value: str) -> None:
        call(value)
        raise ValueError(value)

    with arc.executor(retries=1) as executor:
        died, raised = executor.submit(die_once, "died"), executor.submit(fail, "raised")
        assert died.result(LIMIT) == "died"
        with pytest.raises(ValueError, match="raised"):
            raised.result(LIMIT)
    assert len(list(tmp_path.glob("raised-*"))) == 1
    assert arc.job_list.ids() == []


def test_a_call_that_had_no_time_left_after_others_is_made_alone(arc: ArcInterface) -> None:
    with arc.executor(wall_time="2s", chunk=3) as executor:
        futures = [executor.submit(time.sleep, seconds) for seconds in (1.2, 1.3, 30)]
        assert [future.result(LIMIT) for future in futures[:2]] == [None, None]
        with pytest.raises(JobFailedError, match="wall time"):
            futures[2].result(LIMIT)
    assert len({future.job for future in futures}) == 3


def test_what_cannot_travel_fails_its_future_alone(arc: ArcInterface) -> None:
    with arc.executor() as executor:
        there, back = executor.submit(len, threading.Lock()), executor.submit(lambda: threading.Lock())
        good = executor.submit(abs, -1)
        with pytest.raises(TypeError, match="pickle"):
            there.result(LIMIT)
        with pytest.raises(Exception, match=r"<lambda>\(\) returned, a lock, cannot be sent"):
            back.result(LIMIT)
        assert good.result(LIMIT) == 1


def test_an_exception_that_cannot_travel_is_told_all_the_same(arc: ArcInterface) -> None:
    def fail() -> None:
        class OddError(Exception):
            def __init__(self, first: int, second: int) -> None:
                super().__init__(f"{first} and {second}")

        raise OddError(1, 2)

    with arc.executor() as executor, pytest.raises(RuntimeError, match="OddError: 1 and 2"):
        executor.submit(fail).result(LIMIT)


@pytest.mark.parametrize(
    "error", [JobSubmissionError("refused"), NoTargetsAvailableError("down"), SubmissionUnknownError("lost")]
)
def test_a_submission_that_fails_fails_the_futures(
    arc: ArcInterface, mocker: MockerFixture, error: JasminArcError
) -> None:
    mocker.patch.object(arc.backend, "submit", side_effect=error)
    with arc.executor() as executor, pytest.raises(type(error), match=str(error)):
        executor.submit(abs, 1).result(LIMIT)


def test_a_place_that_does_not_answer_for_a_while_is_waited_out(arc: ArcInterface, mocker: MockerFixture) -> None:
    mocker.patch("jasmin_arc.functions.dispatcher._OUTAGE", (0.01, 0.02))
    with arc.executor() as executor:
        assert executor.submit(abs, -1).result(LIMIT) == 1
        submit, failures = arc.backend.submit, [ServerUnavailableError("not now")] * 3

        def sometimes(jobs: Any) -> Any:
            if failures:
                raise failures.pop()
            return submit(jobs)

        mocker.patch.object(arc.backend, "submit", sometimes)
        assert executor.submit(abs, -2).result(LIMIT) == 2
        assert failures == []


@pytest.mark.parametrize("place", ["submit", "fetch"])
def test_no_future_hangs_when_a_thread_of_the_executor_dies(
    arc: ArcInterface, mocker: MockerFixture, place: str
) -> None:
    with arc.executor() as executor:
        if place == "submit":
            mocker.patch.object(arc.backend, "submit", side_effect=MemoryError("no memory"))
        else:
            mocker.patch("jasmin_arc.functions.dispatcher.run_all", side_effect=MemoryError("no memory"))
        future = executor.submit(abs, 1)
        with pytest.raises(BrokenExecutor, match="no memory"):
            future.result(LIMIT)
        with pytest.raises(RuntimeError, match="no memory"):
            executor.submit(abs, 1)


def test_results_that_cannot_be_fetched_fail_the_future_and_the_job_is_kept(
    arc: ArcInterface, mocker: MockerFixture
) -> None:
    mocker.patch.object(arc.backend, "fetch", side_effect=ServerError("not for you"))
    with arc.executor() as executor:
        future = executor.submit(abs, 1)
        with pytest.raises(ServerError, match="not for you"):
            future.result(LIMIT)
    assert arc.job_list.ids() == [future.job.id]


def test_results_are_fetched_later_where_the_place_does_not_answer_now(
    arc: ArcInterface, mocker: MockerFixture
) -> None:
    mocker.patch("jasmin_arc.functions.dispatcher._OUTAGE", (0.01, 0.02))
    errors = [ServerUnavailableError("not now")] * 3
    fetch = arc.backend.fetch

    def sometimes(job_id: str, names: Any) -> Any:
        if errors:
            raise errors.pop()
        return fetch(job_id, names)

    mocker.patch.object(arc.backend, "fetch", sometimes)
    with arc.executor() as executor:
        assert executor.submit(abs, -1).result(LIMIT) == 1
    assert errors == []


def test_an_executor_that_nobody_holds_ends_and_its_calls_are_made(arc: ArcInterface) -> None:
    future = arc.executor().submit(abs, -3)
    assert future.result(LIMIT) == 3
    deadline = time.monotonic() + LIMIT
    while any("executor" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_output_of_many_bytes_is_cut_at_its_beginning(arc: ArcInterface) -> None:
    with arc.executor() as executor:
        future = executor.submit(lambda: print("x" * (1 << 20) + "the end"))
        future.result(LIMIT)
    assert len(future.job.stdout()) == 1 << 20
    assert future.job.stdout().endswith("the end\n")


# --- Calls that are known ---

SESSION = """
import json, os, sys, tempfile, time
from jasmin_arc import ArcInterface

def work(number):
    tempfile.mkstemp(prefix=f"{number}-", dir=FOLDER)
    while number == 1 and not os.path.exists(GO):
        time.sleep(0.05)
    if number == 2:
        raise ValueError("two")
    return number * number

FOLDER, GO, STEP = sys.argv[1:4]
options = {"LOCAL_DIR": FOLDER + "/../state", "JOBS_INFO_FILE": FOLDER + "/../jobs.dat"}
arc = ArcInterface(log=None, config={"BACKEND": "local", "LOCAL_SLOTS": 4, **options})
executor = arc.executor(name="squares", rerun_failed=STEP == "again")
futures = [executor.submit(work, number) for number in (0, 1, 2, 0)]
if STEP == "first":
    futures[0].result(), futures[3].result(), futures[2].exception()
    print("ready", flush=True)
    time.sleep(600)
executor.shutdown()
print(json.dumps([repr(future.exception() or future.result()) for future in futures]))
"""


def test_after_a_restart_the_same_calls_lead_to_jobs_and_results_that_there_are(tmp_path: Path) -> None:
    folder, go = tmp_path / "calls", tmp_path / "go"
    folder.mkdir()

    def session(step: str, code: str = SESSION) -> subprocess.Popen[str]:
        # Each session has a file of another name, as the cells of a notebook do.
        script = tmp_path / f"session-{step}.py"
        script.write_text("\n" * len(step) + code)
        return subprocess.Popen(
            [sys.executable, str(script), str(folder), str(go), step], stdout=subprocess.PIPE, text=True
        )

    first = session("first")
    assert first.stdout is not None
    assert first.stdout.readline() == "ready\n"
    first.kill()
    first.communicate()
    go.touch()
    expected = ["0", "1", "ValueError('two')", "0"]
    for step in ("second", "third"):
        assert json.loads(session(step).communicate(timeout=LIMIT)[0]) == expected
    made = sorted(path.name.split("-")[0] for path in folder.iterdir())
    assert made == ["0", "0", "1", "2"]
    assert json.loads(session("again").communicate(timeout=LIMIT)[0]) == expected
    assert len(list(folder.glob("2-*"))) == 2
    changed = session("changed", SESSION.replace("number * number", "number + number"))
    assert json.loads(changed.communicate(timeout=LIMIT)[0]) == ["0", "2", "ValueError('two')", "0"]


def test_the_same_map_in_one_session_leads_to_the_same_calls(arc: ArcInterface, tmp_path: Path) -> None:
    call = calls(tmp_path)

    def draw(member: int) -> float:
        call(f"member{member}")
        if member == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return random.random()

    with arc.executor(name="ensemble", chunk=1) as executor:
        together = [executor.map(draw, [1, 1, 2]), executor.map(draw, [1, 1, 2])]
        first, second = (list(results) for results in together)
        assert first == second == list(executor.map(draw, [1, 1, 2]))
        assert first[0] != first[1]
        for _ in range(2):
            with pytest.raises(JobFailedError):
                list(executor.map(draw, [3]))
    made = sorted(path.name.split("-")[0] for path in tmp_path.glob("member*"))
    assert made == ["member1", "member1", "member2", "member3"]


def test_a_second_process_cannot_use_the_name_at_the_same_time(arc: ArcInterface) -> None:
    with arc.executor(name="mine"):
        program = textwrap.dedent(f"""
            from jasmin_arc import ArcInterface, JasminArcError
            try:
                ArcInterface(log=None, config={dict(arc.config.as_dict())!r}).executor(name="mine")
            except JasminArcError as error:
                print(error)
        """)
        said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "in use" in said
    assert str(os.getpid()) in said


def test_a_cell_that_runs_again_takes_its_jobs_over(arc: ArcInterface, tmp_path: Path) -> None:
    go = tmp_path / "go"
    call = calls(tmp_path)

    def work(number: int) -> int:
        call(f"call{number}")
        while not go.exists():
            time.sleep(0.05)
        return number

    old = arc.executor(name="cell")
    former = old.submit(work, 7)
    while former.job is None:
        time.sleep(0.02)
    with arc.executor(name="cell") as executor:
        future = executor.submit(work, 7)
        with pytest.raises(BrokenExecutor, match="taken over"):
            former.result(LIMIT)
        go.touch()
        assert future.result(LIMIT) == 7
    assert len(list(tmp_path.glob("call7-*"))) == 1
    with pytest.raises(RuntimeError):
        old.submit(work, 8)


def test_a_cache_keeps_results_for_all_executors_and_no_exceptions(arc: ArcInterface, tmp_path: Path) -> None:
    (tmp_path / "calls").mkdir()
    call = calls(tmp_path / "calls")

    def work(value: int) -> int:
        call(value)
        return 1 // value

    for _ in range(2):
        with arc.executor(cache=tmp_path / "cache") as executor:
            assert executor.submit(work, 1).result(LIMIT) == 1
            with pytest.raises(ZeroDivisionError):
                executor.submit(work, 0).result(LIMIT)
    assert sorted(path.name[0] for path in (tmp_path / "calls").iterdir()) == ["0", "0", "1"]


def test_a_call_that_cannot_be_known_says_which_argument_is_the_reason(arc: ArcInterface, tmp_path: Path) -> None:
    with arc.executor(name="odd") as executor, pytest.raises(TypeError, match=r"an argument cannot be sent: .*lock"):
        executor.submit(len, threading.Lock()).result(LIMIT)
    with pytest.raises(ValueError, match="name"):
        arc.executor(name="../x")


def test_a_function_that_cannot_be_sent_is_named(arc: ArcInterface) -> None:
    lock = threading.Lock()

    def uses_a_lock() -> object:
        return lock

    with (
        arc.executor() as executor,
        pytest.raises(TypeError, match=r"the function .*uses_a_lock cannot be sent: .*lock"),
    ):
        executor.submit(uses_a_lock).result(LIMIT)


def test_what_was_meant_by_an_option(arc: ArcInterface) -> None:
    for wrong, meant in {"max_workers": "max_in_flight", "memroy": "memory", "mem": "memory"}.items():
        with pytest.raises(TypeError, match=f"did you mean '{meant}'"):
            arc.executor(**{wrong: 1})
    with pytest.raises(TypeError, match="it takes max_in_flight, python, modules, name"):
        arc.executor(executable="x")
    with pytest.raises(TypeError, match="name must be a text, not 5"):
        arc.executor(name=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="chunk must be a whole number or \"auto\", not 'many'"):
        arc.executor(chunk="many")  # type: ignore[arg-type]


def test_one_module_needs_no_list(arc: ArcInterface) -> None:
    assert arc.executor(modules="textwrap")._packer.modules == arc.executor(modules=textwrap)._packer.modules
    assert arc.executor(modules=["textwrap"])._packer.modules == [textwrap]


def test_a_job_that_was_erased_shows_its_end_and_says_why_there_is_no_more(arc: ArcInterface) -> None:
    with arc.executor() as executor:
        future = executor.submit(print, "x")
        future.result(LIMIT)
    assert future.job is not None
    assert repr(future.job).endswith("(completed)>")
    for ask in (future.job.info, future.job.explain):
        with pytest.raises(JobNotFoundError, match=r"the job print has made its calls, and was erased; .*stdout\(\)"):
            ask()


# --- The end ---


@pytest.mark.parametrize("name", [None, "kept"])
def test_ctrl_c_stops_at_once_and_says_what_becomes_of_the_jobs(arc: ArcInterface, name: str | None) -> None:
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as caught, arc.executor(name=name, max_in_flight=1) as executor:
        futures = [executor.submit(time.sleep, 600), executor.submit(time.sleep, 601)]
        while futures[0].job is None:
            time.sleep(0.02)
        raise KeyboardInterrupt
    assert time.monotonic() - started < 10
    for future in futures:
        with pytest.raises(BrokenExecutor, match="interrupted"):
            future.result(0)
    end = "1 job was cancelled" if name is None else "1 job goes on: an executor of the same name finds it"
    assert str(caught.value) == f"stopped; {end}"
    (job_id,) = arc.job_list.ids()
    if name is None:
        arc.wait(job_id, timeout=LIMIT)
    else:
        assert not arc.backend.states([job_id])[job_id].final
        arc.cancel_job(job_id)


def test_the_interpreter_ends_once_all_calls_are_made(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import atexit, time
        from pathlib import Path
        from jasmin_arc import ArcInterface
        options = dict(backend="local", local_dir={str(tmp_path)!r}, jobs_info_file={str(tmp_path / "jobs.dat")!r})
        executor = ArcInterface(log=None, **options).executor()
        future = executor.submit(Path({str(tmp_path / "made")!r}).touch)
        @atexit.register
        def late():
            print(future.done())
            try:
                executor.submit(abs, 1)
            except RuntimeError as error:
                print(error)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT, check=True)
    assert done.stdout.splitlines() == ["True", "cannot schedule new futures after interpreter shutdown"]
    assert done.stderr == ""
    assert (tmp_path / "made").exists()
