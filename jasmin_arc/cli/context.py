"""The context of one command: the options that all commands share, the interface, and where messages go."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from jasmin_arc._support.bulk import summarize_ids
from jasmin_arc._support.progress import bars_away
from jasmin_arc._support.text import one_line
from jasmin_arc._support.values import short_ids
from jasmin_arc.cli.exit_codes import FAILED, code_of
from jasmin_arc.cli.output import Output, fitted
from jasmin_arc.cli.spinner import Spinner
from jasmin_arc.config import ConnectionConfig, without_secrets
from jasmin_arc.constants import LogLevels
from jasmin_arc.exceptions import (
    PYTHON_WORDS,
    Advice,
    JasminArcError,
    JobListError,
    NoTargetsAvailableError,
    PartialFailureError,
    ServerUnavailableError,
)

if TYPE_CHECKING:
    from jasmin_arc.arc_interface import ArcInterface
    from jasmin_arc.description import JobDescription
    from jasmin_arc.job_list import JobList, JobSummary

PROGRAM = "jasmin-arc"
COMPLETION_VARIABLE = "_JASMIN_ARC_COMPLETE"
_OPTIONS = {"BACKEND": "--backend", "ARC_SERVER": "--server"}
_COMMANDS = {
    "cancel": "cancel {job}",
    "check": "submit --check",
    "config_init": "config init",
    "config_show": "config show",
    "doctor": "doctor",
    "explain": "explain {job}",
    "find_software": "site --find NAME",
    "follow": "follow {job}",
    "list": "list",
    "proxy_create": "proxy create",
    "proxy_destroy": "proxy destroy",
    "read_stderr": "cat {job} stderr",
    "recover": "recover",
    "renew": "renew {job}",
    "resubmit": "resubmit {job}",
    "save": "output {job}",
    "site": "site",
    "wait": "wait {job}",
}
_RENAMED = {
    "backend_local": "--backend local",
    "backend_slurm": "--backend slurm",
    "inputs": "--input",
    "outputs": "--output",
    "qos": "--native qos=NAME",
}
"""Options that are not called like the argument in Python"""
_MAX_TYPED = 5
"""Ids that are few enough to be typed"""
_ALIKE = 3
"""Failures that say the same and are told together"""
_MAX_TOLD = 5
"""Lines about failures of one call"""
_LOOK_UP_TIMEOUT = 1.0
"""Seconds to wait for a job list that another process is writing, where only names and short ids are wanted"""
_LIST_RESTS = 60.0
"""Seconds before a job list that could not be read is tried again: a command must not wait for it again and again"""
_CHANGING = ("run", "submit", "resubmit", "restart", "output", "cancel", "clean", "renew", "recover")
"""The commands that do something with jobs, which must be told"""


class Context:
    """What a command needs besides its own arguments."""

    def __init__(self, *, json: bool = False) -> None:
        self.output = Output(json=json)
        self.output.shorten = self.short_ids
        self.config_path: str | None = None
        self.options: dict[str, str] = {}
        """Options of the configuration that were given on the command line"""
        self.verbose = False
        self.codes: list[int] = []
        """The exit codes of all failures so far"""
        self._going: list[str] = []
        self._back = "wait"
        self._way_back = ""
        self._spinner: Spinner | None = None
        self._arc: ArcInterface | None = None
        self._list_rests_until = 0.0
        self._told_what_was_done = False

    # --- The library ---

    def config(self, *, read_file: bool = True) -> ConnectionConfig:
        """Load the configuration: defaults, file, environment, command line."""
        log = logging.Logger("jasmin_arc", logging.WARNING)
        log.addHandler(_Messages(self))
        return ConnectionConfig.load(
            self.config_path, config=self.options or None, logger=log, read_file=read_file, origin="the command line"
        )

    @property
    def arc(self) -> ArcInterface:
        """The interface, made when it is first used."""
        if self._arc is None:
            from jasmin_arc.arc_interface import ArcInterface

            level = LogLevels.DEBUG if self.verbose else LogLevels.WARNING
            self._arc = ArcInterface(log=sys.stderr, log_level=level, config=self.config())
            if not self.verbose:
                self._arc.logger.handlers[:] = [_Messages(self)]
        return self._arc

    def close(self) -> None:
        if self._arc is not None:
            self._arc.close()

    def each(self, what: str, job_ids: Sequence[str], call: Callable[..., Any], *, bar: bool = False) -> dict[str, Any]:
        """Make a bulk call, report its failures, and return the results of the jobs for which it worked.

        Jobs that have no ids yet have any other keys. With ``bar``, the call takes the keyword ``progress``.
        """
        if not job_ids:
            return {}
        many = len(job_ids) > 1 and self.shows_progress
        try:
            with self.busy(what, bar=bar and many):
                results = call(progress=many) if bar else call()
        except PartialFailureError as error:
            results = error.results
        answers = dict(zip(job_ids, results or [None] * len(job_ids)))
        failed = {job_id: error for job_id, error in answers.items() if isinstance(error, JasminArcError)}
        self.fail_many(failed, of=len(answers))
        return {job_id: result for job_id, result in answers.items() if job_id not in failed}

    # --- Names, for the output alone: what has been done is told with or without the job list ---

    def names_of(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Return the names of these jobs; none if the job list cannot be read now."""
        return {job_id: job.name for job_id, job in self.summaries_of(job_ids).items()}

    def summaries_of(self, job_ids: Sequence[str]) -> dict[str, JobSummary]:
        """Return the little that the job list knows of these jobs; nothing if it cannot be read now."""
        return self._look_up("summaries", job_ids) or {}

    def descriptions_of(self, job_ids: Sequence[str]) -> dict[str, JobDescription]:
        """Return what these jobs were submitted with, as far as the job list can tell now."""
        from jasmin_arc.description import JobDescription

        found = {}
        for job_id, record in (self._look_up("get", job_ids) or {}).items():
            with suppress(JasminArcError):
                if record.description:
                    found[job_id] = JobDescription.from_json(record.description)
        return found

    def short_ids(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Return what is enough to type of these ids; the whole ids if the job list cannot be read now."""
        beside = self._look_up("neighbours", job_ids)
        if beside is None:
            return {job_id: one_line(job_id) for job_id in job_ids}
        return short_ids(job_ids, chain.from_iterable(beside.values()))

    def brief(self, job_id: str) -> str:
        """Return what is enough to type of one id."""
        return self.short_ids([job_id])[job_id]

    def quick_list(self) -> JobList:
        """Return the job list, for questions that must not wait long."""
        from jasmin_arc.job_list import JobList

        return JobList(self.arc.config.JOBS_INFO_FILE, timeout=_LOOK_UP_TIMEOUT)

    def has_unsettled_jobs(self) -> bool:
        """Say whether submissions were left unfinished, as far as can be told now."""
        try:
            return any(job.abandoned for job in self.quick_list().unfinished(self.arc.backend.endpoint))
        except JasminArcError:
            return False

    def _look_up(self, question: str, job_ids: Sequence[str]) -> dict[str, Any] | None:
        """Call this method of the job list; nothing is returned if the list cannot be read now."""
        if not job_ids:
            return {}
        if time.monotonic() < self._list_rests_until:
            return None
        try:
            return dict(getattr(self.quick_list(), question)(job_ids))
        except JobListError as error:
            self._list_rests_until = time.monotonic() + _LIST_RESTS
            self.say(f"warning: jobs are shown without names and with complete ids: {self.told(error)}")
            return None

    # --- The words of the command line ---

    @property
    def program(self) -> str:
        """How the program is called, with the options that lead to the same place."""
        words = [PROGRAM, *(["--config", self.config_path] if self.config_path else [])]
        for option, given in self.options.items():
            # An address that holds a password is refused everywhere, so nothing is lost without it.
            if given == without_secrets(given):
                words += [_OPTIONS[option], given]
        return shlex.join(words)

    def command(self, text: str) -> str:
        """Return a command to suggest, quoted."""
        mark = '"' if "'" in text else "'"
        return f"{mark}{self.program} {text}{mark}"

    def advice(self, advice: str, job: str | None = None) -> str:
        """Return an advice of the library, which may be about a job with this id."""
        return Advice.of(advice).in_words(shell_words(self.program, self.brief(job) if job else "JOB"))

    def told(self, error: JasminArcError) -> str:
        """Return what an error of the library says."""
        if not error.advice and isinstance(error, (ServerUnavailableError, NoTargetsAvailableError)):
            slurm = self._arc is not None and self._arc.config.may_mean_slurm
            other = "; to run jobs with Slurm, which is on this machine: --backend slurm" if slurm else ""
            return f"{error.message.rstrip('.')}; {self.command('doctor')} looks for the reason{other}"
        return error.in_words(shell_words(self.program))

    # --- Messages, all on standard error ---

    def say(self, text: str) -> None:
        """Print one line for the person in front."""
        if self._spinner is not None:
            self._spinner.clear()
        with bars_away():
            print(fitted(f"{PROGRAM}: {one_line(text)}", sys.stderr), file=sys.stderr, flush=True)  # noqa: T201

    @property
    def shows_tables(self) -> bool:
        """Whether a person reads the results."""
        return self.output.is_terminal and not self.output.json

    @property
    def gives_hints(self) -> bool:
        """Whether a person reads both streams."""
        return self.shows_tables and sys.stderr.isatty()

    def hint(self, text: str) -> None:
        """Print one line that helps a newcomer on, where a person reads both streams."""
        if self.gives_hints:
            print(fitted(text, sys.stderr), file=sys.stderr)  # noqa: T201

    def fail(self, text: str, *, kind: str, code: int = FAILED, job: str | None = None) -> None:
        """Report a failure of a job, by default of the only one that the command is about just now."""
        self._note(text, kind, code, job)
        self.say(text)

    def _note(self, text: str, kind: str, code: int, job: str | None) -> None:
        if job is None and len(self._going) == 1:
            job = self._going[0]
        self.codes.append(code)
        self.output.errors.append({"kind": kind, "message": one_line(text), "job": job})

    def fail_with(self, error: JasminArcError, *, job: str | None = None) -> None:
        """Report an error of the library."""
        self.fail(self.told(error), kind=type(error).__name__, code=code_of(error), job=job)
        self.details(error)

    def fail_many(self, errors: Mapping[str, JasminArcError], *, of: int) -> None:
        """Report the errors of some ``of`` the jobs: each in JSON and with ``--verbose``, else in a few lines."""
        if self.verbose:
            for key, error in errors.items():
                self.fail_with(error, job=_job(key))
            return
        for key, error in errors.items():
            self._note(self.told(error), type(error).__name__, code_of(error), _job(key))
        lines = self._lines_about(errors, of)
        for line in lines[:_MAX_TOLD]:
            self.say(line)
        if len(lines) > _MAX_TOLD:
            self.say(f"and {len(lines) - _MAX_TOLD} more such lines; --verbose shows all")

    def _lines_about(self, errors: Mapping[str, JasminArcError], of: int) -> list[str]:
        """Return what to say of each job that failed; what is the same for several jobs is one line."""
        alike: dict[str, list[str]] = {}
        for key, error in errors.items():
            text = self.told(error)
            alike.setdefault(text.replace(key, "JOB") if _job(key) else text, []).append(text)
        return [
            line
            for text, texts in alike.items()
            for line in ([f"{len(texts)} of {of} jobs: {text}"] if len(texts) >= _ALIKE else texts)
        ]

    def details(self, error: BaseException) -> None:
        """With ``--verbose``, print what led to the error."""
        for _ in range(10):
            cause = error.__cause__ or error.__context__
            if cause is None or not self.verbose:
                return
            self.say(f"  caused by {type(cause).__name__}: {cause}")
            error = cause

    def agreed(self, question: str) -> bool:
        """Ask the person in front; without one, go ahead."""
        if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
            return True
        if not click.confirm(question, err=True):
            self.fail("nothing was done", kind="Declined")
            return False
        return True

    # --- Things that take long ---

    @contextmanager
    def busy(self, what: str | Callable[[], str], *, bar: bool = False) -> Iterator[None]:
        """Tell what is going on, if it takes long, a person looks, and the library shows no ``bar`` of its own."""
        self._spinner = Spinner(what, show=self.shows_progress and not self.verbose and not bar)
        with closing(self._spinner):
            yield

    def quiet(self) -> None:
        """Take the line of :meth:`busy` away for good: something better is being printed."""
        if self._spinner is not None:
            self._spinner.close()

    @property
    def shows_progress(self) -> bool:
        """Whether a person looks at standard error."""
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    # --- What to say if the command is interrupted now ---

    def going_on(self, job_ids: Sequence[str], back: str = "wait") -> None:
        """Note which jobs go on, and the command that leads back to them."""
        self._going, self._back, self._way_back = list(job_ids), back, ""

    def unsure(self, advice: str) -> None:
        """Note what to do."""
        self._going, self._way_back = [], advice

    def how_to_get_back(self) -> str:
        """What to say after an interruption; nothing where all is done."""
        if self._way_back:
            return self._way_back
        records = self.summaries_of(self._going)
        going = [job_id for job_id in self._going if job_id not in records or not records[job_id].final_state]
        if not going:
            return ""
        one, many = len(going) == 1, len(going) > _MAX_TYPED
        # Advice must never be about more jobs than these, so there is no --all in it.
        shown = list(self.short_ids(going[:_MAX_TYPED]).values())
        names = "JOB..." if many else " ".join(shown)
        some = f" ({summarize_ids(shown)})" if many else ""
        what = "the job goes on" if one else f"the {len(going)} jobs go on{some}"
        back, end = self.command(f"{self._back} {names}"), self.command(f"cancel {names}")
        return f"{what}: {back} leads back, {end} ends {'it' if one else 'them'}"

    def tell_what_was_done(self) -> None:
        """Tell on standard error, once, what standard output could not tell: which jobs something was done with."""
        job_ids = [row["id"] for row in self.output.results if "id" in row and self.output.command in _CHANGING]
        told = self.how_to_get_back()
        if job_ids and not told:
            done = f"{self.output.command} {summarize_ids(job_ids)}"
            told = f"what was done: {done}; {self.command('list')} shows the jobs"
        if told and not self._told_what_was_done:
            self._told_what_was_done = True
            self.say(told)


def _job(key: str) -> str | None:
    """Return the id of a job that has one: a job that is yet to be submitted has a number."""
    return key if "://" in key else None


class _Messages(logging.Handler):
    """Tells warnings of the library as the command line's own."""

    def __init__(self, context: Context) -> None:
        super().__init__(logging.WARNING)
        self._context = context

    def emit(self, record: logging.LogRecord) -> None:
        args = tuple(map(self._at_a_shell, record.args)) if isinstance(record.args, tuple) else record.args
        message = str(record.msg) % args if args else str(record.msg)
        # What ARC's own libraries log is detail; the error that follows says it in one line.
        if not message.startswith("Arc."):
            self._context.say(f"{record.levelname.lower()}: {message}")

    def _at_a_shell(self, value: object) -> object:
        if isinstance(value, JasminArcError):
            return self._context.told(value)
        return self._context.advice(value) if isinstance(value, Advice) else value


def shell_words(program: str, job: str = "JOB") -> dict[str, str]:
    """Return the words for all that an advice can name, which is about this job."""
    commands = {name: f"'{program} {text.format(job=job)}'" for name, text in _COMMANDS.items()}
    options = {name: _RENAMED.get(name, f"--{name.replace('_', '-')}") for name in PYTHON_WORDS}
    return {**options, **commands}
