"""Submitting jobs, and submitting them again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

from jasmin_arc._support.bulk import JobsLike, all_or_partial, raise_failures
from jasmin_arc._support.progress import ProgressBar
from jasmin_arc._support.tracebacks import shortens_tracebacks
from jasmin_arc.backends.base import RENEW
from jasmin_arc.description import Argument, Inputs, JobDescription, JobFields, check_keywords, shows_fields
from jasmin_arc.description.run_script import input_of
from jasmin_arc.exceptions import InvalidJobDescription, JasminArcError
from jasmin_arc.interface.parts import Parts

if TYPE_CHECKING:
    from typing_extensions import Unpack

Described = Union[JobDescription, Mapping[str, Any]]
"""A job: a description, or a mapping of its fields to their values"""


_NOT_GIVEN: tuple[str, ...] = ()


class _Arguments(JobFields, total=False):
    arguments: Sequence[Argument]


class Names2017(JobFields, total=False):
    """The fields of a job description, and two of them under their old names too."""

    args: Sequence[Argument]
    input_files: Inputs


@shortens_tracebacks
class Submitting(Parts):
    """Jobs are submitted."""

    @shows_fields
    def submit_job(
        self,
        executable: str | os.PathLike[str] = "",
        args: Sequence[Argument] = _NOT_GIVEN,
        input_files: Inputs = _NOT_GIVEN,
        **fields: Unpack[_Arguments],
    ) -> str:
        """Submit a job and return the job ID. :meth:`submit` does the same and returns a handle on the job.

        A successful return guarantees that the job is in the job list and will run. For the options see
        :class:`~jasmin_arc.description.JobDescription`, whose names ``arguments`` and ``inputs`` can be used as well.

        :param executable: the command to run on the cluster
        :param args: the arguments to pass to the executable; they arrive exactly as given
        :param input_files: paths of local files to copy to the session directory, in which the job runs
        :raises TypeError: if a keyword is not known; the message names the one that may be meant
        :raises InvalidJobDescription: if a value is impossible
        :raises InputFileError: if an input file cannot be used; nothing has been sent
        :raises NoTargetsAvailableError: if the server is out of reach or offers nothing to run jobs on
        :raises JobSubmissionError: if the server refuses the job; the message has its reason
        :raises SubmissionUnknownError: if the server's answer was lost; see :meth:`recover`
        """
        old = {"args": args, "input_files": input_files}
        given = renamed({**fields, **{name: value for name, value in old.items() if value is not _NOT_GIVEN}})
        check_keywords("submit_job", given)
        return self._submit_one(described({"executable": executable, **given}))

    def _submit_one(self, description: JobDescription) -> str:
        (result,) = self._submit([description])
        if isinstance(result, JasminArcError):
            raise result
        return result

    def submit_jobs(self, descriptions: Sequence[Described], *, progress: bool = False) -> list[str]:
        """Submit many jobs and return their ids, in order.

        :param descriptions: a :class:`~jasmin_arc.description.JobDescription` of each job, or a mapping of its fields
        :param progress: show a progress bar
        :raises PartialFailureError: if some were not submitted; its ``results`` has an id or an error for each
        """
        return all_or_partial(self._submit(list(map(described, descriptions)), progress=progress), "submitted")

    def _submit(self, descriptions: Sequence[JobDescription], *, progress: bool = False) -> list[str | JasminArcError]:
        complete = [description.completed([self.config.OUTPUT_FILE]) for description in descriptions]
        if not complete:
            return []
        with ProgressBar(len(complete), "job", show=progress) as bar:
            results = self.backend.submit(complete, progress=bar.update)
        self._log_submitted(results)
        submitted = [job for job, result in zip(complete, results) if isinstance(result, str)]
        delegates = RENEW in self.backend.capabilities
        self._warnings.submitted(
            submitted,
            expires=lambda: self.credentials.expires() if delegates else None,
            renewable=not (delegates and self.credentials.is_token),
            site=lambda: self._known_site.recall(),
        )
        return results

    def _log_submitted(self, results: Sequence[str | JasminArcError]) -> None:
        submitted = [result for result in results if isinstance(result, str)]
        refused = len(results) - len(submitted)
        if len(submitted) == 1:
            self.logger.info("submitted %s", submitted[0])
        elif submitted:
            self.logger.info("submitted %d jobs to %s", len(submitted), self.backend.endpoint)
        if refused and len(results) > 1:
            # The caller gets the errors; this is for the record alone.
            self.logger.info("%d of %d jobs were not submitted", refused, len(results))

    def resubmit_jobs(self, job_ids: JobsLike, *, progress: bool = False) -> list[str]:
        """Submit the same descriptions, with the same inputs, as new jobs, and return the new ids, in order.

        The old jobs stay as they are; the job list links the new ones to them. Inputs are read anew, from where they
        were read for the old job.

        :raises PartialFailureError: if some could not be submitted again
        """
        ids = self._ids(job_ids)
        descriptions, failures = self._ledger.descriptions(ids)
        sent = dict(zip(descriptions, self._submit(list(descriptions.values()), progress=progress)))
        self._ledger.resubmitted({new: old for old, new in sent.items() if isinstance(new, str)})
        results = {**sent, **failures}
        return all_or_partial([results[job_id] for job_id in ids], "submitted again")

    def restart_jobs(self, job_ids: JobsLike) -> None:
        """Let the compute element itself take up failed jobs again, under their old ids, at the step that failed.

        That helps where a transfer failed, or where the job could not be handed to the batch system. A program that
        ran and failed is not run again so: that is what :meth:`resubmit_jobs` is for.

        :raises PartialFailureError: for jobs whose description did not allow it (``rerun``), or that did not fail
        """
        ids = self._ids(job_ids)
        raise_failures(ids, self._ledger.restart(ids), "restarted")

    def renew(self, job_ids: JobsLike) -> None:
        """Give the delegated credentials of jobs a new lifetime, from a fresh proxy. A job without them is no failure.

        :raises PartialFailureError: if some could not be renewed
        """
        ids = self._ids(job_ids)
        raise_failures(ids, self.backend.renew(ids), "renewed")


_NAMES_OF_2017 = {"args": "arguments", "input_files": "inputs"}


def renamed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with the names that they have now."""
    for old, name in _NAMES_OF_2017.items():
        if old in fields and name in fields:
            raise TypeError(f"both {old} and {name} were given, which are the same")
    return {_NAMES_OF_2017.get(name, name): value for name, value in fields.items()}


def described(job: Described) -> JobDescription:
    """Return the description of a job that is about to be submitted.

    :raises InvalidJobDescription: if it is impossible, or names a program and its arguments in one text
    """
    if isinstance(job, Mapping):
        job = JobDescription(**renamed(job))
    if not isinstance(job, JobDescription):
        hint = "; for one job, give the program and a list of its arguments" if isinstance(job, str) else ""
        raise TypeError(f"a JobDescription is needed, not {job!r}{hint}")
    _refuse_command_line(job)
    return job


def _refuse_command_line(job: JobDescription) -> None:
    """Refuse ``"echo hello"``: no shell takes it apart."""
    # Here, as it takes long to load.
    from shutil import which

    program, *arguments = job.executable.split() or [""]
    if not arguments or job.arguments or input_of(job.executable, job.inputs) or which(job.executable):
        return
    # A path may have spaces.
    if "/" not in program or which(program):
        raise InvalidJobDescription(
            f"executable: {job.executable!r} is the name of no program",
            advice=f"did you mean the program {program!r} with the arguments {arguments!r}?",
        )
