"""What the place says of jobs and what the job list remembers of them, put together."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, TypeVar, Union

from jasmin_arc.constants import JobState
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import Advice, JasminArcError, JobListError, JobNotFoundError, OperationNotPossibleError
from jasmin_arc.job_info import JobInfo
from jasmin_arc.job_list import JobList, JobSummary

if TYPE_CHECKING:
    from jasmin_arc.backends.base import Backend

Answer = Union[JobState, JasminArcError]
"""What the place says of one job: its state, or why it cannot be told now"""

_Found = TypeVar("_Found", bound=Union[Answer, JobInfo])

PATIENCE = 2.0
"""Seconds to wait for a job list that another process is writing"""
RETRY_AFTER = 10.0
"""Seconds after a failure before anything is written again"""

_BATCH_SIZE = 100
"""How many ends are written before they are told"""
_DELAY = 0.05
"""Seconds before the ends of more jobs are written, so that the answer is not slowed down"""


class Ledger:
    """Answers for the states of jobs, and keeps the job list up to date with them. Threads may share it.

    What has happened is never reported as failed because it cannot be written down: that is logged, and tried again
    with the next note. An end that could not be written down is written when somebody asks for the job again.
    """

    def __init__(self, place: Backend, job_list: JobList, log: logging.Logger) -> None:
        self._place = place
        self._job_list = job_list
        self._quick_list = job_list.with_timeout(PATIENCE)
        self._log = log
        self._lock = threading.RLock()
        self._notes: deque[Callable[[], None]] = deque()
        """What is yet to be written into the job list"""
        self._retry_at = 0.0
        self._restarts = 0
        self._restarted: set[str] = set()
        self._writers: list[threading.Thread] = []

    def states(self, job_ids: Sequence[str]) -> dict[str, Answer]:
        """Return for each known job its state, or why it cannot be told now. An end that was seen once stays.

        :raises ServerError: if the place does not answer for any of them
        :raises JobListError: if the list cannot be read, and the place does not know one of the jobs
        """
        return self._reconciled(job_ids, self._place.states)[1]

    def watched_states(self, job_ids: Sequence[str]) -> dict[str, Answer]:
        """As :meth:`states`, for somebody who asks again and again."""
        return self._reconciled(job_ids, self._place.watched_states)[1]

    def infos(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Return what is known of the jobs, with the errors of :meth:`states`. Of a job that the place has forgotten,
        the job list tells the end."""
        infos, states = self._reconciled(job_ids, self._place.query)
        for job_id, state in states.items():
            if isinstance(state, JobState) and (job_id not in infos or infos[job_id].state is not state):
                infos[job_id] = JobInfo(id=job_id, state=state)
        # A server tells the name and the time of a job only after a while, and A-REX spoils names that are not ASCII.
        unsure = [i for i, info in infos.items() if not (info.name and info.name.isascii()) or info.submitted is None]
        for job_id, record in self.summaries(unsure).items():
            info = infos[job_id]
            infos[job_id] = replace(info, name=record.name or info.name, submitted=info.submitted or record.submitted)
        return infos

    def select(
        self,
        *,
        states: Collection[JobState] | None,
        name: str | None,
        since: datetime | timedelta | None,
        last: int | None,
    ) -> list[str]:
        """Return the ids of jobs at the place and in the job list, oldest first; see ``ArcInterface.list_jobs``."""
        only_killed = states is not None and JobState.KILLED in states and JobState.FAILED not in states
        # Those that were killed may be in the list as failed.
        more = [JobState.FAILED] if only_killed else []
        listed = self._job_list.select(
            self._place.endpoint,
            name=name,
            since=datetime.now(timezone.utc) - since if isinstance(since, timedelta) else since,
            ends=None if states is None else [None, *(state for state in states if state.final), *more],
            last=last if states is None else None,
        )
        answers: dict[str, Answer | None] = {job.id: job.final_state for job in listed}
        if name is None and since is None and last is None:
            # Of jobs that only the server knows, neither name nor time is known.
            unlisted = self._place.list_jobs()
            ended = self._job_list.summaries(unlisted) if states is not None and unlisted else {}
            others = [i for i in unlisted if i not in answers and not (i in ended and ended[i].final_state)]
            # First, so that the last ones are the newest: whoever looks at these looks for what was just submitted.
            answers = {**dict.fromkeys(others), **answers}
        if states is None:
            return list(answers)
        # The server is asked only of jobs whose end was not seen.
        unseen = [job_id for job_id, answer in answers.items() if answer is None]
        answers.update(self.states(unseen) if unseen else {})
        for answer in answers.values():
            if isinstance(answer, JasminArcError):
                raise answer
        if only_killed:
            failed = [job_id for job_id, answer in answers.items() if answer is JobState.FAILED]
            answers.update(dict.fromkeys(self._killed(failed), JobState.KILLED))
        ids = [job_id for job_id, answer in answers.items() if answer in states]
        return ids if last is None else ids[-last:]

    def descriptions(self, job_ids: Sequence[str]) -> tuple[dict[str, JobDescription], dict[str, JasminArcError]]:
        """Return what the jobs were submitted with, ready to be submitted again, and why that is not possible."""
        records = self._job_list.get(job_ids)
        found: dict[str, JobDescription] = {}
        failures: dict[str, JasminArcError] = {}
        for job_id in job_ids:
            try:
                text = records[job_id].description if job_id in records else ""
                description = JobDescription.from_json(text) if text else self._place.description(job_id)
                self._job_list.verify_inputs(description)
                found[job_id] = description
            except JasminArcError as error:
                failures[job_id] = error
        return found, failures

    def erase(self, job_ids: Sequence[str], *, force: bool) -> dict[str, JasminArcError]:
        """Erase jobs at the place and in the job list, and return the failures; see ``ArcInterface.clean_jobs``."""
        failures = self._refused_to_erase(job_ids, force=force)
        failures.update(self._place.clean([job_id for job_id in job_ids if job_id not in failures]))
        lost = [job_id for job_id, error in failures.items() if isinstance(error, JobNotFoundError)]
        for job_id in self._listed_here(lost) if force else ():
            del failures[job_id]
        gone = [job_id for job_id in job_ids if job_id not in failures]
        self._note(gone, lambda: self._quick_list.remove(gone))
        return failures

    def _listed_here(self, job_ids: Sequence[str]) -> list[str]:
        """Return the jobs of this place that the job list has. A job of another place may run there."""
        try:
            records = self._quick_list.get(job_ids)
        except JobListError as error:
            self._log.warning("%s", error)
            return []
        place = self._place
        return [job for job, record in records.items() if record.endpoint == place.endpoint or place.owns(job)]

    def _refused_to_erase(self, job_ids: Sequence[str], *, force: bool) -> dict[str, JasminArcError]:
        """Return the jobs that must not be erased, and why: they have not ended, or their outputs were never saved."""
        # Jobs that only the list still knows have nothing left to be saved.
        there, states = self._reconciled(job_ids, self._place.states)
        refused: dict[str, JasminArcError] = {}
        for job_id in there:
            state = states[job_id]
            if isinstance(state, JasminArcError):
                refused[job_id] = state
            elif not state.final:
                refused[job_id] = OperationNotPossibleError(
                    f"{job_id} has not ended", advice="cancel it first, and wait"
                )
        left = [job_id for job_id in there if job_id not in refused and there[job_id] is not JobState.DELETED]
        advice = Advice("save them first, or erase them with {force}")
        for job_id in () if force else self._unsaved({job_id: states[job_id] for job_id in left}):
            refused[job_id] = OperationNotPossibleError(f"the outputs of {job_id} were never saved", advice=advice)
        return refused

    def _unsaved(self, ends: Mapping[str, Answer]) -> list[str]:
        """Return the jobs that ended, were not killed, and whose outputs were never saved."""
        records = self._job_list.get(ends)
        unsaved = [
            job_id
            for job_id, end in ends.items()
            if end in (JobState.FINISHED, JobState.FAILED) and not (job_id in records and records[job_id].outputs_saved)
        ]
        # Nobody wants the outputs of jobs that were killed.
        killed = self._killed([job_id for job_id in unsaved if ends[job_id] is JobState.FAILED])
        return [job_id for job_id in unsaved if job_id not in killed]

    def _killed(self, failed: Sequence[str]) -> set[str]:
        """Return those of the jobs that were killed. Of many jobs at once, a place may tell just that they failed."""
        infos = self.infos(failed) if failed else {}
        return {job_id for job_id, info in infos.items() if info.state is JobState.KILLED}

    def _reconciled(
        self, job_ids: Sequence[str], ask: Callable[[Sequence[str]], dict[str, _Found]]
    ) -> tuple[dict[str, _Found], dict[str, Answer]]:
        """Ask the place, and return its answers, and the states with what is remembered of ends."""
        while True:
            restarts = self._restarts
            answers = ask(job_ids)
            states = self._reconcile(job_ids, {i: _state_in(answer) for i, answer in answers.items()}, restarts)
            if states is not None:
                return answers, states

    def _reconcile(self, job_ids: Sequence[str], found: dict[str, Answer], restarts: int) -> dict[str, Answer] | None:
        """Keep the ends that were seen once, also when the place has forgotten the job since, and note new ones.

        :param found: the states that the place tells
        :param restarts: the number of restarts before the place was asked
        :returns: the states; ``None`` where jobs were restarted meanwhile, so that the place must be asked again
        """
        if self._notes:
            self._write()
        # Of a job whose state cannot be told now, an end may be known.
        doubtful = [i for i in job_ids if not isinstance(state := found.get(i), JobState) or state.final]
        if not doubtful:
            return found
        with self._lock:
            if restarts != self._restarts:
                return None
            known = self._ends(doubtful, found)
        for job_id, end in known.items():
            # The place may tell only later that a job that ended without success was killed.
            if end and (end, found.get(job_id)) != (JobState.FAILED, JobState.KILLED):
                found[job_id] = end
        fresh = {
            job_id: state
            for job_id, end in known.items()
            if isinstance(state := found.get(job_id), JobState) and state.final and state != end
        }
        if fresh:
            self._ended(fresh, restarts)
        return found

    def _ended(self, ends: Mapping[str, JobState], restarts: int) -> None:
        def write() -> None:
            # The jobs may have been restarted since they were asked about.
            if restarts == self._restarts:
                self._quick_list.set_final(ends)

        def write_later() -> None:
            time.sleep(_DELAY)
            self._write(write, kept=False)

        if len(ends) > _BATCH_SIZE:
            # Whoever asks for many jobs does not wait for the disk. The interpreter does not end before this thread.
            writer = threading.Thread(target=write_later, name="jasmin_arc ledger")
            with suppress(RuntimeError):
                writer.start()
                self._writers = [thread for thread in self._writers if thread.is_alive()] + [writer]
                return
        self._write(write, kept=False)

    def _ends(self, job_ids: Sequence[str], states: Mapping[str, Answer]) -> dict[str, JobState | None]:
        """Return the ends of those jobs that are in the list, ``None`` where none was seen."""
        try:
            known = self._quick_list.summaries(job_ids)
        except JobListError as error:
            # Nobody else may know of a job that the place does not know.
            if any(states.get(job_id, JobState.DELETED) is JobState.DELETED for job_id in job_ids):
                raise
            self._warn(error)
            return {}
        return {job_id: None if job_id in self._restarted else job.final_state for job_id, job in known.items()}

    def summaries(self, job_ids: Sequence[str]) -> dict[str, JobSummary]:
        """Return the little that the job list knows of these jobs: nothing, if it cannot be read now."""
        try:
            return self._quick_list.summaries(job_ids) if job_ids else {}
        except JobListError as error:
            self._log.debug("%s", error)
            return {}

    def saved(self, job_ids: Sequence[str]) -> None:
        """Note that the outputs of the jobs have been saved."""
        self._note(job_ids, lambda: self._quick_list.mark_saved(job_ids))

    def resubmitted(self, jobs: Mapping[str, str]) -> None:
        """Note, by the ids of new jobs, which ones they repeat."""
        self._note(jobs, lambda: self._quick_list.link(jobs))

    def restart(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        """Let the place restart jobs, and return the failures."""
        failures: dict[str, JasminArcError] = {}
        try:
            failures = self._place.restart(job_ids)
        finally:
            # After an error too: the place may have done it, and then what was seen of these jobs is not their end.
            self._restarted_jobs([job_id for job_id in job_ids if job_id not in failures])
        return failures

    def _restarted_jobs(self, job_ids: Sequence[str]) -> None:
        """Note that jobs that had ended run again: their ends are yet to come."""

        def write() -> None:
            self._quick_list.reopen(job_ids)
            self._restarted.difference_update(job_ids)

        with self._lock:
            self._restarts += 1
            self._restarted.update(job_ids)
            self._note(job_ids, write)

    def close(self) -> None:
        """Write all that is not written yet, as far as that can be done now."""
        for writer in self._writers:
            writer.join()
        with self._lock:
            self._retry_at = 0.0
            self._write()

    def _note(self, what: Sequence[str] | Mapping[str, str], write: Callable[[], None]) -> None:
        if what:
            self._write(write)

    def _write(self, note: Callable[[], None] | None = None, *, kept: bool = True) -> None:
        """Write all notes, and this one.

        :param kept: whether it is written later if that fails now. The end of a job is seen again at the next question
        """
        with self._lock:
            if note is not None:
                self._notes.append(note)
            try:
                while self._notes and time.monotonic() >= self._retry_at:
                    self._notes[0]()
                    self._notes.popleft()
            except JobListError as error:
                self._warn(error)
            if not kept and self._notes:
                self._notes.pop()

    def _warn(self, error: JobListError) -> None:
        """Say once in a while what is wrong with the job list, and leave it alone until then."""
        if time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + RETRY_AFTER
            problem = "what has happened to jobs cannot be written down now; this is tried again later: %s"
            self._log.warning(problem, error)


def _state_in(answer: Answer | JobInfo) -> Answer:
    return answer.state if isinstance(answer, JobInfo) else answer
