"""What the jobs are doing right now.

A-REX answers most questions from what its information provider last wrote, which may be a minute old. Live are the list
of jobs with their states, and the job's own ``status`` file; but these know nothing of the batch system. So the phase
and the end are taken live, that a job has begun from the mark that its run script leaves, and what else the batch
system does with it from what was written.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar, Union

from jasmin_arc._support.parallel import run_all
from jasmin_arc._support.text import printable
from jasmin_arc.backends.http.deadline import pause
from jasmin_arc.backends.rest.api import Api
from jasmin_arc.backends.rest.documents import JobAnswer, number
from jasmin_arc.backends.rest.glue2 import general_state, job_info, parse_time
from jasmin_arc.backends.rest.marks import Marks
from jasmin_arc.constants import ARC_REST_STATES, JobState
from jasmin_arc.exceptions import JasminArcError, ServerError, ServerUnavailableError
from jasmin_arc.job_info import JobInfo

ENDS = frozenset({"FINISHED", "FAILED", "KILLED", "WIPED"})
"""The states in which nothing happens to a job any more"""
_MIN_LISTED = 4
"""Up to so many jobs, a question each is mostly cheaper than the list of all that the user has"""
_LISTED_PER_QUESTION = 10
"""So many jobs in the list of all cost the server about as much as a question about one"""
_MAX_ONE_BY_ONE = 100
_IN_BATCH_SYSTEM = _RUNNING = "RUNNING"
"""What is said live of each job in the batch system, and what was written of one that runs"""
_SEEN_IN_BATCH_SYSTEM = frozenset({"QUEUING", "RUNNING", "HELD", "EXITINGLRMS", "OTHER"})
_BEGUN = frozenset({"RUNNING", "EXITINGLRMS", "FINISHING"})
"""States of jobs that have begun for certain. The server tells only after the end when they did"""
_REST_STATES = {
    "ACCEPTED": "ACCEPTING",
    "PENDING:ACCEPTED": "ACCEPTED",
    "PREPARING": "PREPARING",
    "PENDING:PREPARING": "PREPARED",
    "SUBMIT": "SUBMITTING",
    "INLRMS": _IN_BATCH_SYSTEM,
    "PENDING:INLRMS": "EXECUTED",
    "FINISHING": "FINISHING",
    "CANCELING": "KILLING",
    "FINISHED": "FINISHED",
    "DELETED": "WIPED",
}
"""The states in A-REX's own files, and what the REST interface calls them"""
_LISTED = tuple(state for state in ARC_REST_STATES if state != "WIPED")
"""The states that are believed when they stand in the list of all jobs"""
_ATTEMPTS = 5
_RETRY_STEP = 0.02
"""Seconds by which each pause between attempts is longer than the one before"""
_WORKERS = 8
_NO_REASON = re.compile(r"\A\s*<|[\x00-\x08\x0e-\x1f]")
"""What a text about a failure never has: a web page's beginning, or characters of binary data"""
_STATE = re.compile(r"[A-Z][A-Z:_-]{1,40}")
_RESTART_SECONDS = 10.0
"""For how long the server may take to begin with a job that it was told to run again"""
_MAX_CACHED = 100_000
_BATCH_SECONDS = 2.0
"""For how long what was written of a job in the batch system counts: the server writes it once a minute"""

_Cached = TypeVar("_Cached")
Answer = Union[str, JasminArcError]
"""A job's native state, or why it cannot be told now"""


class States:
    """Asks for states and all that is known of jobs, which are given by their native ids. Threads may share it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._marks = Marks(api)
        self._lock = threading.Lock()
        self._listed = 0
        self._changing: dict[str, None] = {}
        self._cancelled: dict[str, None] = {}
        self._failures: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._batch: dict[str, tuple[str, float]] = {}
        self._ended: dict[str, JobInfo] = {}

    def live_states(self, native_ids: Sequence[str]) -> dict[str, Answer]:
        """Return the jobs' present native states; those that the server does not know are absent.

        A job that failed and that this process has not cancelled is ``FAILED``, though another process may have killed
        it: the server tells that only job by job. If no job could be answered for, the first error is raised.
        """
        answers = self._live(native_ids)
        in_batch = [native_id for native_id, state in answers.items() if state == _IN_BATCH_SYSTEM]
        written: Mapping[str, str] = {}
        try:
            written = self._written(in_batch)
        except JasminArcError as error:
            answers.update(dict.fromkeys(in_batch, error))
        live = {native_id: state for native_id, state in answers.items() if isinstance(state, str)}
        if not live:
            _raise_first(answers)
        self._read_failures([job for job in live if job in self._cancelled], live)
        begun = self._marks.begun(_waiting(live, written))
        states = {**written, **dict.fromkeys(begun, _RUNNING)}
        answers.update((job, self._reconcile(job, state, states.get(job, ""))) for job, state in live.items())
        return answers

    def infos(self, native_ids: Mapping[str, str]) -> dict[str, JobInfo]:
        """Return all that is known of the jobs, by job id; those that the server does not know are absent."""
        live = _raise_first(self._live(list(native_ids.values())))
        infos = {
            job: job_info(answer.info, job)
            for job, answer in self._api.query_jobs("info", live).items()
            if answer.info is not None
        }
        written = {job: info.native_state for job, info in infos.items()}
        self._read_failures([job for job in live if written.get(job) not in ("FAILED", "KILLED")], live)
        begun = self._marks.begun(_waiting(live, written))
        for job, told in live.items():
            state = self._reconcile(job, told, _RUNNING if job in begun else written.get(job, ""))
            known = infos.get(job) or JobInfo(id="", native_id=job, state=JobState.UNDEFINED)
            started = known.started or (self._marks.began(job) if state in _BEGUN else None)
            infos[job] = replace(known, state=general_state(state), native_state=state, started=started)
        late = {job: infos[job] for job in live if infos[job].native_state in ENDS and written.get(job) not in ENDS}
        infos.update(_raise_first(dict(zip(late, run_all(self._completed, late.values(), workers=_WORKERS)))))
        return {
            job_id: replace(infos[job], id=job_id, exit_code=_exit_code(infos[job]))
            for job_id, job in native_ids.items()
            if job in live
        }

    def _read_failures(self, native_ids: Iterable[str], live: Mapping[str, str]) -> None:
        """Read why those of the jobs that failed did. Where that cannot be read, the next question tries again."""
        failed = [job for job in native_ids if live[job] == "FAILED" and job not in self._failures]
        run_all(self._failure, failed, workers=_WORKERS)

    def _live(self, native_ids: Sequence[str]) -> dict[str, Answer]:
        """Return live states, in which all in the batch system are RUNNING, and those killed are FAILED."""
        if len(native_ids) <= max(_MIN_LISTED, min(self._listed // _LISTED_PER_QUESTION, _MAX_ONE_BY_ONE)):
            states = dict(zip(native_ids, run_all(self._live_state, native_ids, workers=_WORKERS)))
            found = {job: state for job, state in states.items() if state}
        else:
            listed = self._api.jobs(_LISTED)
            self._listed = len(listed)
            found = {job: listed[job] for job in native_ids if job in listed}
        missing = [job for job in native_ids if job not in found]
        return {**found, **self._overlooked(missing)} if missing else found

    def _overlooked(self, native_ids: Sequence[str]) -> dict[str, Answer]:
        """Return the states of jobs that exist though they seemed not to: A-REX moves their files about."""
        try:
            answers = self._api.query_jobs("status", native_ids)
        except JasminArcError as error:
            return dict.fromkeys(native_ids, error)
        there = {job: answer for job, answer in answers.items() if answer.code != 404}
        return dict(zip(there, run_all(self._overlooked_state, there.values(), workers=_WORKERS)))

    def _overlooked_state(self, answer: JobAnswer) -> str:
        url = self._api.job_url(answer.native_id)
        if not answer.done:
            raise ServerError(f"the server does not tell whether there is a job {url}: {answer.code} {answer.reason}")
        for attempt in range(3 * _ATTEMPTS):
            pause(_RETRY_STEP * attempt)
            state = self._live_state(answer.native_id)
            if state:
                return state
        if answer.state in ENDS - {"WIPED"}:
            return answer.state
        raise ServerUnavailableError(f"the compute element does not tell the state of {url} now")

    def _live_state(self, native_id: str) -> str:
        """Return the state of one job; an empty text for a job that is not there."""
        for _ in range(_ATTEMPTS):
            state = self._state_in_file(native_id)
            if state != "FINISHED":
                return state
            if self._failure(native_id) is not None:
                return "FAILED"
            # A job that is about to run again loses the mark of its failure a moment before its state changes.
            for _ in range(_ATTEMPTS if native_id in self._changing else 0):
                pause(5 * _RETRY_STEP)
                if self._state_in_file(native_id) != "FINISHED":
                    break
            else:
                return state
        url = self._api.job_url(native_id)
        raise ServerUnavailableError(f"the compute element tells one state after another of {url}")

    def _state_in_file(self, native_id: str) -> str:
        """Return the state in the job's own file; an empty text for a job that is not there."""
        written = self._api.diagnose(native_id, "status", max_bytes=1000)
        if written is None:
            return ""
        word = written.strip()
        if not _STATE.fullmatch(word):
            url = self._api.job_url(native_id)
            raise ServerError(f"the server does not tell the state of {url}, but {printable(word, max_length=50)!r}")
        return _REST_STATES.get(word, "OTHER")

    def _failure(self, native_id: str) -> tuple[str, tuple[str, ...]] | None:
        """Read in which state a job failed, and what went wrong; ``None`` for a job that has not failed."""
        written = self._api.diagnose(native_id, "failed", max_bytes=1 << 16)
        if written is None:
            return None
        if _NO_REASON.search(written):
            raise ServerError(f"the server sends something else than why {self._api.job_url(native_id)} failed")
        lines = tuple(printable(line) for line in written.splitlines() if line.strip())
        failure = ("KILLED" if "canceled by external request" in written else "FAILED", lines)
        self._cache(self._failures, native_id, failure)
        return failure

    def _written(self, native_ids: Sequence[str]) -> dict[str, str]:
        """Return what the information provider has written of the jobs' states."""
        now = time.monotonic()
        entries = {job: self._batch.get(job, ("", 0.0)) for job in native_ids}
        known = {job: state for job, (state, then) in entries.items() if state and now - then < _BATCH_SECONDS}
        for job, answer in self._api.query_jobs("status", [job for job in native_ids if job not in known]).items():
            known[job] = answer.state
            self._cache(self._batch, job, (answer.state, now))
        return known

    def _reconcile(self, native_id: str, live: str, written: str) -> str:
        """Put together what is live and what the information provider has written."""
        if live == _IN_BATCH_SYSTEM:
            # Nothing written yet means that it has not been there for long.
            return written if written in _SEEN_IN_BATCH_SYSTEM else "QUEUING"
        if live == "FAILED" and native_id in self._failures:
            return self._failures[native_id][0]
        return "KILLED" if (live, written) == ("FAILED", "KILLED") else live

    def note_cancelled(self, native_ids: Iterable[str]) -> None:
        """Note jobs that this process has cancelled: how they ended is worth a question each."""
        for native_id in native_ids:
            self._cache(self._cancelled, native_id, None)

    def discard(self, native_ids: Iterable[str]) -> None:
        """Take nothing for granted any more of jobs that are being erased or run again."""
        ids = list(native_ids)
        self._marks.forget(ids)
        for native_id in ids:
            self._cache(self._changing, native_id, None)
            with self._lock:
                for cache in (self._failures, self._batch, self._cancelled, self._ended):
                    cache.pop(native_id, None)

    def wait_for_another_run(self, native_ids: Iterable[str]) -> list[str]:
        """Wait until jobs that are to run again have left their old end, and return those that have not in time."""
        left = list(native_ids)
        until = time.monotonic() + _RESTART_SECONDS
        delay = 5 * _RETRY_STEP
        while left and time.monotonic() < until:
            pause(delay)
            delay = min(2 * delay, 1.0)
            live = _raise_first(self._live(left))
            left = [native_id for native_id in left if live.get(native_id) in ENDS]
        return left

    def _completed(self, info: JobInfo) -> JobInfo:
        """Add what the information provider has not yet written of a job that has just ended."""
        known = self._ended.get(info.native_id)
        if known is not None and known.native_state == info.native_state:
            return known
        finished = info.native_state == "FINISHED"
        _, errors = self._failures.get(info.native_id) or ("", ())
        log = self._log_of_end(info.native_id, patient=finished)
        wall = re.fullmatch(r"(\d{1,10})(\.\d+)?s", log.get("WallTime", ""))
        completed = replace(
            info,
            errors=() if finished else errors,
            exit_code=number(log.get("exitcode", "")),
            nodes=info.nodes or tuple(filter(None, [printable(log.get("nodename", ""))])),
            started=parse_time(log.get("LRMSStartTime", "")) or info.started,
            ended=parse_time(log.get("LRMSEndTime", "")) or info.ended,
            wall_time=timedelta(seconds=int(wall[1])) if wall else None,
            position=None,
        )
        if completed.exit_code is not None or not finished:
            self._cache(self._ended, info.native_id, completed)
        return completed

    def _log_of_end(self, native_id: str, *, patient: bool) -> dict[str, str]:
        """Read what was logged of a job's end. Right after it, the file may be on its way to another folder."""
        log: dict[str, str] = {}
        for attempt in range(_ATTEMPTS if patient else 1):
            pause(_RETRY_STEP * attempt)
            # Lines such as exitcode=0, of which the last one of each name counts.
            lines = (line.partition("=") for line in (self._api.diagnose(native_id, "diag") or "").splitlines())
            log = {name: value.strip() for name, equals, value in lines if equals}
            if "exitcode" in log:
                break
        return log

    def _cache(self, cache: dict[str, _Cached], native_id: str, value: _Cached) -> None:
        with self._lock:
            cache.pop(native_id, None)
            cache[native_id] = value
            while len(cache) > _MAX_CACHED:
                del cache[next(iter(cache))]


def _raise_first(answers: Mapping[str, _Cached | JasminArcError]) -> dict[str, _Cached]:
    """Return the answers if there is no error among them, else raise the first one."""
    for answer in answers.values():
        if isinstance(answer, JasminArcError):
            raise answer
    return dict(answers)  # type: ignore[arg-type]


def _waiting(live: Mapping[str, str], written: Mapping[str, str]) -> list[str]:
    """Return the jobs that wait in the batch system, by what was written of them, if anything."""
    running = _SEEN_IN_BATCH_SYSTEM - {"QUEUING"}
    return [job for job, state in live.items() if state == _IN_BATCH_SYSTEM and written.get(job) not in running]


def _exit_code(info: JobInfo) -> int | None:
    """Return the exit code. A job that was restarted has no other record of it than the error that it led to."""
    codes = (re.match(r"LRMS error: \((\d{1,3})\)", error) for error in info.errors)
    reported = next((int(code[1]) for code in codes if code and 0 < int(code[1]) < 256), None)
    return reported if info.exit_code is None else info.exit_code
