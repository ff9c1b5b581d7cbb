"""What the jobs are doing right now.

A-REX answers most questions from what its information provider last wrote, which on a busy site is a minute old. Live
are the list of jobs with their states, and the job's own ``status`` file; these know nothing of the batch system,
though. So the phase and the end are taken live, and what the batch system does with the job from what was written.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from jasmin_arc._support.parallel import run_all
from jasmin_arc._support.text import printable
from jasmin_arc.backends.http.deadline import pause
from jasmin_arc.backends.rest.documents import JobAnswer
from jasmin_arc.backends.rest.glue2 import general_state, job_info, number, parse_time
from jasmin_arc.constants import ARC_REST_STATES, JobState
from jasmin_arc.exceptions import JasminArcError, ServerError, ServerUnavailableError
from jasmin_arc.job_info import JobInfo

if TYPE_CHECKING:
    from jasmin_arc.backends.rest.api import Api

ENDS = frozenset({"FINISHED", "FAILED", "KILLED", "WIPED"})
"""The states in which nothing happens to a job any more"""
_ONE_BY_ONE = 4
"""Up to so many jobs, a question each is mostly cheaper than the list of all that the user has"""
_AS_COSTLY = 10
"""So many jobs in the list of all cost the server about as much as a question about one"""
_MOST_ONE_BY_ONE = 100
_IN_BATCH_SYSTEM = "RUNNING"
_SEEN_IN_BATCH_SYSTEM = frozenset({"QUEUING", "RUNNING", "HELD", "EXITINGLRMS", "OTHER"})
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
_MOMENT = 0.02
_WORKERS = 8
_NO_REASON = re.compile(r"\A\s*<|[\x00-\x08\x0e-\x1f]")
"""What a text about a failure never has: a web page's beginning, or characters of binary data"""
_STATE = re.compile(r"[A-Z][A-Z:_-]{1,40}")
_SLOWEST_LOOK = 1.0
"""Seconds between two looks at jobs that are to run again"""
_RESTART_SECONDS = 10.0
"""For how long the server may take to begin with a job that it was told to run again"""
_CANCELLED = "canceled by external request"
_MOST_KNOWN = 100_000
_BATCH_SECONDS = 2.0
"""For how long what was written of a job in the batch system counts: the server writes it once a minute"""

_NOTHING = JobInfo(id="", state=JobState.UNDEFINED)

_Known = TypeVar("_Known")


class States:
    """Asks for states and all that is known of jobs. All names are the server's own. Threads may share it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._listed = 0
        self._changing: dict[str, bool] = {}
        self._told_to_end: dict[str, bool] = {}
        self._failures: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._batch: dict[str, tuple[str, float]] = {}
        self._logged: dict[str, JobInfo] = {}

    def native(self, names: Sequence[str]) -> dict[str, str]:
        """Return the jobs' present native states; those that the server does not know are absent.

        Of many jobs that have failed, those that this process has not told to end are ``FAILED``, though another
        process may have killed them: the server tells that only job by job.
        """
        live = self._live(names)
        written = self._written([name for name, state in live.items() if state == _IN_BATCH_SYSTEM])
        self._read_failures(name for name, state in live.items() if state == "FAILED" and name in self._told_to_end)
        return dict(self._settle(live, written))

    def infos(self, ids: Mapping[str, str]) -> dict[str, JobInfo]:
        """Return all that is known of the jobs, by job id.

        :param ids: the jobs' names, by job id
        """
        live = self._live(list(ids.values()))
        answers = self._api.ask("info", list(live)) if live else {}
        written = {name: job_info("", answer.info) for name, answer in answers.items() if answer.info is not None}
        told = {name: info.native_state for name, info in written.items()}
        self._read_failures(
            name for name, state in live.items() if state == "FAILED" and told.get(name) not in ("FAILED", "KILLED")
        )
        infos = {name: self._merged(state, written.get(name, _NOTHING)) for name, state in self._settle(live, told)}
        late = [name for name, info in infos.items() if info.native_state in ENDS and told.get(name) not in ENDS]
        infos.update(zip(late, self._all(lambda name: self._completed(name, infos[name]), late)))
        return {job_id: _with_code(replace(infos[name], id=job_id)) for job_id, name in ids.items() if name in infos}

    def _settle(self, live: Mapping[str, str], written: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        return ((name, self._settled(name, state, written.get(name, ""))) for name, state in live.items())

    def _all(self, action: Callable[[str], _Known], names: Iterable[str]) -> list[_Known]:
        """Do something for each job, several at a time; the first error is raised."""
        results: list[_Known] = []
        for result in run_all(action, names, workers=_WORKERS):
            if isinstance(result, JasminArcError):
                raise result
            results.append(result)
        return results

    def _read_failures(self, names: Iterable[str]) -> None:
        # That they failed is known. Where the reason cannot be read, the next question tries again.
        unread = [name for name in names if name not in self._failures]
        if unread:
            run_all(self._failure, unread, workers=_WORKERS)

    def _live(self, names: Sequence[str]) -> dict[str, str]:
        """Return live states, in which all in the batch system are RUNNING, and those killed are FAILED."""
        if len(names) <= max(_ONE_BY_ONE, min(self._listed // _AS_COSTLY, _MOST_ONE_BY_ONE)):
            found = {name: state for name, state in zip(names, self._all(self._own_state, names)) if state}
        else:
            listed = self._api.jobs(_LISTED)
            self._listed = len(listed)
            found = {name: listed[name] for name in names if name in listed}
        if len(found) == len(names):
            return found
        return {**found, **self._overlooked([name for name in names if name not in found])}

    def _overlooked(self, names: Sequence[str]) -> dict[str, str]:
        """Return the states of jobs that exist though they seemed not to.

        A-REX moves the file with the state from folder to folder. In between, a job seems to be WIPED, or to have no
        state at all.

        :raises ServerUnavailableError: if a job is there, and its state is not to be had
        """
        if not names:
            return {}
        answers = self._api.ask("status", names)
        there = [name for name in names if self._is_there(answers[name])]
        return dict(zip(there, self._all(lambda name: self._patiently(name, answers[name].state), there)))

    def _is_there(self, answer: JobAnswer) -> bool:
        if not answer.done and answer.code != 404:
            raise ServerError(
                f"the server does not tell whether there is a job {self._api.job_url(answer.id)}: "
                f"{answer.code} {answer.reason}"
            )
        return answer.done

    def _patiently(self, name: str, written: str) -> str:
        for attempt in range(3 * _ATTEMPTS):
            pause(_MOMENT * attempt)
            state = self._own_state(name)
            if state:
                return state
        if written in ENDS - {"WIPED"}:
            return written
        raise ServerUnavailableError(f"the compute element does not tell the state of {self._api.job_url(name)} now")

    def _own_state(self, name: str) -> str:
        for _ in range(_ATTEMPTS):
            state = self._told_state(name)
            if state != "FINISHED":
                return state
            if self._failure(name) is not None:
                return "FAILED"
            if self._stays_finished(name):
                return state
        raise ServerUnavailableError(f"the compute element tells one state after another of {self._api.job_url(name)}")

    def _told_state(self, name: str) -> str:
        """Return the state in the job's own file, which is empty for a job that is not there.

        :raises ServerError: if there is something else than a state in it
        """
        written = self._api.diagnose(name, "status", most=1000)
        if written is None:
            return ""
        word = written.strip()
        if not _STATE.fullmatch(word):
            told = printable(word, max_length=50)
            raise ServerError(f"the server does not tell the state of {self._api.job_url(name)}, but {told!r}")
        return _REST_STATES.get(word, "OTHER")

    def _stays_finished(self, name: str) -> bool:
        """Say whether a job that has not failed is really finished.

        A job that is about to run again loses the mark of its failure a moment before its state changes.
        """
        for _ in range(_ATTEMPTS if name in self._changing else 0):
            pause(5 * _MOMENT)
            if self._told_state(name) != "FINISHED":
                return False
        return True

    def _failure(self, name: str) -> tuple[str, tuple[str, ...]] | None:
        """Read in which state a job failed, and what went wrong; ``None`` for a job that has not failed."""
        written = self._api.diagnose(name, "failed", most=1 << 16)
        if written is None:
            return None
        if _NO_REASON.search(written):
            raise ServerError(f"the server sends something else than why {self._api.job_url(name)} failed")
        lines = tuple(printable(line) for line in written.splitlines() if line.strip())
        failure = ("KILLED" if _CANCELLED in written else "FAILED", lines)
        self._remember(self._failures, name, failure)
        return failure

    def _written(self, names: Sequence[str]) -> dict[str, str]:
        """Return what the information provider has written of the jobs' states."""
        if not names:
            return {}
        now = time.monotonic()
        known = {name: state for name in names if (state := self._known(name, now))}
        missing = [name for name in names if name not in known]
        for name, answer in (self._api.ask("status", missing) if missing else {}).items():
            known[name] = answer.state
            self._remember(self._batch, name, (answer.state, now))
        return known

    def _known(self, name: str, now: float) -> str:
        state, read = self._batch.get(name, ("", 0.0))
        return state if now - read < _BATCH_SECONDS else ""

    def _settled(self, name: str, live: str, written: str) -> str:
        if live == _IN_BATCH_SYSTEM:
            # Nothing written yet means that it has not been there for long.
            return written if written in _SEEN_IN_BATCH_SYSTEM else "QUEUING"
        if live == "FAILED" and name in self._failures:
            return self._failures[name][0]
        return "KILLED" if (live, written) == ("FAILED", "KILLED") else live

    def told_to_end(self, names: Iterable[str]) -> None:
        """Note jobs that this process has told to end: how they ended is worth a question each."""
        for name in names:
            self._remember(self._told_to_end, name, True)

    def forget(self, names: Iterable[str]) -> None:
        """Take nothing for granted any more of jobs that are being erased or run again."""
        for name in names:
            self._remember(self._changing, name, True)
            with self._lock:
                self._failures.pop(name, None)
                self._batch.pop(name, None)
                self._told_to_end.pop(name, None)
                self._logged.pop(name, None)

    def wait_for_another_run(self, names: Iterable[str]) -> list[str]:
        """Wait until jobs that are to run again have left their old end, and return those that have not in time."""
        left = list(names)
        until = time.monotonic() + _RESTART_SECONDS
        delay = 5 * _MOMENT
        while left and time.monotonic() < until:
            pause(delay)
            delay = min(2 * delay, _SLOWEST_LOOK)
            live = self._live(left)
            left = [name for name in left if live.get(name) in ENDS]
        return left

    def _merged(self, state: str, written: JobInfo) -> JobInfo:
        return replace(written, state=general_state(state), native_state=state)

    def _completed(self, name: str, info: JobInfo) -> JobInfo:
        """Add what the information provider has not yet written of a job that has just ended."""
        known = self._logged.get(name)
        if known is not None and known.native_state == info.native_state:
            return known
        _, errors = self._failures.get(name) or ("", ())
        log = self._log_of_end(name, patient=info.native_state == "FINISHED")
        completed = replace(
            info,
            errors=errors if info.native_state != "FINISHED" else (),
            exit_code=number(log.get("exitcode", "")),
            nodes=info.nodes or tuple(filter(None, [printable(log.get("nodename", ""))])),
            started=parse_time(log.get("LRMSStartTime", "")) or info.started,
            ended=parse_time(log.get("LRMSEndTime", "")) or info.ended,
            wall_time=_duration(log.get("WallTime", "")),
            position=None,
        )
        if completed.exit_code is not None or info.native_state != "FINISHED":
            self._remember(self._logged, name, completed)
        return completed

    def _log_of_end(self, name: str, *, patient: bool) -> dict[str, str]:
        """Read what was logged of a job's end. Right after it, the file may be on its way to another folder.

        :param patient: whether the log surely has an exit code
        """
        log: dict[str, str] = {}
        for attempt in range(_ATTEMPTS if patient else 1):
            pause(_MOMENT * attempt)
            log = _assignments(self._api.diagnose(name, "diag") or "")
            if "exitcode" in log:
                break
        return log

    def _remember(self, known: dict[str, _Known], name: str, value: _Known) -> None:
        with self._lock:
            known.pop(name, None)
            known[name] = value
            while len(known) > _MOST_KNOWN:
                del known[next(iter(known))]


def _with_code(info: JobInfo) -> JobInfo:
    return replace(info, exit_code=_reported_code(info)) if info.exit_code is None else info


def _reported_code(info: JobInfo) -> int | None:
    """Read the exit code from the error that it led to: a job that was restarted has no other record of it."""
    codes = (re.match(r"LRMS error: \((\d{1,3})\)", error) for error in info.errors)
    return next((int(code[1]) for code in codes if code and 0 < int(code[1]) < 256), None)


def _assignments(log: str) -> dict[str, str]:
    """Read lines such as ``exitcode=0``; the last one of each name counts."""
    return {name: value.strip() for name, equals, value in (line.partition("=") for line in log.splitlines()) if equals}


def _duration(written: str) -> timedelta | None:
    match = re.fullmatch(r"(\d{1,10})(\.\d+)?s", written)
    return timedelta(seconds=int(match[1])) if match else None
