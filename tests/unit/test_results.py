"""Jobs are named by ids, names and handles, one or many; handles on many are one sequence."""

from __future__ import annotations

import asyncio
import copy
import inspect
import io
import logging
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas
import pytest
from job_list_kit import add
from memory_backend import MemoryBackend

import jasmin_arc
from jasmin_arc import (
    AmbiguousJobError,
    ArcInterface,
    InvalidConfigError,
    InvalidJobDescription,
    JasminArcError,
    JobDescription,
    JobFailedError,
    JobNotFoundError,
    Jobs,
    JobStatuses,
    LogLevels,
    OperationNotPossibleError,
    PartialFailureError,
)
from jasmin_arc._support.bulk import word_of, words_of
from jasmin_arc.constants import JobState
from jasmin_arc.interface.asking import states_of
from jasmin_arc.job import Job
from jasmin_arc.job_info import JobInfo
from jasmin_arc.job_list import JobList, JobRecord
from jasmin_arc.job_list.ledger import Ledger

ID = "https://ce.example/arex/rest/1.0/jobs/abc"
COMPLETED, FAILED = JobStatuses.COMPLETED, JobStatuses.FAILED
SLEEP = JobDescription("sleep", [60], name="sleep")


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return {"backend": "local", "local_dir": tmp_path / "d", "jobs_info_file": tmp_path / "jobs.dat", "log": None}


@pytest.fixture
def arc(options: dict[str, Any]) -> Iterator[ArcInterface]:
    with ArcInterface(**options) as arc:
        yield arc
        arc.cancel_jobs(arc.list_jobs())


# --- Names ---


def test_a_job_is_named_by_its_id_its_name_or_a_handle(arc: ArcInterface) -> None:
    job = arc.submit("/bin/true", name="model-1961")
    short = job.id.rpartition("/")[2][:8]
    assert word_of(job) == job.id and words_of([job, "x"]) == [job.id, "x"]
    assert words_of(job) == [job.id] and words_of("x") == ["x"]
    for named in (job, job.id, "model-1961", short):
        assert arc.job(named) == job
        assert arc.wait(named) == arc.wait([named]) == [COMPLETED]
        assert arc.get_job_status(named) is COMPLETED
    assert arc.get_job_statuses("model-*") == [COMPLETED]


@pytest.mark.parametrize("wrong", [5, None, b"https://ce.example/1", Path("/x")])
def test_what_names_no_job_is_refused(wrong: Any) -> None:
    for call in (word_of, words_of, lambda it: words_of([it])):
        with pytest.raises(TypeError, match="a job is named by its id, its name, or a Job"):
            call(wrong)


def test_a_word_that_names_no_job_is_not_found(arc: ArcInterface) -> None:
    with pytest.raises(JobNotFoundError, match="no job matches '7'"):
        arc.wait([ID, "7"])


def test_only_one_job_is_cancelled_by_the_call_for_one(arc: ArcInterface) -> None:
    jobs = arc.submit([SLEEP] * 2)
    with pytest.raises(AmbiguousJobError, match="2 jobs are called 'sleep'"):
        arc.cancel_job("sleep")
    assert arc.job("sleep") == jobs[1]
    arc.cancel_jobs("sleep")
    assert jobs.wait() == [FAILED] * 2


def test_every_method_that_takes_jobs_says_how_they_are_named() -> None:
    said = {
        name: parameter.annotation
        for name, method in inspect.getmembers(ArcInterface, inspect.isfunction)
        for parameter in inspect.signature(method).parameters.values()
        if not name.startswith("_") and parameter.name in ("job_id", "job_ids")
    }
    assert len(said) > 15
    assert set(said.values()) == {"JobLike", "JobsLike"}


def test_handles_instead_of_ids(arc: ArcInterface, tmp_path: Path) -> None:
    jobs = [arc.job(arc.submit_job("/bin/echo", [text])) for text in ("one", "two")]
    assert arc.wait(jobs) == arc.get_job_statuses(jobs) == [COMPLETED] * 2
    assert {job.id for job in arc.as_completed(jobs)} == {job.id for job in jobs}
    assert [info.id for info in arc.get_job_infos([jobs[0], jobs[1].id])] == [job.id for job in jobs]
    assert (arc.get_job_status(jobs[0]), arc.get_job_info(jobs[0]).id) == (COMPLETED, jobs[0].id)
    assert arc.read(jobs[0]) == "".join(arc.follow(jobs[0])) == "one\n"
    with arc.open(jobs[1]) as stream:
        assert stream.read() == b"two\n"
    assert {file.name for file in arc.list_files(jobs[0])} == {"stdout", "stderr"}
    assert arc.explain(jobs[0]).cause == "finished"
    assert arc.save_job_outputs(jobs[0], directory=tmp_path / "one") == str(tmp_path / "one")
    finished: list[Job] = list(arc.as_completed(jobs))
    assert None not in arc.save_outputs(finished, tmp_path / "all")
    (again,) = arc.resubmit_jobs([jobs[0]])
    arc.cancel_job(arc.job(again))
    arc.cancel_jobs([arc.job(again)])
    arc.wait([arc.job(again)])
    arc.clean_jobs([*jobs, arc.job(again)], force=True)
    assert arc.list_jobs() == []


def test_a_handle_shows_the_name_that_it_knows(arc: ArcInterface) -> None:
    job = Job(arc, ID, "m-1961\x1b[2J")
    assert repr(job).startswith("<Job m-1961") and repr(job).endswith(f" {ID}>") and "\x1b" not in repr(job)
    assert repr(Job(arc, ID)) == f"<Job {ID}>"


def test_a_list_of_words_is_not_a_list_of_jobs(arc: ArcInterface) -> None:
    with pytest.raises(TypeError, match="not 'echo'; for one job, give the program and a list of its arguments"):
        arc.submit(["echo", "hello"])  # type: ignore[list-item]


def test_options_that_are_given_as_keywords_are_named_so(arc: ArcInterface) -> None:
    assert arc.config.sources["BACKEND"] == "the arguments of ArcInterface"
    with pytest.raises(InvalidConfigError, match="the arguments of ArcInterface: BACKEND must be one of"):
        ArcInterface(backend="lokal")


@pytest.mark.parametrize(("count", "told"), [(1, False), (2, True)])
def test_a_refused_job_is_in_the_log_where_there_were_several(options: dict[str, Any], count: int, told: bool) -> None:
    """Of one job, the error says it all."""
    log = io.StringIO()
    with ArcInterface(**{**options, "log": log, "log_level": LogLevels.INFO}) as arc, pytest.raises(JasminArcError):
        arc.submit_jobs([{"executable": "true", "inputs": ["no-such-file"]}] * count)
    assert ("2 of 2 jobs were not submitted" in log.getvalue()) is told


# --- Lists ---


@pytest.mark.parametrize("status", ["failed", "FAILED", "Failed", FAILED])
def test_a_status_is_given_by_its_value_its_name_or_itself(arc: ArcInterface, status: JobStatuses | str) -> None:
    good, bad = arc.submit([{"executable": "true"}, {"executable": "false"}])
    arc.wait([good, bad])
    assert arc.list_jobs(status=status) == [bad.id]
    assert arc.list_jobs(status="not-started") == arc.list_jobs(status="IN_PROGRESS") == []
    assert arc.jobs(status="completed").ids == [good.id]


def test_cancelled_jobs_are_failed_and_can_be_listed_alone(arc: ArcInterface) -> None:
    jobs = arc.submit([SLEEP, JobDescription("false")])
    jobs[:1].cancel()
    jobs.wait()
    assert arc.list_jobs(status="failed") == jobs.ids
    assert arc.list_jobs(status="cancelled") == jobs.ids[:1]


def test_jobs_that_another_process_cancelled_are_listed_as_cancelled(tmp_path: Path) -> None:
    class Place(MemoryBackend):
        """Of many jobs at once, it tells only that they failed, as a compute element does."""

        def list_jobs(self) -> list[str]:
            return ["memory:///killed", "memory:///failed"]

        def states(self, job_ids: Sequence[str]) -> dict[str, JobState | JasminArcError]:
            return dict.fromkeys(job_ids, JobState.FAILED)

        def query(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
            ends = {"memory:///killed": JobState.KILLED, "memory:///failed": JobState.FAILED}
            return {job_id: JobInfo(id=job_id, state=ends[job_id]) for job_id in job_ids}

    place, job_list = Place({}), JobList(tmp_path / "jobs.dat")
    add(job_list, [JobRecord(token=i, endpoint=place.endpoint, name="", id=i) for i in place.list_jobs()])
    ledger = Ledger(place, job_list, logging.getLogger("test"))
    assert set(ledger.states(place.list_jobs()).values()) == {JobState.FAILED}
    for status, found in (("cancelled", place.list_jobs()[:1]), ("failed", place.list_jobs())):
        assert ledger.select(states=states_of(status), name=None, since=None, last=None) == found


def test_jobs_that_only_the_server_knows_do_not_hide_the_newest(tmp_path: Path) -> None:
    class Place(MemoryBackend):
        """It has jobs of another machine too."""

        def list_jobs(self) -> list[str]:
            return ["memory:///own-1", "memory:///other-1", "memory:///own-2", "memory:///other-2"]

    place, job_list = Place({}), JobList(tmp_path / "jobs.dat")
    own = [f"memory:///own-{number}" for number in range(3)]
    add(job_list, [JobRecord(token=i, endpoint=place.endpoint, name="", id=i) for i in own])
    found = Ledger(place, job_list, logging.getLogger("test")).select(states=None, name=None, since=None, last=None)
    assert found == ["memory:///other-1", "memory:///other-2", *own]


def test_a_job_that_another_process_cancelled_is_listed_as_cancelled(
    arc: ArcInterface, options: dict[str, Any], tmp_path: Path
) -> None:
    jobs = arc.submit([SLEEP, JobDescription("false")])
    with ArcInterface(**{**options, "jobs_info_file": tmp_path / "another.dat"}) as another:
        another.cancel_job(jobs[0].id)
        another.wait(jobs.ids)
    # A bulk answer of a CE, and so the job list, says no more of a job that was cancelled elsewhere.
    arc.job_list.set_final(dict.fromkeys(jobs.ids, JobState.FAILED))
    assert arc.list_jobs(status="cancelled") == jobs.ids[:1]
    assert arc.list_jobs(status="failed") == jobs.ids


def test_no_other_status_is_taken(arc: ArcInterface) -> None:
    with pytest.raises(ValueError, match=r"there is no status 'fail'; did you mean 'failed'\?"):
        arc.list_jobs(status="fail")
    with pytest.raises(ValueError, match="it is one of completed, failed, in progress, "):
        arc.list_jobs(status="")
    with pytest.raises(TypeError, match="a status is one of"):
        arc.list_jobs(status=5)  # type: ignore[arg-type]


def test_handles_on_jobs_of_an_earlier_session(options: dict[str, Any]) -> None:
    with ArcInterface(**options) as arc:
        arc.submit([{"executable": "true", "name": f"slow-{number}"} for number in (1, 2)]).wait()
        arc.submit("true", name="other").wait()
    with ArcInterface(**options) as arc:
        jobs = arc.jobs(name="slow-*")
        assert [job.name for job in jobs] == ["slow-1", "slow-2"]
        assert jobs == arc.jobs("slow-*") == arc.jobs(["slow-1", "slow-2"])
        assert arc.jobs(last=1)[0].name == "other"
        with pytest.raises(TypeError, match="either jobs or status, name, since, last"):
            arc.jobs("slow-1", last=1)


# --- Submitting ---


def test_submit_returns_a_handle(arc: ArcInterface) -> None:
    Path("in.txt").write_text("hello")
    job = arc.submit("cat", ["in.txt"], inputs=["in.txt"], name="reader")
    assert (job.name, job.wait(check=True), job.stdout()) == ("reader", COMPLETED, "hello")
    again = arc.submit(JobDescription("cat", ["in.txt"], inputs="in.txt"), name="again")
    assert (again.name, again.wait()) == ("again", COMPLETED)


def test_submit_takes_many(arc: ArcInterface) -> None:
    jobs = arc.submit(
        [JobDescription("echo", [1]), {"executable": "echo", "arguments": [2.5]}], name="both", progress=False
    )
    assert isinstance(jobs, Jobs) and [job.name for job in jobs] == ["both"] * 2
    assert jobs.wait(check=True) == jobs.statuses == [COMPLETED] * 2
    assert [job.stdout() for job in jobs] == ["1\n", "2.5\n"]
    assert arc.submit([]).ids == []
    assert arc.submit(JobDescription("echo", [number]) for number in range(2)).wait() == [COMPLETED] * 2


def test_what_could_be_submitted_of_many_is_told_by_handles(arc: ArcInterface) -> None:
    with pytest.raises(PartialFailureError) as caught:
        arc.submit([JobDescription("true", name="good"), JobDescription("true", inputs=["no-such-file"])])
    good, bad = caught.value.results
    assert isinstance(good, Job) and good.name == "good"
    assert isinstance(bad, jasmin_arc.InputFileError)


def test_the_names_of_2017_and_the_new_ones(arc: ArcInterface) -> None:
    Path("in.txt").write_text("hello")
    ids = [
        arc.submit_job("cat", ["in.txt"], ["in.txt"]),
        arc.submit_job("cat", args=["in.txt"], input_files=["in.txt"]),
        arc.submit_job("cat", arguments=["in.txt"], inputs=["in.txt"]),
        arc.submit("cat", args=["in.txt"], input_files=["in.txt"]).id,
        arc.submit(executable="cat", arguments=["in.txt"], inputs=["in.txt"]).id,
        arc.submit({"executable": "cat", "arguments": ["in.txt"]}, inputs=["in.txt"]).id,
        arc.submit({"executable": "cat", "args": ["in.txt"], "input_files": ["in.txt"]}).id,
        arc.submit_job("cat", pandas.Series(["in.txt"]), ["in.txt"]),
    ]
    arc.wait(ids, check=True)
    assert [arc.read(job_id) for job_id in ids] == ["hello"] * len(ids)
    for call in (arc.submit_job, arc.submit):
        with pytest.raises(TypeError, match="both args and arguments"):
            call("cat", args=["a"], arguments=["b"])
    with pytest.raises(TypeError, match="both args and arguments"):
        arc.submit_job("cat", ["a"], arguments=["b"])


@pytest.mark.parametrize("call", ["submit", "submit_job"])
def test_an_unknown_keyword_suggests_the_nearest(arc: ArcInterface, call: str) -> None:
    with pytest.raises(TypeError, match=r"has no keyword 'walltime'; did you mean 'wall_time'\?"):
        getattr(arc, call)("true", walltime="2h")
    with pytest.raises(TypeError, match=r"did you mean 'memory'\?"):
        getattr(arc, call)("true", mem="2 GB")
    assert {"wall_time", "memory", "name"} <= set(inspect.signature(getattr(arc, call)).parameters)


@pytest.mark.parametrize("command", ["echo hello", "/bin/echo hello", "no-such-program --fast"])
def test_a_command_line_is_no_program(arc: ArcInterface, command: str) -> None:
    program, argument = command.split()
    with pytest.raises(InvalidJobDescription, match=rf"did you mean the program '{program}' with .*'{argument}'"):
        arc.submit(command)
    with pytest.raises(InvalidJobDescription):
        arc.submit_job(command)


def test_a_program_may_have_a_space_in_its_path(arc: ArcInterface, tmp_path: Path) -> None:
    program = tmp_path / "my tools" / "run"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho works\n")
    program.chmod(0o755)
    Path("my program").write_text("#!/bin/sh\necho works\n")
    folder = {"her tools": program.parent}
    jobs = [
        arc.submit(program),
        arc.submit("my program", inputs=["my program"]),
        arc.submit("her tools/run", inputs=folder),
    ]
    assert arc.wait(jobs) == [COMPLETED] * 3


# --- Jobs ---


def test_a_sequence_of_jobs_does_what_is_done_with_jobs(arc: ArcInterface) -> None:
    codes = (0, 3, 0)
    jobs = arc.submit([JobDescription("sh", ["-c", f"echo {code}; exit {code}"], name=f"m-{code}") for code in codes])
    assert jobs.wait() == jobs.statuses == [COMPLETED, FAILED, COMPLETED]
    assert jobs.failed == jobs[1:2] and jobs.failed.ids == [jobs[1].id]
    assert [info.exit_code for info in jobs.infos()] == list(codes)
    folders = [Path(str(folder)) for folder in jobs.outputs("results")]
    assert [folder.parent.name for folder in folders] == ["results"] * 3
    assert [folder.name.partition("-")[0] for folder in folders] == ["m"] * 3
    assert [(folder / "stdout.txt").read_text() for folder in folders] == ["0\n", "3\n", "0\n"]
    again = jobs.failed.resubmit()
    assert [job.name for job in again] == ["m-3"] and again.wait() == [FAILED]
    (jobs + again).clean(force=True)
    assert arc.list_jobs() == []


def test_a_sequence_of_jobs_as_a_data_frame(arc: ArcInterface) -> None:
    jobs = arc.submit([JobDescription("sh", ["-c", f"exit {code}"], name=f"m-{code}") for code in (0, 3)])
    jobs.wait()
    frame = jobs.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["name"]) == ["m-0", "m-3"]
    assert list(frame["status"]) == ["completed", "failed"]
    assert frame[frame.status == "failed"].exit_code.item() == 3
    assert frame.submitted.dtype.kind == "M"


def test_outputs_go_to_a_folder_called_like_the_job(arc: ArcInterface) -> None:
    job = arc.submit("sh", ["-c", "echo 1 > result.txt"], outputs=["result.txt"], name="mean")
    job.wait()
    folder = Path(str(job.outputs()))
    assert folder == Path(f"mean-{job.id.rpartition('/')[2][:8]}")
    assert (folder / "result.txt").read_text() == "1\n"
    assert job.outputs("elsewhere") == "elsewhere"
    temporary = Path(str(arc.save_job_outputs(job)))
    assert temporary.is_absolute() and Path.cwd() not in temporary.parents


def test_a_handle_raises_the_error_of_its_own_job(arc: ArcInterface) -> None:
    job = arc.submit(SLEEP)
    with pytest.raises(OperationNotPossibleError, match="has not ended"):
        job.clean()
    job.cancel()
    with pytest.raises(JobFailedError):
        job.wait(check=True)
    job.clean()
    with pytest.raises(JobNotFoundError):
        job.info()


def test_jobs_have_failed_also_where_nobody_can_tell_why(options: dict[str, Any]) -> None:
    class Silent(ArcInterface):
        def explain(self, job_id: Any) -> Any:
            raise jasmin_arc.ServerError("the server does not answer")

    with Silent(**options) as arc:
        job = arc.submit("false")
        with pytest.raises(
            JobFailedError, match="did not succeed; why cannot be told now: the server does not"
        ) as caught:
            job.wait(check=True)
    assert caught.value.job_ids == [job.id]


# --- What a user sees of errors ---


def test_an_error_shows_the_users_lines_and_one_of_the_library(arc: ArcInterface) -> None:
    with pytest.raises(JobNotFoundError) as caught:
        arc.job("local://elsewhere/jobs/1").wait()
    frames = [Path(frame.filename).name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames == [Path(__file__).name, "tracebacks.py"]
    with pytest.raises(JobNotFoundError) as caught:
        list(arc.as_completed(["local://elsewhere/jobs/1"]))
    frames = [Path(frame.filename).name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames == [Path(__file__).name, "tracebacks.py"]


def test_what_led_to_an_error_is_kept_and_not_shown(options: dict[str, Any]) -> None:
    options["jobs_info_file"].write_text("this is no job list")
    with ArcInterface(**options) as arc, pytest.raises(jasmin_arc.JobListError) as caught:
        arc.submit("true")
    shown = "".join(traceback.format_exception(type(caught.value), caught.value, caught.value.__traceback__))
    assert "direct cause" not in shown and "During handling" not in shown
    assert caught.value.__context__ is not None


def test_the_debug_log_brings_whole_tracebacks(options: dict[str, Any], tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        options.update(log=log, log_level=LogLevels.DEBUG)
        with ArcInterface(**options) as arc, pytest.raises(JobNotFoundError) as caught:
            arc.get_job_status("local://elsewhere/jobs/1")
    frames = [Path(frame.filename).name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "asking.py" in frames


@pytest.mark.parametrize("how", ["wait", "jobs", "job", "as_completed", "follow"])
def test_an_interrupted_wait_leaves_one_sentence(arc: ArcInterface, how: str) -> None:
    jobs = arc.submit([SLEEP] * (1 if how in ("job", "follow") else 2))
    timer = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
    timer.start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as caught:
        {
            "wait": lambda: arc.wait(jobs),
            "jobs": jobs.wait,
            "job": jobs[0].wait,
            "as_completed": lambda: [*arc.as_completed(jobs)],
            "follow": lambda: [*arc.follow(jobs[0])],
        }[how]()
    timer.join()
    assert time.monotonic() - begin < 5
    goes_on = "2 jobs go on" if len(jobs) > 1 else "the job goes on"
    back = "follow(id)" if how == "follow" else "wait()"
    assert str(caught.value).startswith(f"stopped; {goes_on}: {back} leads back to ")
    frames = [Path(frame.filename).name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[-1] == ("files.py" if how == "follow" else "tracebacks.py")
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert JobStatuses.COMPLETED not in jobs.statuses and not jobs.failed


def test_an_awaited_job_is_let_go_though_nothing_wakes_the_loop(arc: ArcInterface) -> None:
    """As by the stop button of a notebook, which cancels the task in the handler of a signal."""
    job = arc.submit(SLEEP)

    async def wait() -> None:
        task = asyncio.ensure_future(arc.status_when_ended(job))
        signal.signal(signal.SIGUSR1, lambda *_: task.cancel())
        await task

    before = signal.getsignal(signal.SIGUSR1)
    timer = threading.Timer(1, signal.pthread_kill, [threading.main_thread().ident, signal.SIGUSR1])
    timer.start()
    begin = time.monotonic()
    try:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(wait())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert time.monotonic() - begin < 20
    assert job.status is not FAILED


# --- Options ---


def test_every_option_is_a_keyword(tmp_path: Path) -> None:
    parameters = jasmin_arc.config.Options.__annotations__
    assert [name.upper() for name in parameters] == list(jasmin_arc.config.OPTIONS)
    with ArcInterface(config={"TIMEOUT": 5, "LOCAL_SLOTS": 1}, backend="local", timeout=6, log=None) as arc:
        assert (arc.config.BACKEND, arc.config.TIMEOUT, arc.config.LOCAL_SLOTS) == ("local", 6, 1)


def test_an_unknown_option_suggests_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"no keyword 'backed'; did you mean 'backend'\?"):
        ArcInterface(backed="local")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="not both"):
        ArcInterface(config=jasmin_arc.ConnectionConfig({}), backend="local")
    with pytest.raises(jasmin_arc.InvalidConfigError, match="config must be a mapping"):
        ArcInterface(config="local", backend="local")  # type: ignore[arg-type]


# --- Other processes ---


def test_handles_go_to_other_processes(arc: ArcInterface) -> None:
    jobs = arc.submit([{"executable": "true", "name": name} for name in "ab"])
    assert arc.wait(jobs) == [COMPLETED] * 2
    for there in (pickle.loads(pickle.dumps(jobs)), copy.deepcopy(jobs)):
        assert there == jobs
        assert [job.name for job in there] == ["a", "b"]
        with there.interface as other:
            assert other is not arc
            assert there.statuses == [COMPLETED] * 2


# --- The log ---


def test_many_jobs_are_one_line_of_the_log(options: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    del options["log"]
    with ArcInterface(**options) as arc:
        jobs = arc.submit([{"executable": "true"}] * 3)
        arc.submit("true")
        (jobs + arc.jobs(last=1)).wait()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("[INFO] ")[2].partition("//")[0] for line in lines] == [
        "submitted 3 jobs to local:",
        "submitted local:",
    ]


def test_a_notebook_is_shown_warnings_alone(options: dict[str, Any], mocker: Any) -> None:
    del options["log"]
    ipython = mocker.Mock()
    mocker.patch.dict("sys.modules", IPython=ipython)
    with ArcInterface(**options) as arc:
        assert not arc.logger.isEnabledFor(LogLevels.INFO.value * 5)
        assert arc.logger.level == 30
    ipython.get_ipython.return_value.kernel = None
    with ArcInterface(**options) as arc:
        assert arc.logger.level == 20
