"""Waiting: one question for all, outages waited out."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import wait

import pytest

from jasmin_arc import (
    JasminArcError,
    JobListError,
    JobNotFoundError,
    LogLevels,
    ProxyGenerationError,
    ServerError,
    ServerUnavailableError,
)
from jasmin_arc import watcher as watcher_module
from jasmin_arc._support.logs import make_logger
from jasmin_arc.backends.base import Pace
from jasmin_arc.constants import JobState
from jasmin_arc.watcher import MAX_FAILURES, Watcher

LIMIT = 20
QUICK = (0.01, 0.01)
"""The pauses between questions in an outage"""


class Site:
    """Answers as scripted: each entry is an answer for all jobs, or an error."""

    def __init__(self, *script: dict[str, str] | Exception) -> None:
        self.script = list(script)
        self.questions: list[list[str]] = []

    def states(self, job_ids: Sequence[str]) -> dict[str, str]:
        self.questions.append(list(job_ids))
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    for thread in threading.enumerate():
        if thread.name == "jasmin_arc watcher":
            thread.join(LIMIT)
    assert threading.active_count() <= before


def watcher(site: Site, log: io.StringIO) -> Watcher:
    return Watcher(site.states, make_logger(log, LogLevels.INFO))


def test_many_jobs_share_one_question(log: io.StringIO) -> None:
    ids = [f"x://{number}" for number in range(1000)]
    site = Site(dict.fromkeys(ids, JobState.RUNNING), dict.fromkeys(ids, JobState.FINISHED))
    futures = watcher(site, log).watch(ids)
    wait(futures.values(), LIMIT)
    assert {future.result() for future in futures.values()} == {JobState.FINISHED}
    assert len(site.questions) == 2


def test_an_outage_is_waited_out_with_one_warning(log: io.StringIO) -> None:
    down = ServerUnavailableError("connection refused")
    site = Site({"x://1": JobState.RUNNING}, down, down, {"x://1": JobState.FINISHED})
    (future,) = watcher(site, log).watch(["x://1"]).values()
    assert future.result(LIMIT) == JobState.FINISHED
    assert log.getvalue().count("connection refused") == 1
    assert "can be asked about again" in log.getvalue()


def test_a_wait_outlives_any_single_failure(log: io.StringIO) -> None:
    script = [JobListError("the job list is locked"), ProxyGenerationError("no key"), {"x://1": JobState.FINISHED}]
    (future,) = watcher(Site(*script), log).watch(["x://1"]).values()
    assert future.result(LIMIT) == JobState.FINISHED
    assert log.getvalue().count("waiting goes on") == 1
    assert "the job list is locked" in log.getvalue()


def test_a_server_that_only_ever_errs_ends_the_wait(log: io.StringIO) -> None:
    site = Site(ServerError("forbidden", status=403))
    (future,) = watcher(site, log).watch(["x://1"]).values()
    with pytest.raises(ServerError, match="forbidden"):
        future.result(LIMIT)
    assert len(site.questions) == MAX_FAILURES


def test_an_unknown_job_ends_its_own_wait_alone(log: io.StringIO) -> None:
    site = Site({"x://1": JobState.RUNNING}, {"x://1": JobState.KILLED})
    futures = watcher(site, log).watch(["x://1", "x://2"])
    with pytest.raises(JobNotFoundError, match="x://2"):
        futures["x://2"].result(LIMIT)
    assert futures["x://1"].result(LIMIT) == JobState.KILLED


def test_a_fault_of_our_own_reaches_the_waiting_caller(log: io.StringIO) -> None:
    (future,) = watcher(Site(ZeroDivisionError("oops")), log).watch(["x://1"]).values()
    with pytest.raises(ZeroDivisionError):
        future.result(LIMIT)


def test_who_still_waits_when_it_is_closed_is_told(log: io.StringIO) -> None:
    watching = watcher(Site({"x://1": JobState.RUNNING}), log)
    (future,) = watching.watch(["x://1"]).values()
    watching.close()
    with pytest.raises(JasminArcError, match="closed"):
        future.result(LIMIT)


def test_a_job_that_is_named_twice_is_forgotten_with_one_call(log: io.StringIO) -> None:
    site = Site({"x://1": JobState.RUNNING}, {"x://1": JobState.FAILED})
    watching = watcher(site, log)
    watching.forget(watching.watch(["x://1", "x://1"]))
    site.script = [{"x://1": JobState.FINISHED}]
    (future,) = watching.watch(["x://1"]).values()
    assert future.result(LIMIT) == JobState.FINISHED
    watching.forget(["x://1"])


def test_a_job_that_stays_just_before_its_end_is_asked_about_ever_more_slowly(log: io.StringIO) -> None:
    site = Site({"x://1": JobState.FINISHING})
    watching = watcher(site, log)
    watching.watch(["x://1"])
    time.sleep(1.0)
    watching.forget(["x://1"])
    assert len(site.questions) <= 11


def test_a_loop_that_is_collected_as_garbage_while_others_begin_to_wait(log: io.StringIO) -> None:
    class Loop:
        def __del__(self) -> None:
            watching.forget(["x://1"])

    site = Site({"x://1": JobState.RUNNING})
    watching = watcher(site, log)
    (first,) = watching.watch(["x://1"]).values()
    loop = Loop()
    loop.itself = loop  # type: ignore[attr-defined]
    del loop
    # So many futures that garbage is collected between them.
    others = watching.watch(f"x://{number}" for number in range(2, 5000))
    assert set(wait(others.values(), LIMIT).done) == set(others.values())
    assert not first.done()
    watching.forget(others)


def test_a_host_that_allows_no_thread_does_not_make_later_waits_hang(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site({"x://1": JobState.FINISHED})
    watching = watcher(site, log)
    with monkeypatch.context() as host:
        host.setattr(threading.Thread, "start", mock_full)
        with pytest.raises(JasminArcError, match="ulimit -u"):
            watching.watch(["x://1"])
    assert watching.watch(["x://1"])["x://1"].result(LIMIT) == JobState.FINISHED
    watching.forget(["x://1"])


def mock_full(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_one_that_gives_up_leaves_the_others_waiting(log: io.StringIO) -> None:
    site = Site({"x://1": JobState.RUNNING})
    watching = watcher(site, log)
    (first,) = watching.watch(["x://1"]).values()
    (second,) = watching.watch(["x://1"]).values()
    watching.forget(["x://1"])
    site.script = [{"x://1": JobState.FINISHED}]
    assert second.result(LIMIT) == first.result(LIMIT) == JobState.FINISHED
    watching.forget(["x://1"])


def test_a_job_that_was_restarted_is_watched_anew_though_another_still_holds_its_end(log: io.StringIO) -> None:
    site = Site({"x://1": JobState.FAILED})
    watching = watcher(site, log)
    (first,) = watching.watch(["x://1"]).values()
    assert first.result(LIMIT) == JobState.FAILED
    site.script = [{"x://1": JobState.RUNNING}, {"x://1": JobState.FINISHED}]
    (second,) = watching.watch(["x://1"]).values()
    assert second.result(LIMIT) == JobState.FINISHED
    assert first.result() == JobState.FAILED


def test_an_answer_counts_only_for_those_that_waited_when_it_was_asked_for(log: io.StringIO) -> None:
    asked, restarted = threading.Event(), threading.Event()

    def states(job_ids: Sequence[str]) -> dict[str, str]:
        if not asked.is_set():
            asked.set()
            assert restarted.wait(LIMIT)
            return {"x://1": JobState.FAILED, "x://2": JobState.RUNNING}
        return {"x://1": JobState.FINISHED, "x://2": JobState.RUNNING}

    watching = Watcher(states, make_logger(log, LogLevels.INFO))
    watching.watch(["x://2"])
    assert asked.wait(LIMIT)
    (late,) = watching.watch(["x://1"]).values()
    restarted.set()
    assert late.result(LIMIT) == JobState.FINISHED
    watching.forget(["x://1"])
    watching.forget(["x://2"])


def test_a_refusal_in_the_middle_of_an_outage_is_waited_out(log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher_module, "OUTAGE", QUICK)
    down, other = ServerUnavailableError("connection refused"), ServerError("not found", status=404)
    site = Site({"x://1": JobState.RUNNING}, *[down] * MAX_FAILURES, other, {"x://1": JobState.FINISHED})
    watching = Watcher(site.states, make_logger(log, LogLevels.INFO))
    (future,) = watching.watch(["x://1"]).values()
    assert future.result(LIMIT) == JobState.FINISHED


def test_a_server_that_answered_before_may_refuse_for_a_while(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "OUTAGE", QUICK)
    refusals = [ServerError("being restarted", status=404)] * (2 * MAX_FAILURES)
    site = Site({"x://1": JobState.RUNNING}, *refusals, {"x://1": JobState.FINISHED})
    watching = Watcher(site.states, make_logger(log, LogLevels.INFO))
    (future,) = watching.watch(["x://1"]).values()
    assert future.result(LIMIT) == JobState.FINISHED
    assert log.getvalue().count("being restarted") == 1


def test_a_server_that_answered_before_and_then_refuses_for_long_ends_the_wait(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "OUTAGE", QUICK)
    monkeypatch.setattr(watcher_module, "PATIENCE", 0.2)
    site = Site({"x://1": JobState.RUNNING}, ServerError("forbidden", status=403))
    watching = Watcher(site.states, make_logger(log, LogLevels.INFO))
    (future,) = watching.watch(["x://1"]).values()
    with pytest.raises(ServerError, match="forbidden"):
        future.result(LIMIT)
    assert len(site.questions) > MAX_FAILURES


def test_questions_take_no_more_than_their_share_of_the_time(log: io.StringIO) -> None:
    busy = [0.0]

    def states(job_ids: Sequence[str]) -> dict[str, str]:
        time.sleep(0.02)
        busy[0] += 0.02
        return dict.fromkeys(job_ids, JobState.RUNNING)

    watching = Watcher(states, make_logger(log, LogLevels.INFO), pace=Pace(fastest=0.001, slowest=0.001, share=0.1))
    began = time.monotonic()
    watching.watch(["x://1"])
    while time.monotonic() - began < 2.0:
        # Those that come later share the questions, and do not make them more.
        watching.watch(["x://2"])
        watching.forget(["x://2"])
        time.sleep(0.05)
    watching.close()
    # The first few find out how long one takes.
    assert busy[0] <= 0.1 * (time.monotonic() - began) + 3 * 0.02


def test_the_rest_that_the_server_gets_counts_as_a_part_of_the_pause(log: io.StringIO) -> None:
    asked: list[float] = []

    def states(job_ids: Sequence[str]) -> dict[str, str]:
        asked.append(time.monotonic())
        time.sleep(0.03)
        return dict.fromkeys(job_ids, JobState.RUNNING)

    # A question takes 0.03 s, so the server rests for 0.27 s; the next question comes after 0.3 s in any case.
    watching = Watcher(states, make_logger(log, LogLevels.INFO), pace=Pace(fastest=0.3, slowest=0.3, share=0.1))
    watching.watch(["x://1"])
    time.sleep(3.0)
    watching.close()
    # With one pause after the other, it would be five.
    assert len(asked) >= 8


def test_a_job_that_alone_cannot_be_asked_about_is_waited_out(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "OUTAGE", QUICK)
    refused = ServerError("nonsense", status=500)
    others = [{f"x://{n}": JobState.FINISHED, "x://bad": refused} for n in range(2 * MAX_FAILURES)]
    site = Site(*others, {"x://bad": JobState.FINISHED})
    watching = Watcher(site.states, make_logger(log, LogLevels.INFO))
    ids = [f"x://{n}" for n in range(2 * MAX_FAILURES)]
    site_states, known = site.states, dict.fromkeys(ids, JobState.RUNNING)

    def states(job_ids: Sequence[str]) -> dict[str, JobState | JasminArcError]:
        known.update(site_states(job_ids))  # type: ignore[arg-type]
        return {job_id: known[job_id] for job_id in job_ids}

    watching._states = states
    futures = watching.watch([*ids, "x://bad"])
    assert {future.result(LIMIT) for future in futures.values()} == {JobState.FINISHED}
    assert log.getvalue().count("nonsense") == 1


def test_a_job_that_is_refused_for_long_ends_its_own_wait_alone(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "OUTAGE", QUICK)
    monkeypatch.setattr(watcher_module, "PATIENCE", 0.1)
    down = ServerUnavailableError("no answer")
    answers = {"x://good": JobState.RUNNING, "x://bad": ServerError("forbidden", status=403), "x://down": down}
    site = Site(answers)  # type: ignore[arg-type]
    futures = Watcher(site.states, make_logger(log, LogLevels.INFO)).watch(answers)
    with pytest.raises(ServerError, match="forbidden"):
        futures["x://bad"].result(LIMIT)
    assert not futures["x://good"].done() and not futures["x://down"].done()
    site.script = [dict.fromkeys(answers, JobState.FINISHED)]
    assert futures["x://good"].result(LIMIT) == futures["x://down"].result(LIMIT) == JobState.FINISHED


def test_a_look_at_a_job_that_cannot_be_asked_about_is_an_error(log: io.StringIO) -> None:
    site = Site({"x://1": JobState.FINISHED, "x://2": ServerError("forbidden", status=403)})  # type: ignore[dict-item]
    watching = Watcher(site.states, make_logger(log, LogLevels.INFO))
    with pytest.raises(ServerError, match="forbidden"):
        list(watching.completed(["x://1", "x://2"], timeout=0))
    watching.close()


def test_states_are_told_as_they_are_seen_and_an_end_before_it_is_yielded(log: io.StringIO) -> None:
    first = {"x://1": JobState.RUNNING, "x://2": JobState.QUEUING, "x://other": JobState.RUNNING}
    site = Site(first, {**first, "x://1": JobState.FAILED, "x://2": JobState.FINISHED})
    told: list[dict[str, JobState]] = []
    watching = watcher(site, log)
    watching.watch(["x://other"])
    for job_id, future in watching.completed(
        ["x://1", "x://2"], timeout=LIMIT, seen=lambda now: told.append(dict(now))
    ):
        assert told[-1][job_id] is future.result()
    assert {"x://1": JobState.RUNNING, "x://2": JobState.QUEUING} in told
    assert all("x://other" not in states for states in told)
    watching.close()


def test_an_abandoned_loop_is_told_no_more(log: io.StringIO) -> None:
    site = Site({"x://1": JobState.FINISHED, "x://2": JobState.RUNNING})
    told: list[object] = []
    watching = watcher(site, log)
    next(watching.completed(["x://1", "x://2"], timeout=LIMIT, seen=told.append))
    told.clear()
    watching._poll_now(["x://2"])
    assert told == []
    watching.close()
