"""The journal of submissions: what the job list says wherever a submission ends."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import JobListError, SubmissionUnknownError
from jasmin_arc.job_list import JobList, new_token
from jasmin_arc.job_list.journal import Entry, Journal
from jasmin_arc.job_list.tables import JobListFile

ENDPOINT = "https://ce.example.org:443/arex"


def url(name: str) -> str:
    return f"{ENDPOINT}/rest/1.0/jobs/{name}"


def entry(name: str = "job", **values: str) -> Entry:
    return Entry(JobDescription(executable="true", name=name), ENDPOINT, **values)  # type: ignore[arg-type]


@pytest.fixture
def job_list(tmp_path: Path) -> JobList:
    return JobList(tmp_path / "jobs.dat", timeout=0.1)


@pytest.fixture
def journal(job_list: JobList) -> Journal:
    return Journal(job_list, logging.getLogger("jasmin_arc.test"))


@pytest.fixture
def lock(job_list: JobList) -> Iterator[Callable[[], object]]:
    """Lock the list, as another process does, once the function is called."""
    with closing(sqlite3.connect(job_list.path, isolation_level=None)) as other:
        yield lambda: other.execute("BEGIN EXCLUSIVE")


def unfinished(job_list: JobList) -> dict[str, tuple[str, bool]]:
    """The phases by name, and whether recover() may settle the job in this process."""
    return {record.name: (record.phase, record.abandoned) for record in job_list.unfinished(ENDPOINT)}


def test_jobs_are_written_down_at_each_step(journal: Journal, job_list: JobList) -> None:
    one = entry("one", delegation_id="d1")
    with journal.submitting([one]) as batch:
        assert unfinished(job_list) == {"one": ("intended", False)}
        assert [record.token for record in batch.records] == [one.token]
        batch.created({one.token: url("one")})
        assert unfinished(job_list) == {"one": ("created", False)}
        assert batch.commit([url("one")]) == {}
        assert job_list.ids(ENDPOINT) == [url("one")]
    (record,) = job_list.get([url("one")]).values()
    assert (record.name, record.delegation_id, record.owner) == ("one", "d1", "")
    assert unfinished(job_list) == {}


def test_an_id_may_be_known_before_the_job_exists(journal: Journal, job_list: JobList) -> None:
    with journal.submitting([entry("a", id=url("a")), entry("b", id=url("b"))]) as batch:
        assert batch.commit([url("b")]) == {}
    assert job_list.ids(ENDPOINT) == [url("b")]
    assert unfinished(job_list) == {"a": ("intended", True)}


def test_a_job_that_was_dropped_is_not_in_the_list(journal: Journal, job_list: JobList) -> None:
    gone, left = entry("gone"), entry("left")
    with journal.submitting([gone, left]) as batch:
        batch.drop([gone.token])
        assert unfinished(job_list) == {"left": ("intended", False)}
    assert unfinished(job_list) == {"left": ("intended", True)}


def test_a_job_that_was_committed_cannot_be_dropped(journal: Journal, job_list: JobList) -> None:
    one = entry("one", id=url("one"))
    with journal.submitting([one]) as batch:
        batch.commit([url("one")])
        batch.drop([one.token])
    assert job_list.ids() == [url("one")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError])
def test_what_is_cut_short_is_released(journal: Journal, job_list: JobList, error: type[BaseException]) -> None:
    one = entry("one")
    with pytest.raises(error), journal.submitting([one, entry("two")]) as batch:
        batch.created({one.token: url("one")})
        raise error
    assert unfinished(job_list) == {"one": ("created", True), "two": ("intended", True)}


@pytest.mark.parametrize("step", ["intend", "commit"])
def test_ctrl_c_inside_a_transaction_keeps_no_lock(
    journal: Journal, job_list: JobList, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def interrupted(_: JobList, what: object) -> None:
        transaction = JobListFile(job_list.path, timeout=0.1).writing()
        transaction.__enter__()
        raise KeyboardInterrupt

    monkeypatch.setattr(JobList, step, interrupted)
    with pytest.raises(KeyboardInterrupt), journal.submitting([entry(id=url("a"))]) as batch:
        batch.commit([url("a")])
    monkeypatch.undo()
    with journal.submitting([entry("next", id=url("next"))]) as batch:
        assert batch.commit([url("next")]) == {}


def test_nothing_may_be_sent_if_the_intention_cannot_be_written(
    journal: Journal, lock: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> None:
    lock()
    with pytest.raises(JobListError), journal.submitting([entry()]):
        pytest.fail("something might be sent here")
    assert not caplog.records


def test_an_id_that_cannot_be_written_down_is_told(
    journal: Journal, job_list: JobList, lock: Callable[[], object]
) -> None:
    one = entry()
    with pytest.raises(JobListError, match="locked"), journal.submitting([one]) as batch:
        lock()
        batch.created({one.token: url("one")})


def test_jobs_that_run_and_cannot_be_listed_are_left_to_recover(
    journal: Journal, job_list: JobList, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: JobList, job_ids: object) -> None:
        raise JobListError("the disk is full")

    with journal.submitting([entry("one", id=url("one"))]) as batch:
        monkeypatch.setattr(JobList, "commit", full)
        failures = batch.commit([url("one")])
    assert isinstance(failures[url("one")], SubmissionUnknownError)
    assert "disk is full" in str(failures[url("one")])
    assert isinstance(failures[url("one")].__cause__, JobListError)
    assert unfinished(job_list) == {"one": ("intended", True)}


def test_a_locked_list_does_not_hide_what_became_of_the_jobs(
    journal: Journal, lock: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> None:
    one = entry()
    with journal.submitting([one]) as batch:
        lock()
        batch.drop([one.token])
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert all("locked" in record.getMessage() for record in caplog.records)


def test_threads_write_one_after_another(journal: Journal, job_list: JobList, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: list[int] = []
    original = JobList.created

    def created(self: JobList, ids: dict[str, str]) -> None:
        at_work.append(1)
        assert len(at_work) == 1
        original(self, ids)
        at_work.pop()

    monkeypatch.setattr(JobList, "created", created)
    entries = [entry(str(number), token=new_token()) for number in range(8)]
    with journal.submitting(entries) as batch:
        ids = {one.token: url(one.description.name) for one in entries}
        threads = [threading.Thread(target=batch.created, args=({token: job},)) for token, job in ids.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert batch.commit(ids.values()) == {}
    assert len(job_list.ids()) == 8


def test_an_empty_batch_makes_no_file(journal: Journal, job_list: JobList) -> None:
    with journal.submitting([]) as batch:
        batch.created({})
        assert batch.commit([]) == {}
        batch.drop([])
    assert not job_list.path.exists()


def test_where_there_is_nothing_to_write_the_list_is_left_alone(
    journal: Journal, job_list: JobList, lock: Callable[[], object]
) -> None:
    with journal.submitting([entry("one", id=url("one"))]) as batch:
        assert batch.commit([url("one")]) == {}
        lock()
        batch.created({})
        batch.drop([])
        assert batch.commit([]) == {}
