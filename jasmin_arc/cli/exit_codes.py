"""The exit codes, and which error gives which."""

from __future__ import annotations

from collections.abc import Collection

from jasmin_arc.exceptions import (
    InvalidConfigError,
    InvalidJobDescription,
    JasminArcError,
    JobFailedError,
    JobNotFoundError,
)

FAILED = 1
USAGE = 2
NOT_FOUND = 3
JOB_FAILED = 4
INTERRUPTED = 130
READER_GONE = 141


def code_of(error: JasminArcError) -> int:
    """Return the exit code for this error."""
    if isinstance(error, (InvalidJobDescription, InvalidConfigError)):
        return USAGE
    if isinstance(error, JobNotFoundError):
        return NOT_FOUND
    return JOB_FAILED if isinstance(error, JobFailedError) else FAILED


def exit_code(codes: Collection[int]) -> int:
    """Return the exit code of a command with these failures: theirs, if they are all of one kind."""
    distinct = set(codes)
    if INTERRUPTED in distinct:
        return INTERRUPTED
    return distinct.pop() if len(distinct) == 1 else FAILED if distinct else 0
