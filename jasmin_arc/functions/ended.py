"""What a job of calls has left when it has ended: results, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jasmin_arc.constants import JobState
from jasmin_arc.exceptions import JasminArcError, JobFailedError, JobNotFoundError
from jasmin_arc.explain import Explanation, job_failed
from jasmin_arc.functions.results import RESULTS_NAME, Report, read_report
from jasmin_arc.functions.task import FunctionJob, Task

if TYPE_CHECKING:
    from jasmin_arc.arc_interface import ArcInterface

_LOST = frozenset({"node-failure", "preempted", "batch-system", "signal"})
"""Causes that may not come again when a job is run again"""
_SHARED = frozenset({"memory", "wall-time"})
"""Causes that the other calls of a job may have a share in"""
_OTHER_PYTHON = "name another Python of the node with python=, or load a module with runtime_environments="


@dataclass(frozen=True)
class Sent:
    """A job that was submitted."""

    job: FunctionJob
    tasks: list[Task | None]
    """By the number of the call; ``None`` for one that has its result, or that nobody has asked for in this process"""
    keys: Sequence[str] = ()
    """What the calls are, of a job that was found"""

    @property
    def kind(self) -> str:
        """What its calls are, as those of a job are alike."""
        return next((task.kind for task in self.tasks if task is not None), "")

    @property
    def wanted(self) -> list[Task]:
        """The calls that somebody has asked for."""
        return [task for task in self.tasks if task is not None]


@dataclass(frozen=True)
class Seen:
    """What there is of a job that has ended."""

    sent: Sent
    state: JobState | None
    report: Report = field(default_factory=Report)
    error: Exception | None = None
    """Why its results are not known"""
    explanation: Explanation | None = None

    def has_lost(self, number: int) -> bool:
        """Say whether a call without a result ended with the job; one that it had not begun can be made by another."""
        # A CE calls a job failed that was cancelled in the batch system.
        cause = self.explanation.cause if self.explanation is not None else ""
        if self.error is not None or self.state is JobState.KILLED or cause == "cancelled":
            return True
        began, refused = self.report.began, self.report.refused
        return number in began or self.report.reason(number) is not None or not (began or refused)


def look(interface: ArcInterface, sent: Sent, future: Future[JobState]) -> Seen:
    """Fetch what a job has written down, and learn why it died where it did."""
    try:
        state = future.result()
        report = _fetch(interface, sent.job.id)
    except Exception as error:  # noqa: BLE001 - of one job, which the others need not suffer from
        return Seen(sent, None, error=error)
    # A job that succeeds may leave calls that it has not begun to other jobs.
    is_whole = report.is_whole and state is JobState.FINISHED
    asked = report.began if is_whole else range(len(sent.tasks))
    if all(number in report.outcomes or report.reason(number) is not None for number in asked):
        return Seen(sent, state, report)
    try:
        return Seen(sent, state, report, explanation=interface.explain(sent.job.id))
    except JasminArcError as error:
        text = f"the job did not succeed; why cannot be told now: {error.message}"
        unknown = Explanation(sent.job.id, "unknown-state", text, error.advice, name=sent.job.name)
        return Seen(sent, state, report, explanation=unknown)


def _fetch(interface: ArcInterface, job_id: str) -> Report:
    try:
        for _, stream in interface.backend.fetch(job_id, [RESULTS_NAME]):
            with stream:
                return read_report(stream.read())
    except JobNotFoundError:
        # It died before it made a call.
        pass
    return Report()


def why(seen: Seen, number: int | None) -> BaseException:
    """Return why a call of a job has no outcome."""
    job = seen.sent.job
    reason = seen.report.reason(number) if number is not None else None
    if reason is not None:
        return JobFailedError(f"{job.name} ({job.id}): {reason}", [job.id], advice=_OTHER_PYTHON)
    if seen.state is JobState.FINISHED:
        problem = "the program ended before the call did, though with success: its function may end it, as os._exit(0)"
        return JobFailedError(f"{job.name} ({job.id}): {problem} does, or erase {RESULTS_NAME}", [job.id])
    if seen.explanation is not None:
        return job_failed(seen.explanation, [job.id])
    return seen.error or JasminArcError(f"the results of the job {job.id} are not known")


def may_try(task: Task, seen: Seen, retries: int) -> bool:
    """Say whether a call whose job died is made again."""
    cause = seen.explanation.cause if seen.explanation is not None else ""
    if cause in _SHARED and seen.sent.tasks[0] is not task:
        # The calls before it may have taken what it needed. Alone, it has the whole job.
        task.size = 1
        return True
    if task.is_again:
        task.is_again = False
        return True
    task.lost += 1
    return cause in _LOST and task.lost <= retries


def erase(interface: ArcInterface, job_ids: Sequence[str]) -> None:
    """Erase jobs whose results are here."""
    if not job_ids:
        return
    try:
        failures: Mapping[str, JasminArcError] = interface._ledger.erase(job_ids, force=True)
    except JasminArcError as error:
        failures = dict.fromkeys(job_ids, error)
    for job_id, failure in failures.items():
        # Their results are here, so that nothing is lost.
        interface.logger.info("the job %s could not be erased: %s", job_id, failure)
