"""Every error that this library raises.

Errors of other libraries never reach the caller: each is translated where it arises, and kept as the
``__context__``, which Python does not print. Where the log shows DEBUG messages, it is kept as the ``__cause__``, which
Python prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

_FIELDS = (
    *("account", "cpu_time", "inputs", "memory", "native", "outputs"),
    *("queue", "rerun", "slots", "stdin", "wall_time"),
)
PYTHON_WORDS = {
    "backend_local": "backend='local'",
    "backend_slurm": "backend='slurm'",
    "cancel": "cancel_jobs()",
    "check": "check()",
    "config_init": "'jasmin-arc config init'",
    "config_show": "'jasmin-arc config show'",
    "doctor": "'jasmin-arc doctor'",
    "explain": "explain()",
    "find_software": "find_software()",
    "follow": "follow(id)",
    "force": "force=True",
    "list": "list_jobs()",
    "overwrite": "overwrite=True",
    "proxy_create": "'jasmin-arc proxy create'",
    "proxy_destroy": "'jasmin-arc proxy destroy'",
    "qos": "native={'qos': NAME}",
    "read_stderr": "read(id, 'stderr')",
    "recover": "recover()",
    "renew": "renew()",
    "resubmit": "resubmit_jobs()",
    "save": "save_job_outputs()",
    "site": "site()",
    "wait": "wait()",
    **{field: f"{field}=" for field in _FIELDS},
}
"""What an :class:`Advice` can name, in the words of Python. The command line has words of its own for the same."""


class Advice(str):
    """What the reader can do. As a text it speaks Python; :meth:`in_words` says the same at a shell.

    :param template: names in braces stand for actions and options, as in ``"{recover} settles it"``; see
        :data:`PYTHON_WORDS`. It must be a constant: what users or servers wrote belongs into ``values``
    :param values: texts for further names in the template, which all readers see as they are; another ``Advice`` is in
        the words of the reader
    """

    template: str
    values: Mapping[str, str]

    def __new__(cls, template: str, **values: str) -> Advice:
        made = super().__new__(cls, template.format_map({**PYTHON_WORDS, **values}))
        made.template, made.values = template, values
        return made

    @classmethod
    def of(cls, text: str) -> Advice:
        """Return an advice; a plain text says the same to all readers."""
        return text if isinstance(text, Advice) else cls("{text}", text=text)

    def in_words(self, words: Mapping[str, str]) -> str:
        """Return the advice with other words, one for each name of :data:`PYTHON_WORDS`."""
        own = self.values.items()
        values = {name: text.in_words(words) if isinstance(text, Advice) else text for name, text in own}
        return self.template.format_map({**words, **values})

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Advice, **self.values), (self.template,)


class JasminArcError(Exception):
    """The root of all errors of this library.

    :ivar message: what is wrong
    :ivar advice: what can be done about it; an empty text where nothing is known
    """

    def __init__(self, message: str = "", *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = Advice.of(advice)

    def __str__(self) -> str:
        return self.in_words(PYTHON_WORDS)

    def in_words(self, words: Mapping[str, str]) -> str:
        """Return message and advice, with other words, one for each name of :data:`PYTHON_WORDS`."""
        return f"{self.message}; {self.advice.in_words(words)}" if self.advice else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _error_again, (type(self), self.args), self.__dict__


def _error_again(kind: type[JasminArcError], args: tuple[Any, ...]) -> JasminArcError:
    """Make an error that was pickled, whatever arguments its class takes."""
    error = kind.__new__(kind)
    error.args = args
    return error


class InvalidConfigError(JasminArcError, ValueError):
    """The configuration is not valid; the message names the file, the option and the value."""


class InvalidJobDescription(JasminArcError, ValueError):
    """The job description is not valid; the message names the field and what is possible."""


class InputFileError(JasminArcError):
    """An input file does not exist, is not a file, cannot be read, or its name is taken; or kept contents are gone."""


class CredentialsError(JasminArcError):
    """There is nothing to show to a compute element: no token was found, or it has ended or cannot be used."""


class ProxyGenerationError(CredentialsError):
    """A proxy certificate could not be made from the key and the certificate, or one with VOMS attributes has ended."""


class BindingsNotFoundError(JasminArcError):
    """The NorduGrid ARC bindings cannot be loaded by this Python, or take no token; the message says what to do."""


class NoTargetsAvailableError(JasminArcError):
    """The compute element cannot be reached, or offers nothing to submit jobs to."""


class ServerError(JasminArcError):
    """The compute element answered with an error, or with something that makes no sense.

    :ivar status: the HTTP status of the answer, where there was one
    """

    def __init__(self, message: str, *, status: int | None = None, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.status = status


class ServerUnavailableError(ServerError):
    """The compute element does not answer now; the same question may succeed later."""


class JobNotFoundError(JasminArcError, LookupError):
    """A job with the given ID could not be found."""


class AmbiguousJobError(JasminArcError, LookupError):
    """Several jobs are meant by a name or by a part of an id, where one is needed; the message names them."""


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

    def __init__(self, message: str, job_ids: Sequence[str] = (), *, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.job_ids = list(job_ids)


class WaitTimeoutError(JasminArcError, TimeoutError):
    """Time was up before all jobs had ended. They go on.

    :ivar unfinished: the ids of the jobs that had not ended
    """

    def __init__(self, message: str, unfinished: Sequence[str], *, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.unfinished = list(unfinished)


class OutputError(JasminArcError):
    """An output could not be downloaded whole; nothing half-written stands under its final name."""


class OperationNotPossibleError(JasminArcError):
    """The job's state, or the place where it runs, does not allow this."""


class PartialFailureError(JasminArcError):
    """Some jobs of a bulk call failed; the others were done.

    :ivar results: one entry for each job, in the order of the call: its result, or its error
    """

    def __init__(self, message: str, results: Sequence[Any], *, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.results = list(results)

    @property
    def errors(self) -> list[JasminArcError]:
        """The errors alone."""
        return [entry for entry in self.results if isinstance(entry, JasminArcError)]
