"""The words in which jobs and logs are described: data only."""

from __future__ import annotations

from enum import Enum


class JobStatuses(Enum):
    """Possible values for job status."""

    COMPLETED = "completed"
    FAILED = "failed"
    IN_PROGRESS = "in progress"
    NOT_STARTED = "not started"
    NOT_SUBMITTED = "not submitted"


class LogLevels(Enum):
    """How much detail the log shows. The names, their meaning and their values are those of ARC."""

    DEBUG = 1
    VERBOSE = 2
    INFO = 4
    WARNING = 8
    ERROR = 16
    FATAL = 32


ARC_STATUS_MAPPING = {
    "Accepted": JobStatuses.NOT_SUBMITTED,
    "Preparing": JobStatuses.NOT_SUBMITTED,
    "Submitting": JobStatuses.NOT_SUBMITTED,
    "Queuing": JobStatuses.NOT_STARTED,
    "Running": JobStatuses.IN_PROGRESS,
    "Hold": JobStatuses.IN_PROGRESS,
    "Finishing": JobStatuses.IN_PROGRESS,
    "Finished": JobStatuses.COMPLETED,
    "Failed": JobStatuses.FAILED,
    "Killed": JobStatuses.FAILED,
    "Deleted": JobStatuses.FAILED,
    "Other": JobStatuses.FAILED,
    "Undefined": JobStatuses.FAILED,
}
"""Maps ARC's general job states to the statuses of our simplified model."""


class JobState(str, Enum):
    """ARC's general job states, which all backends use. Each is also a text: ``JobState.RUNNING == "Running"``."""

    ACCEPTED = "Accepted"
    PREPARING = "Preparing"
    SUBMITTING = "Submitting"
    QUEUING = "Queuing"
    RUNNING = "Running"
    HOLD = "Hold"
    FINISHING = "Finishing"
    FINISHED = "Finished"
    FAILED = "Failed"
    KILLED = "Killed"
    DELETED = "Deleted"
    OTHER = "Other"
    UNDEFINED = "Undefined"

    @property
    def final(self) -> bool:
        """Whether a job never leaves this state."""
        return self in (JobState.FINISHED, JobState.FAILED, JobState.KILLED, JobState.DELETED)

    @property
    def status(self) -> JobStatuses:
        """The status, by ``ARC_STATUS_MAPPING``.

        A state that ARC itself cannot name (``Other``, ``Undefined``) is no end, so it is never taken for a failure.
        """
        status = ARC_STATUS_MAPPING[self.value]
        return JobStatuses.IN_PROGRESS if status is JobStatuses.FAILED and not self.final else status

    def __str__(self) -> str:
        return self.value

    def __format__(self, spec: str) -> str:
        return self.value.__format__(spec)


ARC_REST_STATES = {
    "ACCEPTING": JobState.ACCEPTED,
    "ACCEPTED": JobState.ACCEPTED,
    "PREPARING": JobState.PREPARING,
    "PREPARED": JobState.PREPARING,
    "SUBMITTING": JobState.SUBMITTING,
    "QUEUING": JobState.QUEUING,
    "HELD": JobState.HOLD,
    "RUNNING": JobState.RUNNING,
    "EXITINGLRMS": JobState.RUNNING,
    "OTHER": JobState.RUNNING,
    "EXECUTED": JobState.RUNNING,
    "KILLING": JobState.RUNNING,
    "FINISHING": JobState.FINISHING,
    "FINISHED": JobState.FINISHED,
    "FAILED": JobState.FAILED,
    "KILLED": JobState.KILLED,
    "WIPED": JobState.DELETED,
}
"""Maps the native states of ARC's REST interface to ARC's general states, as ARC's own client does."""

STDOUT_NAME = "stdout"
"""The session file that receives a job's standard output; saved as ``stdout.txt``."""

STDERR_NAME = "stderr"
"""The session file that receives a job's standard error; saved as ``stderr.txt``."""

RUN_SCRIPT_NAME = ".jasmin_arc_run"
"""The session file with the script that the compute element executes; the last input to be uploaded."""

START_MARK_NAME = ".jasmin_arc_started"
"""The empty session file that a run script makes first of all, where the place tells only late that a job runs"""
