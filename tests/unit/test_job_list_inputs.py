"""Contents of inputs that are given as bytes: kept once beside the job list, as long as a job needs them."""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import resource
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_list_kit import add

from jasmin_arc import ArcInterface
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import InputFileError, JobListError, PartialFailureError
from jasmin_arc.job_list import JobList, JobRecord, new_token
from jasmin_arc.job_list.spool import Spool
from jasmin_arc.job_list.sqlite import Database

MakeArc = Callable[..., ArcInterface]
ENDPOINT = "https://ce.example.org:443/arex"


@pytest.fixture
def arc(make_arc: MakeArc) -> ArcInterface:
    return make_arc("local")


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "jobs.dat.inputs"


@pytest.fixture
def job_list(tmp_path: Path) -> JobList:
    return JobList(tmp_path / "jobs.dat")


def job(**values: object) -> JobDescription:
    return JobDescription(**{"executable": "cat", "arguments": ["data"], "outputs": [], **values})  # type: ignore[arg-type]


def url(name: str) -> str:
    return f"{ENDPOINT}/rest/1.0/jobs/{name}"


def record(job_list: JobList, content: bytes, token: str | None = None) -> JobRecord:
    return job_list.record(job(inputs={"data": content}), endpoint=ENDPOINT, token=token or new_token())


def submit(job_list: JobList, content: bytes, name: str) -> str:
    one = record(job_list, content)
    job_list.intend([one])
    job_list.created({one.token: url(name)})
    job_list.commit([url(name)])
    return url(name)


def recorded(job_list: JobList, job_id: str) -> JobDescription:
    return JobDescription.from_json(job_list.get([job_id])[job_id].description)


def submit_jobs(arc: ArcInterface, *jobs: JobDescription) -> list[str]:
    ids = arc.submit_jobs(list(jobs))
    arc.wait(ids)
    return ids


def test_a_large_content_is_kept_once_and_not_in_the_records(arc: ArcInterface, tmp_path: Path, spool: Path) -> None:
    submit_jobs(arc, *[job(executable="true", arguments=[], inputs={"data": b"x" * 2_000_000})] * 20)
    records = [tmp_path / "jobs.dat", *(tmp_path / "local").rglob("jobs.sqlite")]
    assert len(records) == 2
    assert sum(path.stat().st_size for path in records) < 1_000_000
    (content,) = spool.iterdir()
    assert content.read_bytes() == b"x" * 2_000_000
    assert (stat.S_IMODE(spool.stat().st_mode), stat.S_IMODE(content.stat().st_mode)) == (0o700, 0o600)


def test_jobs_are_submitted_again_with_the_same_contents(arc: ArcInterface) -> None:
    both = job(arguments=["data", "-"], inputs={"data": b"one \0\xff\n"}, stdin=b"two\n")
    ids = submit_jobs(arc, both)
    again = arc.resubmit_jobs(ids)
    arc.wait(again)
    for job_id in (*ids, *again):
        assert arc.read(job_id, encoding=None) == b"one \0\xff\ntwo\n"


def test_a_content_goes_with_the_last_job_that_has_it(arc: ArcInterface, spool: Path) -> None:
    first, second, third = submit_jobs(
        arc, job(inputs={"data": b"same"}), job(inputs={"data": b"same"}), job(inputs={"data": b"other"})
    )
    assert {path.read_bytes() for path in spool.iterdir()} == {b"same", b"other"}
    arc.clean_jobs([first, third], force=True)
    assert [path.read_bytes() for path in spool.iterdir()] == [b"same"]
    arc.clean_jobs([second], force=True)
    assert list(spool.iterdir()) == []


def test_a_job_that_was_submitted_again_needs_the_content_too(arc: ArcInterface, spool: Path) -> None:
    (first,) = submit_jobs(arc, job(inputs={"data": b"same"}))
    (second,) = arc.resubmit_jobs([first])
    arc.wait([second])
    arc.clean_jobs([first], force=True)
    (third,) = arc.resubmit_jobs([second])
    arc.wait([third])
    assert arc.read(third, encoding=None) == b"same"
    arc.clean_jobs([second, third], force=True)
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"sane"), lambda path: path.unlink()])
def test_a_content_that_is_not_what_it_was_is_not_sent(
    arc: ArcInterface, spool: Path, damage: Callable[[Path], object]
) -> None:
    ids = submit_jobs(arc, job(inputs={"data": b"same"}), job(inputs={}, arguments=["/dev/null"]))
    (content,) = spool.iterdir()
    damage(content)
    with pytest.raises(PartialFailureError) as caught:
        arc.resubmit_jobs(ids)
    bad, good = caught.value.results
    assert isinstance(bad, InputFileError)
    assert "given as bytes are no longer there" in str(bad)
    assert "submit the job as a new one" in str(bad)
    assert isinstance(good, str)
    arc.wait([good])


def test_jobs_run_though_their_contents_cannot_be_kept(spool: Path, tmp_path: Path) -> None:
    log = io.StringIO()
    config = {"LOCAL_DIR": str(tmp_path / "local"), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat"), "BACKEND": "local"}
    spool.write_text("a file where the folder should be")
    with ArcInterface(log=log, config=config) as arc:
        ids = submit_jobs(arc, job(inputs={"data": b"one"}), job(inputs={"data": b"two"}))
        assert arc.read(ids[1], encoding=None) == b"two"
        (warning,) = [line for line in log.getvalue().splitlines() if "WARNING" in line]
        assert f"cannot be kept in {spool}" in warning
        spool.unlink()
        with pytest.raises(PartialFailureError, match="could not be kept when the job was submitted"):
            arc.resubmit_jobs(ids)
        arc.clean_jobs(ids, force=True)


def test_contents_in_records_of_former_versions_still_count(job_list: JobList, tmp_path: Path) -> None:
    text = job(inputs={"data": b"old"}).to_json()
    add(job_list, [JobRecord(token=new_token(), endpoint=ENDPOINT, name="old", id=url("old"), description=text)])
    assert recorded(job_list, url("old")).inputs == {"data": b"old"}
    job_list.verify_inputs(recorded(job_list, url("old")))
    job_list.remove([url("old")])
    assert [path.name for path in tmp_path.iterdir() if "inputs" in path.name] == []


def test_a_submission_that_came_to_nothing_leaves_no_content(job_list: JobList, spool: Path) -> None:
    done = submit(job_list, b"both", "a")
    intended, other = record(job_list, b"both"), record(job_list, b"mine")
    job_list.intend([intended, other])
    job_list.drop([intended.token, other.token])
    assert [path.read_bytes() for path in spool.iterdir()] == [b"both"]
    job_list.drop([job_list.get([done])[done].token])
    job_list.verify_inputs(recorded(job_list, done))


def test_a_content_that_was_erased_before_it_was_written_down_is_written_again(job_list: JobList, spool: Path) -> None:
    first = submit(job_list, b"same", "a")
    second = record(job_list, b"same")
    job_list.remove([first])
    assert list(spool.iterdir()) == []
    job_list.intend([second])
    assert [path.read_bytes() for path in spool.iterdir()] == [b"same"]


def test_a_content_of_a_submission_that_was_never_written_down_goes_with_the_next_one(
    job_list: JobList, spool: Path
) -> None:
    done, other = submit(job_list, b"done", "a"), submit(job_list, b"other", "b")
    record(job_list, b"killed")
    with closing(sqlite3.connect(job_list.path, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        impatient = JobList(job_list.path, timeout=0.1)
        with pytest.raises(JobListError, match="locked"):
            impatient.intend([record(impatient, b"locked")])
    assert len(list(spool.iterdir())) == 4
    job_list.remove([done])
    assert [path.read_bytes() for path in spool.iterdir()] == [b"other"]
    job_list.verify_inputs(recorded(job_list, other))


@pytest.mark.parametrize(
    "tables",
    [["jobs"], ["jobs", "jasmin_arc_jobs"]],
    ids=["arcclean", "a former version"],
)
def test_a_content_of_a_job_that_another_program_removed_goes_with_the_next_one(
    job_list: JobList, spool: Path, tables: list[str]
) -> None:
    gone, done, kept = submit(job_list, b"gone", "a"), submit(job_list, b"done", "b"), submit(job_list, b"kept", "c")
    job_list.intend([record(job_list, b"intended")])
    add(job_list, [JobRecord(**{**vars(record(job_list, b"local")), "id": "local://host/1"})])
    with closing(sqlite3.connect(job_list.path)) as database, database:
        for table in tables:
            database.execute(f"DELETE FROM {table} WHERE id = ?", [gone])
    job_list.remove([done])
    assert {path.read_bytes() for path in spool.iterdir()} == {b"kept", b"intended", b"local"}
    job_list.verify_inputs(recorded(job_list, kept))
    with closing(sqlite3.connect(job_list.path)) as database:
        assert database.execute("SELECT count(*) FROM jasmin_arc_inputs").fetchone() == (3,)


def test_what_killed_processes_left_is_erased_and_other_files_stay(job_list: JobList, spool: Path) -> None:
    done = submit(job_list, b"done", "a")
    for name in (".new-old", ".new-now", "notes.txt"):
        (spool / name).touch()
    long_ago = time.time() - 3700
    for name in (".new-old", "notes.txt"):
        os.utime(spool / name, (long_ago, long_ago))
    job_list.remove([done])
    assert {path.name for path in spool.iterdir()} == {".new-now", "notes.txt"}


def test_a_content_stays_if_its_job_cannot_be_removed(job_list: JobList, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = submit(job_list, b"same", "a")
    execute = Database.execute

    def without_space(database: Database, statement: str, values: Any = ()) -> sqlite3.Cursor:
        if statement == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")
        return execute(database, statement, values)

    with monkeypatch.context() as patch, pytest.raises(JobListError, match="disk is full"):
        patch.setattr(Database, "execute", without_space)
        job_list.remove([job_id])
    assert job_list.ids() == [job_id]
    job_list.verify_inputs(recorded(job_list, job_id))


def test_no_other_process_begins_to_need_a_content_while_it_is_erased(
    job_list: JobList, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(job_list, b"same", "a")
    other = JobList(job_list.path, timeout=0.1)
    late = record(other, b"same")
    erase = Spool.erase_all_but
    refused = []

    def interfere(its_spool: Spool, needed: set[str]) -> None:
        with pytest.raises(JobListError, match="locked") as caught:
            other.intend([late])
        refused.append(caught.value)
        erase(its_spool, needed)

    monkeypatch.setattr(Spool, "erase_all_but", interfere)
    job_list.remove([job_id])
    assert (len(refused), list(spool.iterdir())) == (1, [])
    other.intend([late])
    assert [path.read_bytes() for path in spool.iterdir()] == [b"same"]


def test_a_job_is_removed_though_its_content_cannot_be_erased_yet(
    tmp_path: Path, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_list = JobList(tmp_path / "jobs.dat", timeout=0.1)
    first, second = submit(job_list, b"first", "a"), submit(job_list, b"second", "b")
    with closing(sqlite3.connect(job_list.path, isolation_level=None)) as database, monkeypatch.context() as patch:
        patch.setattr(Spool, "names", lambda _: database.execute("BEGIN IMMEDIATE") and {"a content"})
        job_list.remove([first])
    assert job_list.ids() == [second]
    assert len(list(spool.iterdir())) == 2
    job_list.remove([second])
    assert list(spool.iterdir()) == []


def test_a_damaged_content_is_mended_by_the_next_job_that_has_it(job_list: JobList, spool: Path) -> None:
    first = submit(job_list, b"same", "a")
    (content,) = spool.iterdir()
    content.write_bytes(b"sane")
    os.utime(content, (1, 1))
    second = submit(job_list, b"same", "b")
    for job_id in (first, second):
        job_list.verify_inputs(recorded(job_list, job_id))


def test_ctrl_c_is_heard_while_a_content_is_kept(
    job_list: JobList, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        replace(path, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record(job_list, b"same")
    assert [path.read_bytes() for path in spool.iterdir()] == [b"same"]


def test_a_content_that_is_half_written_leaves_no_file(
    job_list: JobList, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        one = record(job_list, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(spool.iterdir()) == []
    assert "cannot be kept" in caplog.text
    with pytest.raises(InputFileError, match="could not be kept"):
        job_list.verify_inputs(JobDescription.from_json(one.description))


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o701])
def test_a_folder_that_others_may_enter_is_not_used(tmp_path: Path, spool: Path, mode: int) -> None:
    spool.mkdir()
    spool.chmod(mode)
    text = io.StringIO()
    (log := logging.Logger("test")).addHandler(logging.StreamHandler(text))
    job_list = JobList(tmp_path / "jobs.dat", log=log)
    job_id = submit(job_list, b"secret", "a")
    assert list(spool.iterdir()) == []
    assert f"cannot be kept in {spool} (other users may enter it" in text.getvalue()
    with pytest.raises(InputFileError, match="could not be kept"):
        job_list.verify_inputs(recorded(job_list, job_id))


def test_a_folder_of_another_user_is_not_used(
    job_list: JobList, spool: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spool.mkdir(mode=0o700)
    (spool / ("0" * 64)).write_text("theirs")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    job_list.remove([submit(job_list, b"secret", "a")])
    assert [path.read_text() for path in spool.iterdir()] == ["theirs"]
    assert f"cannot be kept in {spool} (it belongs to another user)" in caplog.text


def test_the_folder_may_be_on_another_disk(job_list: JobList, spool: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    spool.symlink_to(tmp_path / "disk")
    job_id = submit(job_list, b"same", "a")
    job_list.verify_inputs(recorded(job_list, job_id))
    job_list.remove([job_id])
    assert list((tmp_path / "disk").iterdir()) == []


def test_a_list_behind_a_symbolic_link_has_its_contents_beside_it(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real.dat")
    job_id = submit(JobList(tmp_path / "link"), b"same", "a")
    assert len(list((tmp_path / "real.dat.inputs").iterdir())) == 1
    JobList(tmp_path / "real.dat").verify_inputs(recorded(JobList(tmp_path / "real.dat"), job_id))
    JobList(tmp_path / "real.dat").remove([job_id])
    assert list((tmp_path / "real.dat.inputs").iterdir()) == []


@given(
    st.dictionaries(st.sampled_from(["a", "b/c", "d e"]), st.binary(max_size=50), max_size=3),
    st.none() | st.binary(max_size=50),
)
def test_what_is_recorded_has_the_same_contents(
    tmp_path_factory: pytest.TempPathFactory, inputs: dict[str, bytes], stdin: bytes | None
) -> None:
    job_list = JobList(tmp_path_factory.mktemp("list") / "jobs.dat")
    given_job = job(inputs=inputs, stdin=stdin)
    text = job_list.record(given_job, endpoint=ENDPOINT, token=new_token()).description
    found = JobDescription.from_json(text)
    job_list.verify_inputs(found)
    assert "base64" not in text
    sources = {name: source for name, source in found.inputs.items() if isinstance(source, Path)}
    assert {name: path.read_bytes() for name, path in sources.items()} == inputs
    assert (found.stdin.read_bytes() if isinstance(found.stdin, Path) else None) == stdin
    assert found.replace(inputs=inputs, stdin=stdin) == given_job


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["submit", "intend", "remove", "drop"]), st.integers(0, 3))))
def test_contents_are_there_exactly_while_jobs_need_them(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    job_list = JobList(tmp_path_factory.mktemp("list") / "jobs.dat")
    jobs: dict[str, bytes] = {}
    intentions: dict[str, bytes] = {}
    for number, (step, which) in enumerate(steps):
        content = b"%d" % (which % 3)
        if step == "submit":
            jobs[submit(job_list, content, f"job{number}")] = content
        elif step == "intend":
            job_list.intend([one := record(job_list, content)])
            intentions[one.token] = content
        elif step == "remove":
            job_list.remove(gone := list(jobs)[:which])
            jobs = {job_id: kept for job_id, kept in jobs.items() if job_id not in gone}
        else:
            job_list.drop(gone := list(intentions)[:which])
            intentions = {token: kept for token, kept in intentions.items() if token not in gone}
        folder = Path(f"{job_list.path}.inputs")
        there = {path.read_bytes() for path in folder.iterdir()} if folder.exists() else set()
        assert there == {*jobs.values(), *intentions.values()}


def _hammer(path: Path, name: str) -> None:
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        job_list = JobList(path)
        try:
            for number in range(10):
                job_id = submit(job_list, b"content %d" % (number % 2), f"{name}-{thread}-{number}")
                job_list.verify_inputs(recorded(job_list, job_id))
                job_list.remove([job_id])
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_processes_and_threads_share_contents(tmp_path: Path, spool: Path) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_hammer, args=(tmp_path / "jobs.dat", name)) for name in ("one", "two")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert list(spool.iterdir()) == []


def test_folders_that_are_made_for_contents_are_their_owners_alone(tmp_path: Path) -> None:
    jobs = JobList(tmp_path / "home" / ".arc" / "jobs.dat")
    description = JobDescription(executable="cat", stdin=b"secret")
    jobs.intend([jobs.record(description, endpoint="local://here", token=new_token())])
    for folder in (tmp_path / "home" / ".arc", tmp_path / "home" / ".arc" / "jobs.dat.inputs"):
        assert folder.stat().st_mode & 0o777 == 0o700
