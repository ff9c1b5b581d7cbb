"""Submitting in two phases: the jobs come to exist on hold, and run once it is written down that all of them do.

The id of a job is known before anything is sent, as it is the job's folder. So wherever this process is killed, the
list tells :mod:`~jasmin_arc.backends.slurm.recovery` where to look. The decision that a batch runs is a link in its
folder, which can be made once: by the one who submits, or by recover(), for whom it never runs.
"""

from __future__ import annotations

import logging
import re
import secrets
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from jasmin_arc._support.text import common_start, excerpt
from jasmin_arc.backends.shell.archive import archive
from jasmin_arc.backends.shell.shell import ScriptError
from jasmin_arc.backends.slurm.cluster import Cluster, Defaults, Facts, Place
from jasmin_arc.constants import STDERR_NAME, STDOUT_NAME
from jasmin_arc.description import JobDescription, is_pattern
from jasmin_arc.description.formats.sbatch import sbatch_options, script_with_modules
from jasmin_arc.description.run_script import OUTPUT_LIST_NAME
from jasmin_arc.exceptions import (
    Advice,
    InputFileError,
    JasminArcError,
    JobSubmissionError,
    NoTargetsAvailableError,
    ServerError,
    SubmissionUnknownError,
)
from jasmin_arc.job_list.journal import Batch as Intentions
from jasmin_arc.job_list.journal import Entry, Journal
from jasmin_arc.staging.inputs import StagedInput, plan_inputs

BATCH_JOBS = 1000
"""The most jobs whose folders lie in one folder"""
_RELEASED_AT_ONCE = 500
_NOTHING_SUBMITTED = 41
"""The exit code of a script that ended before the first sbatch"""
_WRAPPER = Path(__file__).parent / "remote" / "job.sh"
_PREFIX = re.compile(r"(?:(?:sbatch: error|Batch job submission failed|allocation failure): )*")
_NO_REASON = "Unspecified error"
SETTLED = Advice("{recover} settles it")

_UNHELD = "Slurm refuses jobs on hold here: until the submission is complete, these wait in their slots if they start"

Progress = Callable[[int], object]


@dataclass(eq=False)
class _Job:
    """A job on its way."""

    description: JobDescription
    inputs: tuple[StagedInput, ...] = ()
    options: tuple[str, ...] = ()
    place: Place = field(default_factory=lambda: Place("", ""))
    id: str = ""
    token: str = ""
    recorded: str = ""
    """The description as the job list has it, without the contents of inputs"""
    outcome: str | JasminArcError | None = None


@dataclass(eq=False)
class _Group:
    """Jobs that are one request: an array, or a job alone."""

    batch: str
    offset: int
    jobs: list[_Job]
    native_id: str = ""
    refusal: list[str] = field(default_factory=list)
    code: str = ""

    def is_lost(self, batch: str) -> bool:
        """Whether it is not known whether the jobs exist, in this batch."""
        return self.batch == batch and isinstance(self.jobs[0].outcome, SubmissionUnknownError)

    @property
    def call(self) -> list[str]:
        numbers = map(str, (self.offset, len(self.jobs), self.jobs[0].description.rerun))
        name = common_start([job.description.name for job in self.jobs])
        return ["group", self.batch, *numbers, f"--job-name={name}"]


class Submitter:
    def __init__(
        self,
        cluster: Cluster,
        journal: Journal,
        defaults: Defaults,
        *,
        choices: Callable[[str], str],
        is_held: Callable[[str], bool],
        log: logging.Logger,
    ) -> None:
        self._cluster = cluster
        self._journal = journal
        self._defaults = defaults
        self._choices = choices
        self._is_held = is_held
        self._log = log

    def submit(self, descriptions: Sequence[JobDescription], progress: Progress | None) -> list[str | JasminArcError]:
        count = progress or (lambda _jobs: None)
        try:
            facts = self._cluster.facts
        except ServerError as error:
            raise NoTargetsAvailableError(f"nothing was submitted: {error.message}", advice=error.advice) from error
        jobs = [self._plan(description, facts) for description in descriptions]
        good = [job for job in jobs if job.outcome is None]
        count(len(jobs) - len(good))
        groups = self._groups(good, facts)
        if good:
            entries = [Entry(job.description, f"slurm://{facts.name}", id=job.id) for job in good]
            with self._journal.submitting(entries) as intentions:
                for job, record in zip(good, intentions.records):
                    job.token, job.recorded = record.token, record.description
                self._create(groups, facts, count)
                intentions.drop(job.token for job in good if _is_refused(job))
                self._commit(groups, intentions)
        return [job.outcome or JobSubmissionError("the job was not submitted") for job in jobs]

    def _plan(self, description: JobDescription, facts: Facts) -> _Job:
        job = _Job(description)
        try:
            memory = facts.default_memory(description.queue or self._defaults.partition)
            job.options = sbatch_options(description, **asdict(self._defaults), memory=memory)
            job.inputs = plan_inputs(description, script=script_with_modules)
        except JasminArcError as error:
            job.outcome = error
        return job

    def _groups(self, jobs: Sequence[_Job], facts: Facts) -> list[_Group]:
        """Put jobs that need the same into arrays, and arrays into batches."""
        alike: dict[tuple[object, ...], list[_Job]] = {}
        for job in jobs:
            alike.setdefault((job.options, job.description.rerun), []).append(job)
        groups: list[_Group] = []
        stamp, number = time.strftime("%Y%m%d-%H%M%S", time.gmtime()), BATCH_JOBS
        for same in alike.values():
            for part in _cut(same, min(facts.max_array_size, BATCH_JOBS)):
                if number + len(part) > BATCH_JOBS:
                    batch, number = f"{stamp}-{secrets.token_hex(4)}", 0
                groups.append(_Group(batch, number, part))
                for index, job in enumerate(part):
                    job.place = Place(batch, f"{secrets.token_hex(4)}{number:03x}{index:03x}")
                    job.id = self._cluster.job_id(job.place)
                number += len(part)
        return groups

    def _create(self, groups: Sequence[_Group], facts: Facts, count: Progress) -> None:
        """Send the inputs and let the jobs exist, all in one round trip. What came of each is its group's."""
        by_name = {(group.batch, str(group.offset)): group for group in groups}
        last = groups[0]

        def told(line: str) -> None:
            nonlocal last
            kind, _, rest = line.partition(" ")
            if kind == "sbatch":
                batch, offset, code, *answer = rest.split(" ")
                last = by_name[(batch, offset)]
                last.code, last.native_id = code, "".join(answer).partition(";")[0] if code == "0" else ""
                count(len(last.jobs))
            elif kind == "said":
                last.refusal.append(rest)
            elif kind == "unheld":
                self._log.warning(_UNHELD)

        batches = dict.fromkeys(group.batch for group in groups)
        calls = [[*group.call, *self._options(group, facts)] for group in groups]
        lost: JasminArcError | None = None
        try:
            before = f"batches={shlex.quote(' '.join(batches))}\n"
            self._cluster.run(
                "submit", *calls, ["drop", *batches], data=archive(_files(groups, batches)), before=before, told=told
            )
        except InputFileError as error:
            # The batch scripts come last, so nothing was submitted.
            self._fail(groups, error)
            return
        except ServerError as error:
            lost = error
        choices = cache(self._choices)
        for group in groups:
            if (problem := self._outcome(group, lost, choices)) is not None:
                self._fail([group], problem)

    def _options(self, group: _Group, facts: Facts) -> list[str]:
        folder = f"{facts.dir}/{group.batch}".replace("%", "%%")
        options = [*group.jobs[0].options, f"--output={folder}/logs/{group.offset}"]
        if len(group.jobs) > 1:
            options[-1] += ".%a"
            options.append(f"--array=0-{len(group.jobs) - 1}")
        return options

    def _outcome(
        self, group: _Group, lost: JasminArcError | None, choices: Callable[[str], str]
    ) -> JasminArcError | None:
        """Why the jobs of a group do not exist, or are not known to; ``None`` if they do."""
        names = excerpt(repr(group.jobs[0].description.name))
        said = excerpt(what_sbatch_says(group.refusal))
        if isinstance(lost, ScriptError) and lost.code == _NOTHING_SUBMITTED:
            problem, advice = _staging_problem(lost.message)
            return JobSubmissionError(f"the job {names} was not submitted: {problem}", advice=advice)
        if lost is not None or not group.code or (group.code == "0" and not group.native_id.isdecimal()):
            group.native_id = ""
            why = lost.message if lost is not None else "Slurm's answer does not tell the job's number"
            return SubmissionUnknownError(f"the job {names} may exist, but does not run: {why}", advice=SETTLED)
        if group.code == "skipped":
            return JobSubmissionError(f"the job {names} was not submitted, as Slurm does not answer")
        if group.code == "lost":
            return SubmissionUnknownError(f"the job {names} may exist, but does not run: {said}", advice=SETTLED)
        if group.code != "0":
            return JobSubmissionError(f"Slurm refuses the job {names}: {said}", advice=choices(said))
        return None

    def _commit(self, all_groups: Sequence[_Group], intentions: Intentions) -> None:
        """Let the jobs that exist run, and write down that they do."""
        batches: dict[str, list[_Group]] = {}
        groups = [group for group in all_groups if group.native_id]
        for group in groups:
            batches.setdefault(group.batch, []).append(group)
        lost = {batch: " ".join(str(group.offset) for group in all_groups if group.is_lost(batch)) for batch in batches}
        numbers = {
            batch: _cut([group.native_id for group in inside], _RELEASED_AT_ONCE) for batch, inside in batches.items()
        }
        calls = [["commit", batch, lost[batch], *map(",".join, numbers[batch])] for batch in batches]
        try:
            told = self._cluster.insist("commit", *calls).splitlines() if calls else []
        except ServerError as error:
            problem = f"it is not known whether the job runs: {error.message}"
            self._fail(groups, SubmissionUnknownError(problem, advice=SETTLED))
            return
        committed = {line.partition(" ")[2] for line in told if line.startswith("committed ")}
        for batch, inside in batches.items():
            said = [line.split(" ", 2)[2] for line in told if line.startswith(f"said {batch} ")]
            if batch not in committed:
                self._fail(inside, SubmissionUnknownError("another process has withdrawn the job", advice=SETTLED))
            elif said and self._is_held(batch):
                problem = f"the job is submitted, but may still be on hold: {excerpt(' '.join(said))}"
                self._fail(inside, SubmissionUnknownError(problem, advice=SETTLED))
        done = [job for group in groups for job in group.jobs if job.outcome is None]
        unlisted = intentions.commit(job.id for job in done)
        for job in done:
            job.outcome = unlisted.get(job.id, job.id)

    def _fail(self, groups: Sequence[_Group], error: JasminArcError) -> None:
        for group in groups:
            for job in group.jobs:
                job.outcome = error


def what_sbatch_says(lines: Iterable[str]) -> str:
    """Why sbatch refuses a job, without what it puts before each reason."""
    told = [_PREFIX.sub("", line).strip() for line in lines]
    return "; ".join([line for line in told if line not in ("", _NO_REASON)] or told)


def _staging_problem(said: str) -> tuple[str, str]:
    full = re.search("No space left on device|Disk quota exceeded", said)
    if not full:
        return excerpt(said), ""
    advice = "erase jobs whose outputs are saved, or set SLURM_DIR to a folder with more room"
    return f"the files do not fit into SLURM_DIR ({full[0]})", advice


def _is_refused(job: _Job) -> bool:
    return job.outcome is not None and not isinstance(job.outcome, (str, SubmissionUnknownError))


def _files(groups: Iterable[_Group], batches: Iterable[str]) -> Iterator[tuple[str, StagedInput | bytes]]:
    for group in groups:
        for job in group.jobs:
            for staged in job.inputs:
                yield f"{job.place.folder}/session/{staged.name}", staged
            outputs = [name for name in job.description.outputs or {} if not is_pattern(name)]
            kept = [STDOUT_NAME, STDERR_NAME, OUTPUT_LIST_NAME, *outputs]
            yield f"{job.place.folder}/description", job.recorded.encode()
            yield f"{job.place.folder}/keep", "".join(f"{name}\n" for name in kept).encode("utf-8", "surrogateescape")
    wrapper = _WRAPPER.read_bytes()
    for batch in batches:
        yield f"{batch}/job", wrapper


def _cut(items: Sequence[_Job] | Sequence[str], size: int) -> Iterator[list]:  # type: ignore[type-arg]
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
