"""All that is known of jobs: put together from Slurm's answer, its accounting, and what the jobs have written down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from jasmin_arc._support.text import excerpt, printable
from jasmin_arc.backends.slurm.cluster import Cluster, Place
from jasmin_arc.backends.slurm.states import GENERAL_STATES, Seen, States, forgotten, silence
from jasmin_arc.constants import JobState
from jasmin_arc.description.quantities import size_in
from jasmin_arc.job_info import JobInfo

_SLURM_ENDED = {
    "TIMEOUT": "it ran into its time limit",
    "OUT_OF_MEMORY": "it ran out of memory",
    "NODE_FAIL": "its node failed",
    "PREEMPTED": "it was preempted",
    "BOOT_FAIL": "its node could not be started",
    "DEADLINE": "its deadline passed",
    "REVOKED": "it was taken away",
}
_USER_CANCELLED = "User requested to cancel the job"
_CPU = re.compile(r"(?:(\d+)m)?([\d.]+)s")


class Infos:
    def __init__(self, cluster: Cluster, states: States) -> None:
        self._cluster = cluster
        self._states = states

    def infos(self, places: Mapping[str, Place]) -> dict[str, JobInfo]:
        """Return what is known of those of the jobs that exist."""
        look = self._states.look(places.values())
        seen = {job_id: look.seen(place) for job_id, place in places.items() if place in look}
        if look.silent and any(not (one.state and one.state.final) for one in seen.values()):
            raise silence(look)
        details = self._details({job_id: places[job_id] for job_id, one in seen.items() if one.code is not None})
        natives = self._states.native_ids([places[job_id] for job_id, one in seen.items() if one.row is None])
        unclear = [places[job_id] for job_id, one in seen.items() if one.state is None or _ended_hard(one)]
        accounts = self._states.accounts(unclear)
        return {
            job_id: self._info(
                job_id, one, details.get(job_id, {}), accounts.get(places[job_id], {}), natives.get(places[job_id], "")
            )
            for job_id, one in seen.items()
        }

    def _info(
        self, job_id: str, seen: Seen, end: Mapping[str, str], account: Mapping[str, str], native_id: str
    ) -> JobInfo:
        row = seen.row
        told = account.get("State", "").split(" ")[0]
        state = seen.state or (GENERAL_STATES.get(told, JobState.OTHER) if told else JobState.UNDEFINED)
        native_state = row.state if row else told
        if row and state is JobState.RUNNING and row.general is JobState.QUEUING:
            native_state = "RUNNING"
        if row is None and seen.is_doubtful and GENERAL_STATES.get(told, JobState.OTHER).final:
            state = GENERAL_STATES[told]
        elif seen.code is not None and (not row or not row.general.final):
            native_state = "COMPLETED" if not seen.code else "CANCELLED" if seen.is_cancelled else "FAILED"
        began, stopped = _time(end.get("began", "")), _time(end.get("ended", ""))
        started = (
            began or _time(row.started if row else account.get("Start", "")) if state != JobState.QUEUING else None
        )
        ended = (stopped or _time(row.ended if row else account.get("End", ""))) if state.final else None
        code = seen.code if seen.code is not None else _exit_code(_wait_status(seen, account), native_state)
        reason = row.reason if row and row.reason != "None" else ""
        return JobInfo(
            id=job_id,
            state=state,
            native_id=row.native_id if row else native_id,
            native_state=native_state,
            reason=printable(reason),
            exit_code=code if state.final else None,
            queue=printable(row.partition if row else ""),
            nodes=_nodes(end.get("node", "") or (row.nodes if row else account.get("NodeList", ""))),
            slots=int(row.processors) if row and row.processors.isdecimal() else None,
            submitted=_time(row.submitted) if row else None,
            started=started,
            ended=ended,
            wall_time=(ended or datetime.now(timezone.utc)) - started if started else None,
            cpu_time=_cpu_time(end.get("children", "")),
            memory=size_in(end.get("memory", "") or account.get("MaxRSS", "")),
            errors=self._errors(job_id, seen, end, account, state),
        )

    def _errors(
        self, job_id: str, seen: Seen, end: Mapping[str, str], account: Mapping[str, str], state: JobState
    ) -> tuple[str, ...]:
        row = seen.row
        word = row.state if row and row.general.final else account.get("State", "").split(" ")[0]
        by = re.search(r" by (\S+)", account.get("State", ""))
        if state is JobState.UNDEFINED:
            return (forgotten(job_id).message,)
        if not state.final or state is JobState.FINISHED:
            return ()
        if seen.is_cancelled and state is JobState.KILLED:
            return (_USER_CANCELLED,)
        if word in _SLURM_ENDED:
            return (f"Slurm ended the job: {_SLURM_ENDED[word]} ({word})",)
        if state is JobState.KILLED:
            return (f"Slurm: the job was cancelled{f' by {printable(by[1])}' if by else ''} (CANCELLED)",)
        if end.get("module"):
            return (f"the module {excerpt(repr(end['module']))} could not be loaded",)
        if seen.code is not None:
            return (f"exit code {seen.code}",)
        signal = (_wait_status(seen, account) or 0) & 127
        if signal and (seen.is_running or (row and row.started.isdecimal())):
            return (f"the job was killed from outside, with signal {signal} (FAILED)",)
        reason = (row.reason if row else account.get("Reason", "")).replace("None", "")
        return (f"the job could not be started ({printable(reason) or word})",)

    def _details(self, places: Mapping[str, Place]) -> dict[str, dict[str, str]]:
        """What jobs have written down of their ends, by their ids."""
        if not places:
            return {}
        by_folder = {place.folder: job_id for job_id, place in places.items()}
        details: dict[str, dict[str, str]] = {}
        current: dict[str, str] = {}
        for line in self._cluster.ask("details", ["details", *by_folder]).splitlines():
            name, _, value = line.partition(" ")
            if name == "end" and value in by_folder:
                current = details[by_folder[value]] = {}
            elif name in ("job", "node", "code", "term", "began", "ended", "memory", "module"):
                current[name] = value
            else:
                # The last line that the shell's times prints is of the children.
                current["children"] = line
        return details


def _ended_hard(seen: Seen) -> bool:
    """Whether a job could not say itself how it ended, so that the accounting may know more."""
    if seen.row is None:
        return seen.is_doubtful
    if seen.is_cancelled or not seen.row.general.final:
        return False
    return seen.row.general is JobState.KILLED or (seen.code is None and seen.row.general is not JobState.FINISHED)


def _wait_status(seen: Seen, account: Mapping[str, str]) -> int | None:
    """How the job ended, as ``wait`` gives it."""
    if seen.row is not None:
        return int(seen.row.exit_code) if seen.row.exit_code.isdecimal() else None
    told = re.fullmatch(r"(\d+):(\d+)", account.get("ExitCode", ""))
    return int(told[1]) << 8 | int(told[2]) if told else None


def _exit_code(status: int | None, native_state: str) -> int | None:
    """The exit code in a status as ``wait`` gives it; of a job killed by a signal it is 128 and its number."""
    if status is None or native_state not in ("COMPLETED", "FAILED"):
        return None
    return 128 + (status & 127) if status & 127 else status >> 8


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(text), timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def _cpu_time(times: str) -> timedelta | None:
    """The sum of the two times that the shell's ``times`` prints."""
    try:
        seconds = [60 * int(minutes or 0) + float(rest) for minutes, rest in _CPU.findall(times)]
        return timedelta(seconds=sum(seconds)) if seconds else None
    except (ValueError, OverflowError):
        return None


def _nodes(text: str) -> tuple[str, ...]:
    return (printable(text),) if text and text not in ("None assigned", "(null)", "n/a") else ()
