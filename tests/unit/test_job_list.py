"""The job list: what it promises, alone, among threads and processes, and when things go wrong."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_list_kit import add, records

from jasmin_arc.exceptions import JobListError
from jasmin_arc.job_list import JobList, JobRecord, new_token

ENDPOINT = "https://ce.example.org:443/arex"
# As ARC 6.0 to 6.16 made it, from JobInformationStorageSQLite.cpp.
OLD_ARC_TABLE = (
    "CREATE TABLE jobs(id, idfromendpoint, name, statusinterface, statusurl, managementinterfacename, managementurl, "
    "serviceinformationinterfacename, serviceinformationurl, serviceinformationhost, sessiondir, stageindir, "
    "stageoutdir, descriptiondocument, localsubmissiontime, delegationid, UNIQUE(id))"
)


def url(name: str) -> str:
    return f"{ENDPOINT}/rest/1.0/jobs/{name}"


def record(name: str = "job", **values: object) -> JobRecord:
    return JobRecord(**{"token": new_token(), "endpoint": ENDPOINT, "name": name, **values})  # type: ignore[arg-type]


def submit(job_list: JobList, *names: str) -> list[str]:
    records = [record(name) for name in names]
    job_list.intend(records)
    ids = {entry.token: url(entry.name) for entry in records}
    job_list.created(ids)
    job_list.commit(ids.values())
    return list(ids.values())


def rows_of_arc(path: Path) -> list[dict[str, str]]:
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("SELECT * FROM jobs ORDER BY rowid")]


def written_by_arc(path: Path, *names: str, table: str = OLD_ARC_TABLE, host: str = ENDPOINT) -> list[str]:
    ids = [f"{host}/rest/1.0/jobs/{name}" for name in names]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(table)
        database.executemany(
            "INSERT INTO jobs(id, name, managementurl, localsubmissiontime, delegationid) VALUES (?, ?, ?, ?, ?)",
            [(job_id, "50%25 o%27clock", host, "1700000000", "d1") for job_id in ids],
        )
    return ids


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "arc" / "jobs.dat"


@pytest.fixture
def job_list(path: Path) -> JobList:
    return JobList(path)


def test_nothing_is_created_by_looking(job_list: JobList, path: Path) -> None:
    assert job_list.ids() == records(job_list) == job_list.unfinished(ENDPOINT) == []
    assert job_list.get([url("a")]) == {}
    job_list.set_final({url("a"): "Finished"})
    job_list.mark_saved([url("a")])
    job_list.remove([url("a")])
    for write in (job_list.drop, job_list.release, job_list.intend, job_list.commit):
        write([])
    job_list.created({})
    assert not path.parent.exists()


def test_the_file_and_its_folder_are_the_users_alone(job_list: JobList, path: Path) -> None:
    job_list.intend([record()])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_submission_is_listed_once_it_is_committed(job_list: JobList) -> None:
    one = record("one", description='{"executable": "true"}', resubmission_of=url("zero"), delegation_id="d7")
    job_list.intend([one])
    (intended,) = job_list.unfinished(ENDPOINT)
    assert (intended.token, intended.phase, intended.id) == (one.token, "intended", None)
    job_list.created({one.token: url("one")})
    (created,) = job_list.unfinished(ENDPOINT)
    assert (created.phase, created.id, created.delegation_id) == ("created", url("one"), "d7")
    assert job_list.ids() == []
    job_list.commit([url("one")])
    assert job_list.unfinished(ENDPOINT) == []
    assert job_list.ids() == [url("one")]
    (committed,) = records(job_list)
    assert committed == job_list.get([url("one")])[url("one")]
    assert committed.submitted == one.submitted
    assert committed.submitted.tzinfo is timezone.utc
    assert (committed.description, committed.resubmission_of) == (one.description, url("zero"))


def test_committing_twice_changes_nothing(job_list: JobList) -> None:
    ids = submit(job_list, "a", "b")
    before = records(job_list)
    job_list.commit(ids)
    assert records(job_list) == before


def test_an_intention_can_be_forgotten_but_a_job_cannot(job_list: JobList) -> None:
    one, two = record("one"), record("two")
    job_list.intend([one, two])
    job_list.created({one.token: url("one")})
    job_list.commit([url("one")])
    job_list.drop([one.token, two.token])
    assert job_list.unfinished(ENDPOINT) == []
    assert job_list.ids() == [url("one")]


def test_unfinished_submissions_belong_to_an_endpoint(job_list: JobList) -> None:
    job_list.intend([record("here"), record("there", endpoint="https://other:443/arex")])
    assert [entry.name for entry in job_list.unfinished(ENDPOINT)] == ["here"]


def test_a_vanished_intention_is_an_error_and_nothing_is_written(job_list: JobList) -> None:
    one = record()
    job_list.intend([one])
    with pytest.raises(JobListError, match="removed or replaced"):
        job_list.created({one.token: url("one"), new_token(): url("two")})
    assert job_list.unfinished(ENDPOINT)[0].id is None
    with pytest.raises(JobListError, match="removed or replaced"):
        job_list.commit([url("one")])


def test_the_first_final_state_stays(job_list: JobList) -> None:
    one, two = submit(job_list, "one", "two")
    job_list.set_final({one: "Finished"})
    job_list.set_final({one: "Failed", two: "Killed", url("unknown"): "Failed"})
    states = {job_id: entry.final_state for job_id, entry in job_list.get([one, two, url("unknown")]).items()}
    assert states == {one: "Finished", two: "Killed"}


def test_a_reopened_job_gets_a_new_end(job_list: JobList) -> None:
    (job,) = submit(job_list, "one")
    job_list.set_final({job: "Failed"})
    job_list.mark_saved([job])
    job_list.reopen([job])
    assert (job_list.get([job])[job].final_state, job_list.get([job])[job].outputs_saved) == (None, None)
    job_list.set_final({job: "Finished"})
    assert job_list.get([job])[job].final_state == "Finished"


def test_saved_outputs_and_resubmissions_are_remembered(job_list: JobList) -> None:
    one, two = submit(job_list, "one", "two")
    before = datetime.now(timezone.utc)
    job_list.mark_saved([one])
    job_list.link({two: one})
    found = job_list.get([one, two])
    saved = found[one].outputs_saved
    assert saved is not None
    assert timedelta(seconds=-1) < saved - before < timedelta(minutes=1)
    assert found[two].outputs_saved is None
    assert found[two].resubmission_of == one


def test_ids_are_those_of_the_endpoint_oldest_first(job_list: JobList) -> None:
    now = datetime.now(timezone.utc)
    ages = {"old": 3, "middle": 2, "new": 1}
    jobs = [record(name, id=url(name), submitted=now - timedelta(days=age)) for name, age in ages.items()]
    elsewhere = record("x", id="local:///x", endpoint="local:///")
    add(job_list, [jobs[2], jobs[0], elsewhere, jobs[1]])
    assert job_list.ids(ENDPOINT) == [url(name) for name in ages]
    assert [entry.name for entry in records(job_list) if entry.endpoint == ENDPOINT] == list(ages)
    assert job_list.ids("local:///") == ["local:///x"]
    assert len(job_list.ids()) == 4


def test_a_removed_job_is_gone_from_both_tables(job_list: JobList, path: Path) -> None:
    one, two = submit(job_list, "one", "two")
    job_list.remove([one, url("unknown")])
    assert job_list.ids() == [two]
    assert job_list.get([one]) == {}
    assert [row["id"] for row in rows_of_arc(path)] == [two]


def test_arcs_table_holds_what_arcs_tools_need(job_list: JobList, path: Path) -> None:
    add(job_list, [record("50% o'clock #1", id=url("abc"), delegation_id="d1")])
    add(job_list, [record("local", id="local:///1", endpoint="local:///")])
    (row,) = rows_of_arc(path)
    assert row["id"] == url("abc")
    assert row["idfromendpoint"] == "abc"
    assert row["name"] == "50%25 o%27clock %231"
    assert row["managementurl"] == row["statusurl"] == row["serviceinformationurl"] == ENDPOINT
    assert row["managementinterfacename"] == row["statusinterface"] == "org.nordugrid.arcrest"
    assert row["serviceinformationhost"] == "ce.example.org"
    assert row["delegationid"] == "d1"
    assert row["localsubmissiontime"].isdecimal()


def test_jobs_of_arcs_tools_are_listed_too(tmp_path: Path) -> None:
    path = tmp_path / "jobs.dat"
    theirs = written_by_arc(path, "abc", "def")
    job_list = JobList(path)
    assert job_list.ids(ENDPOINT) == theirs
    found = job_list.get(theirs)[theirs[0]]
    assert (found.name, found.endpoint, found.delegation_id, found.token) == ("50% o'clock", ENDPOINT, "d1", "")
    assert found.submitted == datetime.fromtimestamp(1700000000, timezone.utc)
    with closing(sqlite3.connect(path)) as database:
        # Reading has changed nothing.
        assert [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")] == ["jobs"]


def test_what_arcs_table_cannot_hold_is_kept_for_its_jobs_as_well(tmp_path: Path) -> None:
    path = tmp_path / "jobs.dat"
    (theirs,) = written_by_arc(path, "abc")
    job_list = JobList(path)
    job_list.set_final({theirs: "Finished"})
    job_list.mark_saved([theirs])
    (found,) = records(job_list)
    assert (found.final_state, found.name) == ("Finished", "50% o'clock")
    assert found.outputs_saved is not None


def test_tables_of_older_arcs_are_written_too(tmp_path: Path) -> None:
    path = tmp_path / "jobs.dat"
    (theirs,) = written_by_arc(path, "abc")
    assert submit(JobList(path), "ours") == [url("ours")]
    assert {row["id"] for row in rows_of_arc(path)} == {theirs, url("ours")}


def test_a_job_that_arcs_tools_removed_is_no_longer_listed(job_list: JobList, path: Path) -> None:
    one, two = submit(job_list, "one", "two")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM jobs WHERE id = ?", (one,))
    assert job_list.ids() == [two]


def test_many_jobs_take_few_transactions_and_any_number_of_ids(job_list: JobList) -> None:
    ids = submit(job_list, *(f"job{number}" for number in range(3000)))
    job_list.set_final(dict.fromkeys(ids, "Finished"))
    found = job_list.get(ids)
    assert list(found) == ids == job_list.ids()
    assert {entry.final_state for entry in found.values()} == {"Finished"}


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, name: str, description: str) -> None:
    job_list = JobList(tmp_path_factory.mktemp("list") / "jobs.dat")
    job = record(name, id=url(name), description=description)
    add(job_list, [job])
    found = job_list.get([url(name)])[url(name)]
    assert (found.name, found.description, found.id) == (name, description, url(name))
    assert job_list.ids() == [url(name)]
    with closing(sqlite3.connect(job_list.path)) as database, database:
        database.execute("DELETE FROM jasmin_arc_jobs")
    assert job_list.get([url(name)])[url(name)].name == name


# --- Files that are not ours ---


@pytest.mark.parametrize("content", [b"hello\n", b"\0\0\0\0\0\0\0\0\0\0\0\0\x61\x15\x06\0" * 64, b"<xml/>" * 400])
def test_a_file_that_is_no_database_is_never_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "jobs.dat"
    path.write_bytes(content)
    job_list = JobList(path)
    for call in (job_list.ids, lambda: job_list.intend([record()])):
        with pytest.raises(JobListError, match=r"jobs\.dat is not an SQLite file.*JOBS_INFO_FILE"):
            call()
    assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["jobs.dat"]


def test_an_empty_file_is_an_empty_list(tmp_path: Path) -> None:
    path = tmp_path / "jobs.dat"
    path.touch()
    assert JobList(path).ids() == []
    assert submit(JobList(path), "a") == JobList(path).ids()


def test_a_table_jobs_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.dat"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE jobs(number, salary)")
    with pytest.raises(JobListError, match="not ARC's"):
        JobList(path).ids()
    with pytest.raises(JobListError, match="not ARC's"):
        add(JobList(path), [record(id=url("a"))])
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)


def test_a_list_of_a_later_version_says_to_update(job_list: JobList, path: Path) -> None:
    submit(job_list, "a")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE jasmin_arc_meta SET value = 99")
    for call in (job_list.ids, lambda: job_list.intend([record()])):
        with pytest.raises(JobListError, match="pip install --upgrade"):
            call()


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "jobs.dat"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    for call in (JobList(path).ids, lambda: JobList(path).intend([record()])):
        with pytest.raises(JobListError, match="not a regular file"):
            call()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JobListError, match=r"file/jobs\.dat"):
        JobList(tmp_path / "file" / "jobs.dat").intend([record()])


def test_a_symbolic_link_leads_to_the_list(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real.dat")
    (job,) = submit(JobList(tmp_path / "link"), "a")
    assert JobList(tmp_path / "real.dat").ids() == [job]
    assert stat.S_IMODE((tmp_path / "real.dat").stat().st_mode) == 0o600


def test_a_list_in_wal_mode_is_turned_back(tmp_path: Path) -> None:
    path = tmp_path / "jobs.dat"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(OLD_ARC_TABLE)
    submit(JobList(path), "a")
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)


# --- Others at work ---


def test_a_lock_of_another_process_is_waited_for_and_named(path: Path) -> None:
    submit(JobList(path), "a")
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        impatient = JobList(path, timeout=0.1)
        for call in (impatient.ids, lambda: impatient.intend([record()])):
            with pytest.raises(JobListError, match="locked by another process"):
                call()
        # Longer than the wait inside SQLite.
        timer = threading.Timer(1.0, lambda: other.execute("ROLLBACK"))
        timer.start()
        assert len(JobList(path, timeout=30).ids()) == 1
        timer.join()


def _hammer(path: Path, name: str) -> None:
    job_list = JobList(path)

    def work(thread: int) -> None:
        for number in range(4):
            (job,) = submit(job_list, f"{name}-{thread}-{number}")
            job_list.set_final({job: "Finished"})
            job_list.set_final({job: "Failed"})
            assert job in job_list.ids()

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_processes_and_threads_share_a_list(path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_hammer, args=(path, name)) for name in ("one", "two")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    done = records(JobList(path))
    assert {entry.name for entry in done} == {
        f"{p}-{t}-{n}" for p in ("one", "two") for t in range(8) for n in range(4)
    }
    assert {entry.final_state for entry in done} == {"Finished"}
    assert len(rows_of_arc(path)) == 64


def test_a_list_works_on_after_a_fork(job_list: JobList, path: Path) -> None:
    submit(job_list, "parent")
    child = multiprocessing.get_context("fork").Process(target=submit, args=(job_list, "child"))
    child.start()
    child.join()
    submit(job_list, "parent again")
    assert {entry.name for entry in records(job_list)} == {"parent", "child", "parent again"}


WRITER = """
import sys
from jasmin_arc.job_list import JobList, JobRecord, new_token
job_list = JobList(sys.argv[1])
number = 0
while True:
    records = [JobRecord(token=new_token(), endpoint="https://ce:443/arex", name=str(i)) for i in range(50)]
    job_list.intend(records)
    ids = {r.token: f"https://ce:443/arex/rest/1.0/jobs/{r.token}" for r in records}
    job_list.created(ids)
    job_list.commit(ids.values())
    print(len(ids), flush=True)
"""


@pytest.mark.parametrize("rounds", [8, pytest.param(200, marks=pytest.mark.soak)])
def test_sigkill_while_writing_leaves_whole_transactions(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / "jobs.dat"
    committed = 0
    for round_number in range(rounds):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
        with writer:
            assert writer.stdout is not None
            committed += int(writer.stdout.readline())
            # At another point of its work each time.
            time.sleep(0.02 * round_number / rounds)
            writer.kill()
            committed += sum(int(line) for line in writer.stdout if line.endswith("\n"))
        job_list = JobList(path)
        listed, unfinished = job_list.ids(), job_list.unfinished("https://ce:443/arex")
        assert len(listed) % 50 == len(unfinished) % 50 == 0
        assert len(listed) in (committed, committed + 50)
        committed = len(listed)
        assert len(rows_of_arc(path)) == len(listed)
        assert all(entry.abandoned for entry in unfinished)
        assert {entry.phase for entry in unfinished} <= {"intended", "created"}
        job_list.drop(entry.token for entry in unfinished)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_full_disk_leaves_the_list_as_it_was(path: Path) -> None:
    (job,) = submit(JobList(path), "a")
    script = """
        import resource, sys
        from jasmin_arc.exceptions import JobListError
        from jasmin_arc.job_list import JobList, JobRecord, new_token
        job_list = JobList(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        many = [JobRecord(token=new_token(), endpoint="e", name="x" * 500) for _ in range(1000)]
        try:
            job_list.intend(many)
        except JobListError as error:
            print(error)
        print(len(job_list.unfinished("e")), len(job_list.ids()))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), path]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "quota" in lines[0]
    assert lines[1] == "0 1"
    assert JobList(path).ids() == [job]


def test_a_submission_is_abandoned_once_its_process_is_gone(job_list: JobList) -> None:
    child = multiprocessing.get_context("fork").Process(target=job_list.intend, args=([record("theirs")],))
    child.start()
    child.join()
    job_list.intend([record("mine")])
    abandoned = {entry.name: entry.abandoned for entry in job_list.unfinished(ENDPOINT)}
    assert abandoned == {"theirs": True, "mine": False}


def test_a_process_can_release_what_it_intended(job_list: JobList) -> None:
    one = record()
    job_list.intend([one])
    job_list.release([one.token])
    assert [entry.abandoned for entry in job_list.unfinished(ENDPOINT)] == [True]


def test_ctrl_c_ends_the_wait_for_a_lock(path: Path) -> None:
    submit(JobList(path), "a")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            JobList(path).intend([record()])
        assert time.monotonic() - start < 2
        timer.join()
