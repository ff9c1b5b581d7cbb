"""What is known of watched jobs, by and by, and the board that shows it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial

from jasmin_arc._support.parallel import start_thread
from jasmin_arc._support.screens import Redrawn
from jasmin_arc._support.text import one_line
from jasmin_arc._support.tracebacks import interrupted
from jasmin_arc._support.values import status_words
from jasmin_arc.constants import JobState
from jasmin_arc.display.board import UNASKED, UNKNOWN, Board
from jasmin_arc.exceptions import PYTHON_WORDS, JasminArcError, JobNotFoundError, WaitTimeoutError
from jasmin_arc.interface.waiting import Waiting, stopped

Told = Callable[[Mapping[str, JobState]], object]
"""Is told the states that an answer has"""


class LiveBoard:
    """What is known of watched jobs, by and by."""

    def __init__(self, arc: Waiting, job_ids: Sequence[str], told: Told, reasons: Mapping[str, str]) -> None:
        self._arc = arc
        self._told = told
        self._reasons = reasons
        listed = arc._listed(job_ids)
        self._names = {job_id: job.name for job_id, job in listed.items()}
        ends = {job_id: job.final_state for job_id, job in listed.items() if job.final_state}
        self._statuses = {**dict.fromkeys(job_ids, UNASKED), **{job: _word(end) for job, end in ends.items()}}
        self._began = time.monotonic()
        self._changes = 0
        self._lost: list[JobNotFoundError] = []
        self.note = ""

    def show(self, *, background: bool, timeout: float | None) -> None:
        """Show the board until all jobs have ended; with ``background``, return at once."""
        self.note = "" if background else "the jobs go on if this is stopped"
        with contextlib.ExitStack() as stack:
            stack.enter_context(Redrawn(self._view, lambda: self._changes, alone=not background))
            if not background:
                self._run(timeout)
                return
            # What is shown first belongs to the cell of the caller. The thread does the rest.
            rest = stack.pop_all()
        try:
            start_thread(partial(self._run_apart, timeout, rest), "jasmin_arc watch")
        except JasminArcError:
            rest.close()
            raise

    def _view(self) -> Board:
        return Board(self._statuses.copy(), self._names, self._reasons, time.monotonic() - self._began, self.note)

    def _run(self, timeout: float | None) -> None:
        left = len(self._statuses)
        try:
            for job_id, future in self._arc._completions(list(self._statuses), timeout, self._see):
                self._end(job_id, future)
                left -= 1
        except KeyboardInterrupt:
            self.note = "stopped"
            raise interrupted(stopped(left)) from None
        except WaitTimeoutError as error:
            self.note = stopped(len(error.unfinished))
            raise
        except JasminArcError as error:
            self.note = one_line(error.message)
            raise
        self.note = f"{PYTHON_WORDS['explain']} says why a job failed" if "failed" in self._statuses.values() else ""
        if self._lost:
            raise self._lost[0]

    def _run_apart(self, timeout: float | None, shown: contextlib.ExitStack) -> None:
        # The board tells what went wrong. Nobody else asked.
        with contextlib.suppress(Exception), shown:
            self._run(timeout)

    def _end(self, job_id: str, future: Future[JobState]) -> None:
        try:
            self._see({job_id: future.result()})
        except JobNotFoundError as error:
            self._lost.append(error)
            self._statuses[job_id] = UNKNOWN
            self._changes += 1

    def _see(self, states: Mapping[str, JobState]) -> None:
        self._told(states)
        words = {job_id: _word(state) for job_id, state in states.items()}
        if any(self._statuses[job_id] != word for job_id, word in words.items()):
            self._statuses.update(words)
            self._changes += 1


def _word(state: JobState) -> str:
    return status_words(state.status.value, state)
