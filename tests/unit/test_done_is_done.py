"""What has happened is never reported as failed, because something after it failed."""

from __future__ import annotations

import io
import json
import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from faults.https_server import Reply, Request
from faults.rest_setup import Setup, job

from jasmin_arc import ArcInterface, JobDescription, JobListError, JobNotFoundError, JobStatuses
from jasmin_arc.job_list import JobList, ledger

LIMIT = 20


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def arc(setup: Setup, log: io.StringIO) -> Iterator[ArcInterface]:
    with ArcInterface(log=log, config=setup.config) as made:
        yield made


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "PATIENCE", 0.05)
    monkeypatch.setattr(ledger, "RETRY_AFTER", 0.0)


@contextmanager
def nobody_can_write(arc: ArcInterface, lock: str = "IMMEDIATE") -> Iterator[None]:
    """Hold the job list as a process does that hangs in the middle of writing: others may read.

    :param lock: with ``EXCLUSIVE``, as at the very end of writing: nobody may read either
    """
    with closing(sqlite3.connect(arc.config.JOBS_INFO_FILE, isolation_level=None)) as other:
        other.execute(f"BEGIN {lock}")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


@contextmanager
def nobody_can_read(arc: ArcInterface) -> Iterator[None]:
    path = Path(arc.config.JOBS_INFO_FILE)
    content = path.read_bytes()
    path.write_bytes(b"not a database " * 100)
    try:
        yield
    finally:
        path.write_bytes(content)


def end(setup: Setup, *job_ids: str, state: str = "FINISHED", files: dict[str, bytes] | None = None) -> None:
    for job_id in job_ids:
        ended = setup.ce.jobs[job_id.rpartition("/")[2]]
        ended.state = state
        ended.files.update(files or {})


def test_ids_are_told_though_the_proxy_is_gone_by_then(setup: Setup, arc: ArcInterface) -> None:
    proxy = Path(setup.config.PROXY_FILE)

    def last_upload(request: Request, reply: Reply) -> Reply:
        if request.method == "PUT" and "/session/" in request.path:
            proxy.chmod(0o644)
        return reply

    setup.ce.after = last_upload
    # It may run for longer than the proxy lasts, so the proxy is looked at after the submission.
    needy = job(outputs=["*.nc"], wall_time="100h")
    assert arc.submit_jobs([needy, needy]) == [setup.url("job0"), setup.url("job1")]
    proxy.chmod(0o600)


def test_ids_are_told_though_nobody_sees_the_progress_any_more(
    setup: Setup, arc: ArcInterface, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = io.StringIO()
    gone.close()
    monkeypatch.setattr(sys, "stderr", gone)
    assert len(arc.submit_jobs([job(), job()], progress=True)) == 2


def test_the_end_of_a_job_is_told_though_it_cannot_be_written_down(
    setup: Setup, arc: ArcInterface, log: io.StringIO
) -> None:
    first, second = arc.submit_jobs([job(), job()])
    end(setup, first, second)
    with nobody_can_write(arc):
        assert arc.get_job_status(first) is JobStatuses.COMPLETED
        assert arc.wait([first, second], timeout=LIMIT) == [JobStatuses.COMPLETED] * 2
        assert arc.get_job_info(first).state == "Finished"
    assert "cannot be written down" in log.getvalue()
    # The next chance comes with the next question.
    assert arc.get_job_statuses([first, second]) == [JobStatuses.COMPLETED] * 2
    setup.ce.jobs.clear()
    arc.close()
    assert arc.get_job_status(first) is JobStatuses.COMPLETED


def test_the_end_of_a_job_is_told_soon_though_the_job_list_is_locked(setup: Setup, arc: ArcInterface) -> None:
    job_id = arc.submit_job("/bin/true", outputs=[])
    end(setup, job_id)
    began = time.monotonic()
    with nobody_can_write(arc, "EXCLUSIVE"):
        assert arc.wait([job_id], timeout=LIMIT) == [JobStatuses.COMPLETED]
    assert time.monotonic() - began < 10


def test_what_is_known_of_a_job_is_told_though_the_job_list_cannot_be_read(setup: Setup, arc: ArcInterface) -> None:
    job_id = arc.submit_job("/bin/true", outputs=[], name="known")
    end(setup, job_id)
    erased_soon = f"{datetime.now(timezone.utc) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    setup.ce.jobs["job0"].info = f"<WorkingAreaEraseTime>{erased_soon}</WorkingAreaEraseTime>"
    with nobody_can_read(arc):
        info = arc.get_job_info(job_id)
    assert (info.name, info.state) == ("known", "Finished")


def test_the_end_of_a_job_is_told_though_the_job_list_cannot_be_read(setup: Setup, arc: ArcInterface) -> None:
    ended, erased = arc.submit_jobs([job(), job()])
    end(setup, ended)
    del setup.ce.jobs[erased.rpartition("/")[2]]
    with nobody_can_read(arc):
        assert arc.get_job_status(ended) is JobStatuses.COMPLETED
        # Only the list may know of this one, so it is not said to be unknown.
        with pytest.raises(JobListError):
            arc.get_job_status(erased)
    with pytest.raises(JobNotFoundError):
        arc.get_job_status(erased)


def test_outputs_that_are_saved_are_told_though_that_cannot_be_written_down(
    setup: Setup, arc: ArcInterface, tmp_path: Path
) -> None:
    first, second = arc.submit_jobs([job(), job()])
    end(setup, first, second, files={"output": b"42", "stdout": b"hello"})
    with nobody_can_write(arc):
        folder = arc.save_job_outputs(first)
        assert folder is not None
        assert Path(folder, "stdout.txt").read_bytes() == b"hello"
        folders = arc.save_outputs([second], tmp_path / "many")
        assert [Path(entry or "", "output").read_bytes() for entry in folders] == [b"42"]
    # It is written down at the next chance, so that the jobs can be erased.
    arc.get_job_status(first)
    arc.clean_jobs([first, second])
    assert setup.ce.jobs == {}


def test_new_ids_of_jobs_that_run_again_are_told_though_the_link_cannot_be_written_down(
    setup: Setup, arc: ArcInterface, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = arc.submit_job("/bin/true", outputs=[])
    link, failures = JobList.link, [JobListError("the disk is full")]

    def fail_once(*args: object, **options: object) -> None:
        if failures:
            raise failures.pop()
        link(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(JobList, "link", fail_once)
    (new,) = arc.resubmit_jobs([old])
    assert new == setup.url("job1")
    assert not failures
    arc._ledger.close()
    assert arc.job_list.get([new])[new].resubmission_of == old


def test_jobs_that_are_erased_are_told_though_the_list_still_has_them(setup: Setup, arc: ArcInterface) -> None:
    job_id = arc.submit_job("/bin/true", outputs=[])
    end(setup, job_id)
    arc.get_job_status(job_id)
    with nobody_can_write(arc):
        arc.clean_jobs([job_id], force=True)
    assert setup.ce.jobs == {}
    arc.close()
    assert arc.job_list.ids() == []


def test_force_drops_a_job_that_the_list_has_of_this_place_whatever_its_id(setup: Setup, arc: ArcInterface) -> None:
    odd = f"{arc.backend.endpoint}/abcDEF"
    arc.submit_job("/bin/true", outputs=[])
    with closing(sqlite3.connect(arc.job_list.path)) as database, database:
        database.execute(
            "INSERT INTO jobs(id, name, managementurl, localsubmissiontime) VALUES (?, 'odd', ?, '1700000000')",
            (odd, arc.backend.endpoint),
        )
    assert odd in arc.job_list.ids()
    arc.clean_jobs([odd], force=True)
    assert odd not in arc.job_list.ids()


def restartable(setup: Setup) -> None:
    """Let the compute element take up failed jobs again."""

    def restart(request: Request) -> Reply | None:
        if "action=restart" not in request.path:
            return None
        for each in setup.ce.jobs.values():
            each.state = "SUBMITTING"
        name = next(iter(setup.ce.jobs))
        return Reply(201, f"<jobs><job><status-code>202</status-code><id>{name}</id></job></jobs>".encode())

    setup.ce.before = restart


def test_a_job_that_is_restarted_while_its_end_is_looked_at_is_waited_for_anew(setup: Setup, arc: ArcInterface) -> None:
    restartable(setup)
    job_id = arc.submit_job("/bin/true", outputs=[], rerun=1)
    end(setup, job_id, state="FAILED")
    for ended in arc.as_completed([job_id], timeout=LIMIT):
        arc.restart_jobs([ended.id])
        assert arc.get_job_status(job_id) is JobStatuses.NOT_SUBMITTED
        end(setup, job_id)
        assert arc.wait([job_id], timeout=LIMIT) == [JobStatuses.COMPLETED]


def test_a_restart_that_cannot_be_written_down_leaves_no_false_end(setup: Setup, arc: ArcInterface) -> None:
    restartable(setup)
    job_id = arc.submit_job("/bin/true", outputs=[], rerun=1)
    end(setup, job_id, state="FAILED")
    assert arc.wait([job_id]) == [JobStatuses.FAILED]
    with nobody_can_write(arc):
        arc.restart_jobs([job_id])
        end(setup, job_id)
        assert arc.get_job_status(job_id) is JobStatuses.COMPLETED
    assert arc.get_job_status(job_id) is JobStatuses.COMPLETED
    arc.close()
    setup.ce.jobs.clear()
    assert arc.get_job_status(job_id) is JobStatuses.COMPLETED


@pytest.mark.parametrize("interruption", [Reply(403, reason="Forbidden"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
def test_a_restart_that_is_interrupted_after_it_was_done_leaves_no_false_end(
    setup: Setup, arc: ArcInterface, interruption: Reply | KeyboardInterrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    restartable(setup)
    job_id = arc.submit_job("/bin/true", outputs=[], rerun=1)
    end(setup, job_id, state="FAILED")
    assert arc.wait([job_id]) == [JobStatuses.FAILED]
    honest = setup.ce.before
    if isinstance(interruption, Reply):
        setup.ce.before = lambda request: interruption if "diagnose/status" in request.path else honest(request)
        arc.restart_jobs([job_id])
    else:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("jasmin_arc.backends.rest.states.pause", mock_interrupt)
            arc.restart_jobs([job_id])
    setup.ce.before = honest
    end(setup, job_id)
    assert arc.get_job_status(job_id) is JobStatuses.COMPLETED


def mock_interrupt(_seconds: float) -> None:
    raise KeyboardInterrupt


def test_old_ends_of_many_jobs_are_not_written_after_a_restart(
    setup: Setup, arc: ArcInterface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_DELAY", 0.5)
    ids = arc.submit_jobs([JobDescription(executable="true", outputs=[], rerun=1)] * 120)
    end(setup, *ids, state="FAILED")
    assert set(arc.get_job_statuses(ids)) == {JobStatuses.FAILED}
    arc._ledger._restarted_jobs(ids)
    end(setup, *ids)
    arc.close()
    assert {job.final_state for job in arc.job_list.summaries(ids).values()} == {None}
    assert set(arc.get_job_statuses(ids)) == {JobStatuses.COMPLETED}


def test_ends_of_many_jobs_outlive_a_script_that_closes_nothing(setup: Setup, arc: ArcInterface) -> None:
    ids = arc.submit_jobs([JobDescription(executable="true", outputs=[])] * 120)
    end(setup, *ids)
    script = (
        "import json, sys; from jasmin_arc import ArcInterface\n"
        "arc = ArcInterface(log=None, config=json.loads(sys.argv[1]))\n"
        "print(len(arc.get_job_statuses(arc.list_jobs())))\n"
    )
    command = [sys.executable, "-c", script, json.dumps(arc.config.as_dict())]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout == "120\n"
    assert {job.final_state for job in arc.job_list.summaries(ids).values()} == {"Finished"}


def test_what_could_not_be_written_is_written_when_somebody_asks(
    setup: Setup, arc: ArcInterface, tmp_path: Path
) -> None:
    job_id = arc.submit_job("/bin/true", outputs=[])
    end(setup, job_id, files={"stdout": b"hello"})
    arc.get_job_status(job_id)
    with nobody_can_write(arc):
        arc.save_job_outputs(job_id, directory=tmp_path / "saved")
    assert arc.job_list.get([job_id])[job_id].outputs_saved is None
    arc.get_job_status(job_id)
    assert arc.job_list.get([job_id])[job_id].outputs_saved is not None


def test_a_wait_looks_before_it_is_given_up(setup: Setup, arc: ArcInterface) -> None:
    slow, quick = arc.submit_jobs([job(), job()])
    watch = arc._watcher
    # As after questions about very many jobs.
    watch._took.extend([1.0] * 3)
    with pytest.raises(TimeoutError):
        arc.wait([slow], timeout=0.2)
    end(setup, quick)
    assert arc.wait([quick], timeout=0.2) == [JobStatuses.COMPLETED]
    end(setup, slow)
    assert [done.id for done in arc.as_completed([slow], timeout=0.2)] == [slow]


def test_an_answer_from_before_a_restart_is_not_taken_for_the_end_of_the_new_run(
    setup: Setup, arc: ArcInterface
) -> None:
    restartable(setup)
    job_id = arc.submit_job("/bin/true", outputs=[], rerun=1)
    end(setup, job_id, state="FAILED")
    asked = arc.backend.states
    restarts: list[str] = [job_id]

    def overtaken(job_ids: list[str]) -> dict[str, str]:
        answer = asked(job_ids)
        if restarts:
            arc.restart_jobs([restarts.pop()])
        return answer

    arc.backend.states = overtaken  # type: ignore[method-assign,assignment]
    assert arc.get_job_status(job_id) is JobStatuses.NOT_SUBMITTED
    assert arc.job_list.get([job_id])[job_id].final_state is None


def test_as_completed_without_waiting_looks_at_least(setup: Setup, arc: ArcInterface) -> None:
    ended, running = arc.submit_jobs([job(), job()])
    end(setup, ended)
    seen = []
    with pytest.raises(TimeoutError):
        for done in arc.as_completed([running, ended], timeout=0):
            seen.append(done.id)
    assert seen == [ended]
    assert [done.id for done in arc.as_completed([ended], timeout=0)] == [ended]


def test_jobs_of_the_same_place_that_were_killed_need_no_saved_outputs(setup: Setup, arc: ArcInterface) -> None:
    ids = arc.submit_jobs([JobDescription(executable="sleep", outputs=[])] * 10)
    other = setup.another_backend()
    # Another process kills them, so that this one has to find out.
    assert other.cancel(ids) == {}
    other.close()
    assert set(arc.get_job_statuses(ids)) == {JobStatuses.FAILED}
    arc.clean_jobs(ids)
    assert setup.ce.jobs == {}


def test_that_a_job_was_killed_is_learned_later_and_stays(setup: Setup, arc: ArcInterface) -> None:
    ids = arc.submit_jobs([job()] * 10)
    other = setup.another_backend()
    assert other.cancel(ids) == {}
    other.close()
    arc.get_job_statuses(ids)
    assert {info.state for info in arc.get_job_infos(ids)} == {"Killed"}
    assert {record.final_state for record in arc.job_list.get(ids).values()} == {"Killed"}
    arc.close()
    assert {info.state for info in arc.get_job_infos(ids)} == {"Killed"}


def test_the_log_of_an_interface_reaches_pythons_own(
    setup: Setup, arc: ArcInterface, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="jasmin_arc"):
        job_id = arc.submit_job("/bin/true", outputs=[])
    assert f"submitted {job_id}" in caplog.text
