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

FINAL_STATES = frozenset({"Finished", "Failed", "Killed", "Deleted"})
"""The general states that a job never leaves."""

ARC_REST_STATES = {
    "ACCEPTING": "Accepted",
    "ACCEPTED": "Accepted",
    "PREPARING": "Preparing",
    "PREPARED": "Preparing",
    "SUBMITTING": "Submitting",
    "QUEUING": "Queuing",
    "HELD": "Hold",
    "RUNNING": "Running",
    "EXITINGLRMS": "Running",
    "OTHER": "Running",
    "EXECUTED": "Running",
    "KILLING": "Running",
    "FINISHING": "Finishing",
    "FINISHED": "Finished",
    "FAILED": "Failed",
    "KILLED": "Killed",
    "WIPED": "Deleted",
}
"""Maps the native states of ARC's REST interface to ARC's general states, as ARC's own client does."""

STDOUT_NAME = "stdout"
"""The session file that receives a job's standard output; saved as ``stdout.txt``."""

STDERR_NAME = "stderr"
"""The session file that receives a job's standard error; saved as ``stderr.txt``."""

RUN_SCRIPT_NAME = ".jasmin_arc_run"
"""The session file with the script that the compute element executes; the last input to be uploaded."""
