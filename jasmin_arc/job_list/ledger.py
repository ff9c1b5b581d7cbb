"""What the place says of jobs and what the job list remembers of them, put together."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jasmin_arc.constants import JobState
from jasmin_arc.exceptions import JasminArcError, JobListError
from jasmin_arc.job_list import JobList, JobSummary

PATIENCE = 2.0
"""Seconds to wait for a job list that another process is writing"""
RETRY_AFTER = 10.0
"""Seconds after a failure before anything is written again"""

_AT_ONCE = 100
"""How many ends are written before they are told"""
_DELAY = 0.05
"""Seconds before the ends of more jobs are written, so that the answer is not slowed down"""


@dataclass(frozen=True)
class _Note:
    """Something that has happened, to be written into the job list."""

    write: Callable[[], None]
    kept: bool
    """Whether it is written later if that fails now. An end need not be kept: the next question sees it again"""


class Ledger:
    """Keeps the job list up to date with what has happened to jobs. Threads may share it.

    What has happened is never reported as failed because it cannot be written down: that is logged, and tried again
    with the next note. An end that could not be written down is written when somebody asks for the job again.

    :param log: receives a warning when the job list cannot be written
    """

    def __init__(self, job_list: JobList, log: logging.Logger) -> None:
        self._job_list = job_list.with_timeout(PATIENCE)
        self._log = log
        self._lock = threading.RLock()
        self._notes: deque[_Note] = deque()
        self._retry_at = 0.0
        self._restarts = 0
        self._restarted: set[str] = set()
        self._writers: list[threading.Thread] = []

    @property
    def restarts(self) -> int:
        """Number of restarts so far. An answer from before the latest one may be out of date."""
        return self._restarts

    def reconcile(
        self, job_ids: Sequence[str], states: Mapping[str, JobState | JasminArcError], *, restarts: int
    ) -> dict[str, JobState | JasminArcError] | None:
        """Keep the ends that were seen once, also when the place has forgotten the job since, and note new ones.

        :param states: the general states, as the place tells them; a job that it does not know is absent
        :param restarts: :attr:`restarts` from before the place was asked
        :returns: the states; ``None`` where jobs were restarted meanwhile, so that the place must be asked again
        :raises JobListError: if the list cannot be read, and the place does not know one of the jobs
        """
        if self._notes:
            self._write(None)
        found = dict(states)
        doubtful = [job_id for job_id in job_ids if _may_have_ended(found.get(job_id))]
        if not doubtful:
            return found
        with self._lock:
            if restarts != self._restarts:
                return None
            known = self._ends(doubtful, found)
        found.update((job_id, end) for job_id, end in known.items() if end and not _refines(found, job_id, end))
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
                self._job_list.set_final(ends)

        note = _Note(write, kept=False)
        if len(ends) <= _AT_ONCE:
            self._write(note)
            return

        def write_later() -> None:
            time.sleep(_DELAY)
            self._write(note)

        # Whoever asks for many jobs does not wait for the disk. The interpreter does not end before this thread.
        writer = threading.Thread(target=write_later, name="jasmin_arc ledger")
        try:
            writer.start()
        except RuntimeError:
            self._write(note)
        else:
            self._writers = [thread for thread in self._writers if thread.is_alive()] + [writer]

    def _ends(
        self, job_ids: Sequence[str], states: Mapping[str, JobState | JasminArcError]
    ) -> dict[str, JobState | None]:
        """Return the ends of those jobs that are in the list, ``None`` where none was seen."""
        if not job_ids:
            return {}
        try:
            known = self._job_list.summaries(job_ids)
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
            return self._job_list.summaries(job_ids) if job_ids else {}
        except JobListError as error:
            self._log.debug("%s", error)
            return {}

    def saved(self, job_ids: Sequence[str]) -> None:
        """Note that the outputs of the jobs have been saved."""
        self._note(job_ids, lambda: self._job_list.mark_saved(job_ids))

    def resubmitted(self, jobs: Mapping[str, str]) -> None:
        """Note, by the ids of new jobs, which ones they repeat."""
        self._note(jobs, lambda: self._job_list.link(jobs))

    def erased(self, job_ids: Sequence[str]) -> None:
        """Note that the jobs are gone."""
        self._note(job_ids, lambda: self._job_list.remove(job_ids))

    def restarted(self, job_ids: Sequence[str]) -> None:
        """Note that jobs that had ended run again: their ends are yet to come."""

        def write() -> None:
            self._job_list.reopen(job_ids)
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
            self._write(None)

    def _note(self, what: Sequence[str] | Mapping[str, str], write: Callable[[], None]) -> None:
        if what:
            self._write(_Note(write, kept=True))

    def _write(self, note: _Note | None) -> None:
        with self._lock:
            if note is not None:
                self._notes.append(note)
            if time.monotonic() >= self._retry_at:
                self._write_all()
            self._notes = deque(note for note in self._notes if note.kept)

    def _write_all(self) -> None:
        while self._notes:
            try:
                self._notes[0].write()
            except JobListError as error:
                self._warn(error)
                return
            self._notes.popleft()

    def _warn(self, error: JobListError) -> None:
        """Say once in a while what is wrong with the job list, and leave it alone until then."""
        if time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + RETRY_AFTER
            self._log.warning(
                "what has happened to jobs cannot be written down now; this is tried again later: %s", error
            )


def _may_have_ended(answer: JobState | JasminArcError | None) -> bool:
    """Say whether an answer is an end, or none at all: of a job whose state cannot be told now, an end may be known."""
    return not isinstance(answer, JobState) or answer.final


def _refines(states: Mapping[str, JobState | JasminArcError], job_id: str, end: JobState) -> bool:
    """Say whether the place now tells that a job that ended without success was killed."""
    return (end, states.get(job_id)) == (JobState.FAILED, JobState.KILLED)
