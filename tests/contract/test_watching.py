"""Watching jobs: what is known of them, and waiting for many at the price of one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from contract_kit import LIMIT, ended, running, shell, until

from jasmin_arc import (
    ArcInterface,
    JobDescription,
    JobFailedError,
    JobInfo,
    JobNotFoundError,
    JobStatuses,
    PartialFailureError,
    WaitTimeoutError,
)

# The clocks of the two machines may differ a little, and whole seconds are cut.
SLACK = timedelta(seconds=5)


@pytest.mark.core
def test_what_is_known_of_jobs_that_ended(arc: ArcInterface) -> None:
    before = datetime.now(timezone.utc)
    good, bad = arc.submit_jobs([shell("sleep 4", name="good", slots=2), shell("echo why >&2; exit 7", name="bad")])
    ended(arc, good, bad)
    after = datetime.now(timezone.utc)

    def both_published() -> list[JobInfo] | None:
        infos = arc.get_job_infos([bad, good])
        return infos if all(info.wall_time is not None and info.ended for info in infos) else None

    failed, done = until(both_published)
    assert [failed.id, done.id] == [bad, good]
    assert (failed.name, failed.state, failed.status, failed.exit_code) == ("bad", "Failed", JobStatuses.FAILED, 7)
    assert failed.errors
    assert (done.name, done.state, done.status, done.exit_code) == ("good", "Finished", JobStatuses.COMPLETED, 0)
    assert done.slots == 2
    assert done.nodes
    for info in (failed, done):
        times = [time for time in (info.submitted, info.started, info.ended) if time is not None]
        assert len(times) >= 2
        assert times == sorted(times)
        assert {time.utcoffset() for time in times} == {timedelta(0)}
        assert before - SLACK <= times[0]
        assert times[-1] <= after + SLACK
    # The wall time is that of one slot, in seconds that the place may have cut.
    assert done.wall_time is not None and done.started is not None and done.ended is not None
    assert timedelta(seconds=3) <= done.wall_time <= done.ended - done.started + timedelta(seconds=2)


def test_a_job_in_your_hand(arc: ArcInterface, tmp_path: Path) -> None:
    job, failing = map(arc.job, arc.submit_jobs([shell("echo hello; echo kept > output"), shell("exit 9")]))
    assert job == arc.job(job.id)
    assert job.status is not JobStatuses.FAILED
    assert job.wait(timeout=LIMIT) is JobStatuses.COMPLETED
    assert (job.status, job.info().id, job.info().final) == (JobStatuses.COMPLETED, job.id, True)
    assert (job.stdout(), job.read("output")) == ("hello\n", "kept\n")
    assert job.outputs(tmp_path / "saved") == str(tmp_path / "saved")
    assert (tmp_path / "saved" / "output").read_text() == "kept\n"
    job.cancel()
    assert job.status is JobStatuses.COMPLETED
    assert failing.wait(timeout=LIMIT) is JobStatuses.FAILED
    with pytest.raises(JobFailedError, match="exit code 9") as caught:
        arc.wait([job.id, failing.id], check=True)
    assert caught.value.job_ids == [failing.id]
    assert failing.explain().cause == "exit-code"


class Questions:
    """Counts what a backend is asked by those who wait."""

    def __init__(self, arc: ArcInterface, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[set[str]] = []
        answer = arc.backend.watched_states

        def states(job_ids: Sequence[str]) -> dict[str, str]:
            self.asked.append(set(job_ids))
            return answer(job_ids)

        monkeypatch.setattr(arc.backend, "watched_states", states)

    def about(self, job_id: str) -> int:
        return sum(job_id in asked for asked in self.asked)


def test_many_watched_jobs_cost_what_one_costs(arc: ArcInterface, monkeypatch: pytest.MonkeyPatch) -> None:
    # None ends before all are watched.
    quick = [JobDescription(executable="sleep", arguments=["1"], outputs=[])] * 19
    *others, last = arc.submit_jobs([*quick, shell("sleep 4")])
    questions = Questions(arc, monkeypatch)
    blocked: list[list[JobStatuses]] = []
    handed_out: list[str] = []
    threads = [
        threading.Thread(target=lambda: blocked.append(arc.wait(others[:10], timeout=LIMIT))),
        threading.Thread(target=lambda: blocked.append(arc.wait([last, *others[10:]], timeout=LIMIT))),
        threading.Thread(target=lambda: handed_out.extend(job.id for job in arc.as_completed(others))),
    ]
    for thread in threads:
        thread.start()

    async def all_of_them() -> list[JobStatuses]:
        return list(await asyncio.wait_for(asyncio.gather(*map(arc.job, [*others, last])), LIMIT))

    assert asyncio.run(all_of_them()) == [JobStatuses.COMPLETED] * 20
    for thread in threads:
        thread.join()
    assert blocked == [[JobStatuses.COMPLETED] * 10] * 2
    assert sorted(handed_out) == sorted(others)
    # All who wait share the questions: there are no more of them than the job that took longest needed alone, but for
    # one or two before all had come to wait.
    assert max(map(len, questions.asked)) == 20
    assert len(questions.asked) <= max(questions.about(job_id) for job_id in [*others, last]) + 3


def test_waiting_never_cancels_and_says_who_has_not_ended(arc: ArcInterface) -> None:
    job_id = arc.submit_job("/bin/sleep", ["300"], name="long")
    with pytest.raises(WaitTimeoutError, match="1 of 1") as caught:
        arc.wait([job_id], timeout=0.2)
    assert caught.value.unfinished == [job_id]
    with pytest.raises(WaitTimeoutError):
        next(iter(arc.as_completed([job_id], timeout=0.2)))
    with pytest.raises(WaitTimeoutError):
        arc.job(job_id).wait(timeout=0)
    running(arc, job_id)

    async def impatient() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(arc.status_when_ended(job_id), 0.2)

    asyncio.run(impatient())
    assert arc.get_job_status(job_id) is JobStatuses.IN_PROGRESS
    arc.cancel_job(job_id)
    ended(arc, job_id)


def test_unknown_jobs_among_those_that_are_waited_for(arc: ArcInterface) -> None:
    job_id = arc.submit_job("true")
    head, _, last = job_id.rpartition("/")
    unknown = f"{head}/{last[::-1]}"
    with pytest.raises(PartialFailureError) as caught:
        arc.wait([job_id, unknown], timeout=LIMIT)
    status, error = caught.value.results
    assert status is JobStatuses.COMPLETED
    assert isinstance(error, JobNotFoundError)
    assert unknown in str(error)
    assert arc.wait([]) == []


@pytest.mark.core
def test_listing_by_status_name_and_time(arc: ArcInterface) -> None:
    names = ["model-a", "model-b", "other"]
    job_ids = arc.submit_jobs([shell(f"exit {code}", name=name) for code, name in enumerate(names)])
    good, bad, other = job_ids
    ended(arc, *job_ids)
    assert set(job_ids) <= set(arc.list_jobs())
    assert arc.list_jobs(name="model-*") == [good, bad]
    assert arc.list_jobs(name="model-*", status=JobStatuses.FAILED) == [bad]
    assert arc.list_jobs(name="*", status=JobStatuses.COMPLETED) == [good]
    assert arc.list_jobs(since=timedelta(hours=1)) == job_ids
    assert arc.list_jobs(since=datetime.now(timezone.utc) - timedelta(hours=1), name="other") == [other]
    assert arc.list_jobs(since=datetime.now(timezone.utc) + timedelta(hours=1)) == []
    assert arc.list_jobs(since=timedelta(hours=1), status=JobStatuses.IN_PROGRESS) == []


@pytest.mark.core
def test_the_site(arc: ArcInterface) -> None:
    site = arc.site()
    assert site.endpoint == arc.backend.endpoint
    assert site.healthy
    assert site.queues
    for queue in site.queues:
        assert queue.total_slots
        assert queue.free_slots is None or 0 <= queue.free_slots <= queue.total_slots
        assert 0 <= (queue.running or 0) <= queue.total_slots
        assert (queue.waiting or 0) >= 0


def test_a_board_costs_the_questions_of_a_wait(
    arc: ArcInterface, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = arc.submit([shell("sleep 3", name="good"), shell("exit 3", name="bad")])
    questions = Questions(arc, monkeypatch)
    with monkeypatch.context() as patch:
        for name in ("query", "list_jobs", "evidence", "site", "list_files", "open"):
            patch.setattr(arc.backend, name, None)
        assert arc.watch(jobs, timeout=LIMIT) is jobs
    assert [job.status for job in jobs] == [JobStatuses.COMPLETED, JobStatuses.FAILED]
    assert questions.asked and max(map(len, questions.asked)) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "0 of 2 jobs ended after 0 s: 2 submitted"
    assert any(line.startswith("2 of 2 jobs ended after ") and "1 completed, 1 failed" in line for line in told)
