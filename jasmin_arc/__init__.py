"""Run batch jobs from Python, on Slurm, such as LOTUS on JASMIN, or on an ARC compute element."""

from __future__ import annotations

from jasmin_arc.arc_interface import ArcInterface
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.constants import ARC_STATUS_MAPPING, JobStatuses, LogLevels
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import (
    AmbiguousJobError,
    BindingsNotFoundError,
    CredentialsError,
    InputFileError,
    InvalidConfigError,
    InvalidJobDescription,
    JasminArcError,
    JobFailedError,
    JobListError,
    JobNotFoundError,
    JobSubmissionError,
    NoTargetsAvailableError,
    OperationNotPossibleError,
    OutputError,
    PartialFailureError,
    ProxyGenerationError,
    ServerError,
    ServerUnavailableError,
    SubmissionUnknownError,
    WaitTimeoutError,
)
from jasmin_arc.explain import Explanation
from jasmin_arc.job import Job
from jasmin_arc.job_info import JobInfo
from jasmin_arc.jobs import Jobs
from jasmin_arc.version import __version__

__all__ = [
    "ARC_STATUS_MAPPING",
    "AmbiguousJobError",
    "ArcInterface",
    "BindingsNotFoundError",
    "ConnectionConfig",
    "CredentialsError",
    "Explanation",
    "InputFileError",
    "InvalidConfigError",
    "InvalidJobDescription",
    "JasminArcError",
    "Job",
    "JobDescription",
    "JobFailedError",
    "JobInfo",
    "JobListError",
    "JobNotFoundError",
    "JobStatuses",
    "JobSubmissionError",
    "Jobs",
    "LogLevels",
    "NoTargetsAvailableError",
    "OperationNotPossibleError",
    "OutputError",
    "PartialFailureError",
    "ProxyGenerationError",
    "ServerError",
    "ServerUnavailableError",
    "SubmissionUnknownError",
    "WaitTimeoutError",
    "__version__",
]
