"""The exit codes, and which error gives which."""

from __future__ import annotations

from collections.abc import Collection

from jasmin_arc.exceptions import (
    AmbiguousJobError,
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
_CODES = {
    AmbiguousJobError: USAGE,
    InvalidConfigError: USAGE,
    InvalidJobDescription: USAGE,
    JobNotFoundError: NOT_FOUND,
    JobFailedError: JOB_FAILED,
}


def code_of(error: JasminArcError) -> int:
    """Return the exit code for this error."""
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), FAILED)


def exit_code(codes: Collection[int]) -> int:
    """Return the exit code of a command with these failures: theirs, if they are all of one kind."""
    if INTERRUPTED in codes:
        return INTERRUPTED
    return max(codes, default=0) if len(set(codes)) <= 1 else FAILED
