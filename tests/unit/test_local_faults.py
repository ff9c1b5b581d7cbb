"""The local backend when processes are killed and many submit at once: nothing is lost, nothing runs twice."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from local_kit import Kit, alive, shell, until

from jasmin_arc.backends.local import backend as local_backend
from jasmin_arc.backends.local import supervisor
from jasmin_arc.backends.local.layout import Layout
from jasmin_arc.backends.local.store import Store
from jasmin_arc.backends.posix import clean_session as cleaning
from jasmin_arc.backends.posix.files import write_json
from jasmin_arc.constants import RUN_SCRIPT_NAME
from jasmin_arc.description.run_script import OUTPUT_LIST_NAME
from jasmin_arc.exceptions import (
    InputFileError,
    JobListError,
    JobSubmissionError,
    ServerError,
    SubmissionUnknownError,
)
from jasmin_arc.job_list import JobList, JobRecord

SUBMIT_MANY = """
import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])
from local_kit import Kit, shell
kit = Kit(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(int(sys.argv[3])):
    print(*kit.submit(*[shell("echo ran >> " + sys.argv[1] + "/ran.$JASMIN_ARC_TAG",
        environment={"JASMIN_ARC_TAG": f"{sys.argv[4]}.{number}.{part}"}) for part in range(3)]), flush=True)
"""

SUBMIT_INTERRUPTED = """
import random, signal, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])
from local_kit import Kit, shell
kit, generator = Kit(Path(sys.argv[1])), random.Random(3)
def interrupt(*_): raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
for number in range(60):
    try:
        signal.setitimer(signal.ITIMER_REAL, generator.uniform(0.0005, 0.03))
        kit.submit(shell("cat given", inputs={"given": b"x"}), shell("true"))
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        print("interrupted")
kit.submit(shell("true"))
"""


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    kit = Kit(tmp_path)
    yield kit
    kit.close()


def submitter(kit: Kit, *, times: int, tag: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", SUBMIT_MANY, str(kit.folder), str(Path(__file__).parent), str(times), tag]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def change_record(kit: Kit, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(kit.layout.database)) as database, database:
        database.execute(statement, values)


def test_a_job_outlives_its_runner_and_its_end_is_seen(kit: Kit) -> None:
    running, queued = kit.submit(
        shell("echo $$ >> once; until [ -e go ]; do sleep 0.02; done; cp once output; exit 7", slots=2),
        shell("echo ran >> output"),
    )
    kit.written(running, "once")
    kit.kill_runner()
    Path(kit.layout.session(running.rpartition("/")[2]), "go").touch()
    # Nobody asks: the job's supervisor finds no runner and starts one.
    until(lambda: kit.runners(), "for another runner")
    first, second = kit.ended(running, queued)
    assert (first.state, first.exit_code) == ("Failed", 7)
    assert len(kit.read(running, "output").split()) == 1
    assert kit.read(queued, "output") == b"ran\n"
    assert second.state == "Finished"


def test_a_job_of_a_former_runner_can_be_cancelled(kit: Kit) -> None:
    job_id = kit.one("setsid sleep 300 & echo $! > output; sleep 300")
    pid = int(kit.written(job_id, "output"))
    kit.kill_runner()
    kit.backend.cancel([job_id])
    assert kit.ended(job_id)[0].state == "Killed"
    assert not alive(pid)


def test_an_end_that_no_runner_saw_is_found(kit: Kit) -> None:
    job_id = kit.one("until [ -e output ]; do sleep 0.02; done")
    supervisor = kit.supervisor(job_id)
    (runner,) = until(kit.runners)
    os.kill(runner, signal.SIGSTOP)
    Path(kit.layout.session(job_id.rpartition("/")[2]), "output").touch()
    until(lambda: not alive(supervisor))
    assert kit.info(job_id).state == "Finishing"
    os.kill(runner, signal.SIGKILL)
    until(kit.no_runner)
    assert kit.ended(job_id)[0].state == "Finished"


def test_a_job_is_started_once_however_often_runners_are_killed(kit: Kit) -> None:
    generator = random.Random(5)
    count = 40
    script = 'echo ran >> "$MARK"; sleep 0.02'
    ids = kit.submit(*[shell(script, environment={"MARK": f"{kit.folder}/ran.{i}"}) for i in range(count)])
    for _ in range(12):
        time.sleep(generator.random() * 0.15)
        for runner in kit.runners():
            # One that was one too many may have ended by itself.
            with suppress(ProcessLookupError):
                os.kill(runner, signal.SIGKILL)
        kit.backend._started = float("-inf")
        kit.backend.states(ids)
    assert {info.state for info in kit.ended(*ids)} == {"Finished"}
    assert [(kit.folder / f"ran.{i}").read_text() for i in range(count)] == ["ran\n"] * count


def test_a_job_whose_supervisor_was_killed_has_failed_and_is_gone(kit: Kit) -> None:
    for with_runner in (True, False):
        job_id = kit.one("setsid sleep 300 & echo $! > output; touch other; sleep 300")
        pid = int(kit.written(job_id, "output"))
        supervisor = kit.supervisor(job_id)
        if not with_runner:
            kit.kill_runner()
        os.kill(supervisor, signal.SIGKILL)
        (info,) = kit.ended(job_id)
        assert (info.state, info.exit_code) == ("Failed", None)
        assert "not known" in info.errors[0]
        until(lambda: not alive(pid), "for the rest of the job to end")  # noqa: B023
        assert kit.files(job_id) == ["output", "stderr", "stdout"]


def test_a_job_that_cannot_be_started_says_why(kit: Kit) -> None:
    (runner,) = until(lambda: kit.run("true") and kit.runners())
    os.kill(runner, signal.SIGSTOP)
    job_id = kit.one("true")
    Path(kit.layout.session(job_id.rpartition("/")[2])).rename(kit.folder / "away")
    os.kill(runner, signal.SIGCONT)
    (info,) = kit.ended(job_id)
    assert info.state == "Failed"
    assert "could not be started: [Errno 2]" in info.errors[0]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A folder with one job, without a runner."""
    layout = Layout(str(tmp_path), "host")
    layout.make()
    Path(layout.session("key")).mkdir(parents=True)
    return layout


def supervisor_of(layout: Layout, script: str, *, output_list: str = "", then: Callable[[], object] = int) -> int:
    """Start a supervisor for the job, as the runner does; its exit code is 0 if all went well, and `then` as well."""
    Path(layout.session("key"), RUN_SCRIPT_NAME).write_text(script)
    spec = {"wall_time": None, "environment": {"PATH": os.defpath}, "outputs": ["output"], "output_list": output_list}
    child = os.fork()
    if child == 0:
        try:
            supervisor.supervise(layout, "key", spec)
            then()
        finally:
            os._exit(sys.exc_info()[0] is not None)
    return child


def test_a_full_disk_loses_neither_how_a_job_ended_nor_its_outputs(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Path(layout.session("key"))
    room: list[bool] = []

    def full(path: str, value: object) -> None:
        room.append(not (session / "scratch").exists())
        if len(room) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_json(path, value)

    def check() -> None:
        assert room == [False, True, True]

    monkeypatch.setattr(supervisor, "write_json", full)
    monkeypatch.setattr(supervisor.time, "sleep", lambda _: None)
    script = f"touch out.nc scratch; echo out.nc > {OUTPUT_LIST_NAME}; exit 3"
    child = supervisor_of(layout, script, output_list=OUTPUT_LIST_NAME, then=check)
    assert os.waitpid(child, 0)[1] == 0
    assert json.loads(Path(layout.job("key", "done")).read_text())["exit_code"] == 3
    assert sorted(path.name for path in session.iterdir()) == ["out.nc", "stderr", "stdout"]


def test_a_process_that_does_not_listen_is_killed(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.2)
    output = Path(layout.session("key"), "output")
    stubborn = "env -i sh -c 'trap \"\" TERM; echo $$ > pid; mv pid output; while :; do sleep 1; done' & sleep 300"
    child = supervisor_of(layout, stubborn)
    until(output.exists)
    os.kill(child, signal.SIGTERM)
    assert os.waitpid(child, 0)[1] == 0
    assert json.loads(Path(layout.job("key", "done")).read_text())["state"] == "KILLED"
    assert not alive(int(output.read_text()))


def test_a_machine_that_went_down_leaves_failed_jobs(kit: Kit) -> None:
    running, waiting = kit.submit(shell("echo > output; sleep 300", slots=2), shell("true"))
    kit.written(running, "output")
    supervisor = kit.supervisor(running)
    kit.kill_runner()
    os.kill(supervisor, signal.SIGKILL)
    change_record(kit, "UPDATE jobs SET boot = 'before'")
    infos = kit.backend.query([running, waiting])
    assert [info.state for info in infos.values()] == ["Failed", "Failed"]
    assert "was restarted while the job ran" in infos[running].errors[0]
    assert "was restarted before the job had started" in infos[waiting].errors[0]
    assert kit.files(running) == ["output", "stderr", "stdout"]
    assert kit.files(waiting) == []


def test_an_end_that_was_written_down_before_the_machine_went_down_counts(tmp_path: Path) -> None:
    kit = Kit(tmp_path, slots=3)
    job = shell("until [ -e go ]; do sleep 0.02; done; exit 3", outputs=["g*"])
    tidied, untidy, cut = ids = kit.submit(job, job, job)
    folders = [kit.claim(job_id).parent for job_id in ids if kit.supervisor(job_id)]
    (runner,) = until(kit.runners)
    os.kill(runner, signal.SIGSTOP)
    for folder in folders:
        (folder / "session" / "go").touch()
    until(lambda: all((folder / "done").exists() for folder in folders), "for the supervisors to write it down")
    (folders[1] / "done").rename(folders[1] / "exit")
    (folders[1] / "session" / "left").touch()
    (folders[2] / "done").write_text("")
    os.kill(runner, signal.SIGKILL)
    until(kit.no_runner)
    change_record(kit, "UPDATE jobs SET boot = 'before'")
    infos = kit.backend.query(ids)
    assert [infos[job_id].exit_code for job_id in ids] == [3, 3, None]
    assert "Job failed" in infos[tidied].errors[0]
    assert "was restarted while the job ran" in infos[cut].errors[0]
    assert kit.files(tidied) == ["go", "stderr", "stdout"]
    assert "left" not in kit.files(untidy)
    kit.close()


def test_tidying_up_that_was_cut_short_is_done_once_more(tmp_path: Path) -> None:
    for name in ("a.nc", "b.txt", "stdout"):
        (tmp_path / name).touch()
    for number in range(30):
        (tmp_path / f"d{number}").mkdir()
    (tmp_path / OUTPUT_LIST_NAME).write_text("a.nc\n")

    def cut_short(folder: str) -> None:
        os.rmdir(folder)
        if not list(tmp_path.glob("d*")):
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cleaning, "remove_tree", cut_short)
        cleaning.clean_session(str(tmp_path), [], OUTPUT_LIST_NAME)
    cleaning.clean_session(str(tmp_path), [], OUTPUT_LIST_NAME)
    cleaning.clean_session(str(tmp_path), [], OUTPUT_LIST_NAME)
    cleaning.drop_output_list(str(tmp_path), OUTPUT_LIST_NAME)
    assert {path.name for path in tmp_path.iterdir()} == {"a.nc", "stdout"}


def test_a_job_of_another_host_is_not_judged_here(kit: Kit) -> None:
    job_id = kit.run("true").id
    elsewhere = job_id.replace(os.uname().nodename, "elsewhere", 1)
    kit.kill_runner()
    change_record(kit, "UPDATE jobs SET host = 'elsewhere', boot = 'other', state = 'RUNNING', ended = NULL")
    assert kit.backend.list_jobs() == [elsewhere]
    info = kit.info(elsewhere)
    assert (info.state, info.nodes) == ("Running", ("elsewhere",))
    assert "only elsewhere can say" in kit.backend.evidence(elsewhere)["status"]
    assert kit.backend.cancel([elsewhere]) == {}
    assert list(kit.backend.clean([elsewhere])) == [elsewhere]
    assert kit.info(elsewhere).state == "Running"
    assert kit.backend.query([job_id]) == {}


def test_two_processes_submit_at_once(kit: Kit) -> None:
    processes = [submitter(kit, times=8, tag=tag) for tag in ("a", "b")]
    outputs = [process.communicate()[0] for process in processes]
    ids = [job_id for output in outputs for job_id in output.split()[1:]]
    assert len(set(ids)) == 48
    assert {info.state for info in kit.ended(*ids)} == {"Finished"}
    assert sorted(kit.job_list.ids()) == sorted(kit.backend.list_jobs()) == sorted(ids)
    assert sorted(path.read_text() for path in kit.folder.glob("ran.*")) == ["ran\n"] * 48
    assert len(kit.runners()) == 1


def test_a_submitter_killed_at_any_point_leaves_jobs_that_run_or_never_were(kit: Kit) -> None:
    generator = random.Random(7)
    told: list[str] = []
    for number in range(8):
        process = submitter(kit, times=1000, tag=str(number))
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(generator.random() * 0.2)
        process.kill()
        told += [
            job_id
            for line in process.communicate()[0].splitlines(keepends=True)
            if "\n" in line
            for job_id in line.split()
        ]
    settled = kit.backend.recover()
    jobs = kit.backend.list_jobs()
    assert set(told) <= set(jobs)
    assert set(kit.job_list.ids()) == set(jobs)
    assert {job_id for job_id, info in settled.items() if info} <= set(jobs)
    assert not {job_id for job_id, info in settled.items() if info is None} & set(jobs)
    assert kit.job_list.unfinished(kit.backend.endpoint) == []
    assert {info.state for info in kit.ended(*jobs)} == {"Finished"}
    ran = [path.read_text() for path in kit.folder.glob("ran.*")]
    assert ran == ["ran\n"] * len(jobs)
    assert {path.name for path in Path(kit.layout.jobs).iterdir()} == {job_id.rpartition("/")[2] for job_id in jobs}


def test_an_interrupted_submission_leaves_jobs_that_run_and_are_listed_or_never_were(kit: Kit) -> None:
    argv = [sys.executable, "-c", SUBMIT_INTERRUPTED, str(kit.folder), str(Path(__file__).parent)]
    assert "interrupted" in subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
    # An interruption before the first line of the submission leaves its intention.
    assert len(kit.backend.recover()) <= 2
    jobs = kit.backend.list_jobs()
    assert {info.state for info in kit.ended(*jobs)} == {"Finished"}
    assert set(kit.job_list.ids()) == set(jobs)
    assert kit.job_list.unfinished(kit.backend.endpoint) == []
    assert {path.name for path in Path(kit.layout.jobs).iterdir()} == {job_id.rpartition("/")[2] for job_id in jobs}


def test_jobs_whose_record_was_just_written_are_not_undone_by_an_interruption(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Store.add

    def add(self: Store, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "add", add)
    with pytest.raises(KeyboardInterrupt):
        kit.one("cat given > output", inputs={"given": b"x"})
    (job_id,) = kit.job_list.ids()
    assert kit.ended(job_id)[0].state == "Finished"
    assert kit.read(job_id, "output") == b"x"


def broken_after_the_record(monkeypatch: pytest.MonkeyPatch, *, in_batch: int, fault: Callable[[Store], None]) -> None:
    """Let the record of a batch be written, and a fault come right after it. A batch is one job here."""
    original, numbers = Store.add, iter(range(1, 100))

    def add(self: Store, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)  # type: ignore[arg-type]
        if next(numbers) == in_batch:
            fault(self)

    monkeypatch.setattr(Store, "add", add)
    monkeypatch.setattr(local_backend, "_BATCH_SIZE", 1)


def io_error(_: Store) -> None:
    raise sqlite3.OperationalError("disk I/O error")


@pytest.mark.parametrize("batch", [1, 2])
def test_an_error_after_the_record_does_not_hide_the_id_of_a_job_that_runs(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    broken_after_the_record(monkeypatch, in_batch=batch, fault=io_error)
    ids = kit.submit(*[shell(f"echo ran >> {kit.folder}/ran{number}") for number in range(3)])
    assert {info.state for info in kit.ended(*ids)} == {"Finished"}
    assert [(kit.folder / f"ran{number}").read_text() for number in range(3)] == ["ran\n"] * 3
    assert kit.job_list.ids() == ids


@pytest.mark.parametrize("batch", [1, 2])
def test_a_job_whose_record_cannot_be_read_is_unknown_until_recover_finds_it(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    def unreadable(store: Store) -> None:
        store.close()
        io_error(store)

    broken_after_the_record(monkeypatch, in_batch=batch, fault=unreadable)
    results = kit.backend.submit([shell("echo ran > output")] * 2)
    error = results.pop(batch - 1)
    assert isinstance(error, SubmissionUnknownError)
    assert "cannot be read" in str(error)
    (told,) = map(str, results)
    (found,) = kit.backend.recover()
    assert {info.state for info in kit.ended(told, found)} == {"Finished"}
    assert set(kit.job_list.ids()) == {told, found}
    assert found in str(error)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_job_list_that_fails_after_the_record_hides_no_ids(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    def no_list(_: Store) -> None:
        kit.job_list.path.rename(kit.folder / "away")
        kit.job_list.path.mkdir()

    broken_after_the_record(monkeypatch, in_batch=batch, fault=no_list)
    results = kit.backend.submit([shell("echo ran > output")] * 2)
    assert [isinstance(result, str) for result in results[: batch - 1]] == [True] * (batch - 1)
    assert isinstance(results[batch - 1], SubmissionUnknownError)
    (unknown,) = [job_id for job_id in kit.backend.list_jobs() if job_id in str(results[batch - 1])]
    assert [type(result) for result in results[batch:]] == [JobSubmissionError] * (2 - batch)
    assert len(kit.backend.list_jobs()) == batch
    assert kit.ended(unknown)[0].state == "Finished"
    kit.job_list.path.rmdir()
    (kit.folder / "away").rename(kit.job_list.path)


def test_what_cannot_be_tidied_up_after_a_submission_hides_no_ids(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    (kit.folder / "given").write_text("x")
    original = JobList.intend

    def intend(self: JobList, records: Iterable[JobRecord]) -> None:
        original(self, records)
        (kit.folder / "given").unlink()

    def drop(self: JobList, tokens: Iterable[str]) -> None:
        raise JobListError("the job list is locked")

    monkeypatch.setattr(JobList, "intend", intend)
    monkeypatch.setattr(JobList, "drop", drop)
    bad, good = kit.backend.submit([shell("true", inputs=[kit.folder / "given"]), shell("true")])
    assert isinstance(bad, InputFileError)
    assert kit.ended(str(good))[0].state == "Finished"


def test_a_folder_that_cannot_be_used_is_an_error_that_names_it(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    other = Kit(tmp_path / "other")
    other.backend._layout.root = str(tmp_path / "file" / "state")
    for call in (lambda: other.backend.submit([shell("true")]), lambda: other.backend.query(["local://h/1"])):
        with pytest.raises(ServerError, match=r"LOCAL_DIR.*file/state"):
            call()


def test_the_jobs_before_a_failure_have_their_answers(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = Store.add, iter([True, False])

    def add(self: Store, *args: object, **kwargs: object) -> None:
        if not next(calls):
            raise sqlite3.OperationalError("disk I/O error")
        original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "add", add)
    monkeypatch.setattr(local_backend, "_BATCH_SIZE", 20)
    results = kit.backend.submit([shell("true")] * 30)
    ids = [result for result in results if isinstance(result, str)]
    assert len(ids) == 20
    assert {type(result) for result in results[20:]} == {JobSubmissionError}
    assert {info.state for info in kit.ended(*ids)} == {"Finished"}
    assert len(list(Path(kit.layout.jobs).iterdir())) == len(kit.job_list.ids()) == 20
    assert kit.job_list.unfinished(kit.backend.endpoint) == []


def test_a_record_of_another_version_is_left_alone(kit: Kit) -> None:
    kit.run("true")
    change_record(kit, "PRAGMA user_version = 99")
    with pytest.raises(ServerError, match=r"another version.*99"):
        kit.backend.list_jobs()
    change_record(kit, "PRAGMA user_version = 1")


def test_ten_thousand_jobs_are_all_found(kit: Kit) -> None:
    kit.run("true")
    row = {"host": kit.layout.host, "boot": "", "fetch": 0, "name": "n", "slots": 1, "submitted": 1.0, "plan": "{}"}
    with Store(kit.layout.database) as store:
        store.add([{**row, "key": f"k{number}"} for number in range(10_000)], host=kit.layout.host, slots=2)
    change_record(kit, "UPDATE jobs SET state = 'FINISHED', ended = 2.0")
    infos = kit.backend.query(kit.backend.list_jobs())
    assert (len(infos), {info.state for info in infos.values()}) == (10_001, {"Finished"})
