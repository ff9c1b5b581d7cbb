"""Every error that this library raises.

.. code-block:: text

    JasminArcError
    ├── InvalidConfigError (also a ValueError)
    ├── InvalidJobDescription (also a ValueError)
    ├── InputFileError
    ├── ProxyGenerationError
    ├── BindingsNotFoundError
    ├── NoTargetsAvailableError
    ├── ServerError
    │   └── ServerUnavailableError
    ├── JobNotFoundError (also a LookupError)
    ├── JobSubmissionError
    │   └── SubmissionUnknownError
    ├── JobListError
    ├── JobFailedError
    ├── WaitTimeoutError (also a TimeoutError)
    ├── OutputError
    ├── OperationNotPossibleError
    └── PartialFailureError

Errors of other libraries never reach the caller: each is translated where it arises and kept as the cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class JasminArcError(Exception):
    """The root of all errors of this library."""


class InvalidConfigError(JasminArcError, ValueError):
    """The configuration is not valid; the message names the file, the option and the value."""


class InvalidJobDescription(JasminArcError, ValueError):
    """The job description is not valid; the message names the field and what is possible."""


class InputFileError(JasminArcError):
    """An input file does not exist, is not a file, cannot be read, or its name is taken; or kept contents are gone."""


class ProxyGenerationError(JasminArcError):
    """A proxy certificate could not be made from the key and the certificate, or one with VOMS attributes has ended."""


class BindingsNotFoundError(JasminArcError):
    """The NorduGrid ARC bindings cannot be loaded by this Python; the message says what to install."""


class NoTargetsAvailableError(JasminArcError):
    """The compute element cannot be reached, or offers nothing to submit jobs to."""


class ServerError(JasminArcError):
    """The compute element answered with an error, or with something that makes no sense.

    :ivar status: the HTTP status of the answer, where there was one
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ServerUnavailableError(ServerError):
    """The compute element does not answer now; the same question may succeed later."""


class JobNotFoundError(JasminArcError, LookupError):
    """A job with the given ID could not be found."""


class JobSubmissionError(JasminArcError):
    """The job was not submitted; the message carries the compute element's reason."""


class SubmissionUnknownError(JobSubmissionError):
    """The answer to a submission was lost, or a job that may run cannot be written into the job list.

    Nothing is sent again. ``ArcInterface.recover()`` looks for the job and settles it.
    """


class JobListError(JasminArcError):
    """The list of submitted jobs cannot be read or written."""


class JobFailedError(JasminArcError):
    """A job ended without success; the message says why in short.

    :ivar job_ids: the ids of all jobs of the call that ended so
    """

    def __init__(self, message: str, job_ids: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.job_ids = list(job_ids)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (str(self), self.job_ids))


class WaitTimeoutError(JasminArcError, TimeoutError):
    """Time was up before all jobs had ended. They go on.

    :ivar unfinished: the ids of the jobs that had not ended
    """

    def __init__(self, message: str, unfinished: Sequence[str]) -> None:
        super().__init__(message)
        self.unfinished = list(unfinished)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (str(self), self.unfinished))


class OutputError(JasminArcError):
    """An output could not be downloaded whole; nothing half-written stands under its final name."""


class OperationNotPossibleError(JasminArcError):
    """The job's state, or the place where it runs, does not allow this."""


class PartialFailureError(JasminArcError):
    """Some jobs of a bulk call failed; the others were done.

    :ivar results: one entry for each job, in the order of the call: its result, or its error
    """

    def __init__(self, message: str, results: Sequence[Any]) -> None:
        super().__init__(message)
        self.results = list(results)

    @property
    def errors(self) -> list[JasminArcError]:
        """The errors alone."""
        return [entry for entry in self.results if isinstance(entry, JasminArcError)]

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (str(self), self.results))
