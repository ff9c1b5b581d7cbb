"""Outputs that a job was to make, and did not make."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from jasmin_arc._support.parallel import WorkerPool
from jasmin_arc._support.text import SHORT_ID, excerpt, first_few, last_part
from jasmin_arc.backends.base import Backend
from jasmin_arc.constants import JobState
from jasmin_arc.description import JobDescription, is_pattern
from jasmin_arc.exceptions import Advice, JasminArcError, JobNotFoundError
from jasmin_arc.job_info import JobInfo
from jasmin_arc.job_list import JobList, JobSummary
from jasmin_arc.job_list.ledger import PATIENCE

_MOST_SECONDS = 5.0
"""For how long jobs are looked at that somebody has waited for; the rest is left"""
_WORKERS = 4
_MOST_NAMED = 3
"""How many jobs one warning names"""

_Answer = TypeVar("_Answer")


def wanted_outputs(job: JobDescription, optional: Collection[str]) -> list[str]:
    """Return the files and folders that the job must make.

    :param optional: outputs that are asked for by default, so that nothing is wrong where they are not made
    """
    return _that_must_be([name for name, target in (job.outputs or {}).items() if target is None], optional)


def _that_must_be(names: Iterable[str], optional: Collection[str]) -> list[str]:
    return [name.rstrip("/") for name in names if not is_pattern(name) and name not in optional]


def missing_outputs(
    backend: Backend, job_id: str, job: JobDescription, optional: Collection[str] = ()
) -> tuple[str, ...]:
    """Look which of its outputs a job that finished did not make.

    :raises JasminArcError: if that cannot be seen now
    """
    wanted = wanted_outputs(job, optional)
    # Without it, nothing is known: the job may have been erased.
    listings = {"": _names_in(backend, job_id, "")} if wanted else {}
    for name in wanted:
        folder = name.rpartition("/")[0]
        if folder not in listings:
            listings[folder] = _names_in(backend, job_id, folder) if _top(folder) in listings[""] else set()
    return tuple(name for name in wanted if name not in listings[name.rpartition("/")[0]])


def _top(path: str) -> str:
    return path.partition("/")[0]


def _names_in(backend: Backend, job_id: str, folder: str) -> set[str]:
    try:
        return {entry.name for entry in backend.list_files(job_id, folder)}
    except JobNotFoundError:
        if not folder:
            raise
        return set()


class MissingOutputs:
    """Looks at each job once, and remembers what it found. What it cannot see is no error of the caller."""

    def __init__(self, backend: Backend, job_list: JobList, optional: Collection[str], log: logging.Logger) -> None:
        self._backend, self._log, self._optional = backend, log, optional
        self._job_list = job_list.with_timeout(PATIENCE)
        self._found: dict[str, tuple[str, ...]] = {}

    def known(self, job_id: str) -> tuple[str, ...]:
        """Return what the job did not make, as far as somebody has looked."""
        return self._found.get(job_id, ())

    def filled(self, infos: Mapping[str, JobInfo]) -> dict[str, JobInfo]:
        """Return the answers with what is known to be missing. If there is one answer alone, look."""
        if len(infos) == 1:
            self.look(job_id for job_id, info in infos.items() if info.state is JobState.FINISHED)
        return {
            job_id: replace(info, missing_outputs=missing) if (missing := self.known(job_id)) else info
            for job_id, info in infos.items()
        }

    def note(self, found: Mapping[str, Iterable[str]]) -> None:
        """Remember what others saw: by the id of a job that finished, which of its outputs are not there."""
        self._found.update({job_id: tuple(_that_must_be(names, self._optional)) for job_id, names in found.items()})

    def look(self, job_ids: Iterable[str], *, saved_too: bool = True) -> dict[str, tuple[str, ...]]:
        """Look at those of these jobs, all of which have finished, that nobody has looked at yet.

        :param saved_too: whether to look also where outputs were saved, which told what was missing
        :returns: what is missing, by the ids of the jobs among them that did not make all
        """
        fresh = [job_id for job_id in dict.fromkeys(job_ids) if job_id not in self._found]
        jobs = self._that_must_make(fresh, saved_too=saved_too)
        if saved_too:
            self._found.update((job_id, ()) for job_id in fresh if job_id not in jobs)
        if not jobs:
            return {}
        self._try("how jobs are looked at", lambda: self._look_at_all(jobs))
        return {job_id: missing for job_id in jobs if (missing := self.known(job_id))}

    def warn(self, found: Mapping[str, Sequence[str]]) -> None:
        """Say, in one line, which jobs did not make what."""
        if not found:
            return
        names = self._try("the names of jobs", lambda: self._job_list.summaries(found)) or {}
        told = [(_called(job_id, names), first_few(missing)) for job_id, missing in found.items()]
        if len(told) == 1:
            what = "{} completed, but did not make {}".format(*told[0])
        else:
            more = f"; and {len(told) - _MOST_NAMED} more" if len(told) > _MOST_NAMED else ""
            named = "; ".join(map(": ".join, told[:_MOST_NAMED]))
            what = f"{len(told)} jobs completed, but did not make all their outputs: {named}{more}"
        self._log.warning("%s; %s", what, Advice("{explain} tells more"))

    def _that_must_make(self, job_ids: Sequence[str], *, saved_too: bool) -> dict[str, JobDescription]:
        records = self._try("the job list", lambda: self._job_list.get(job_ids)) if job_ids else None
        wanted = {i: record for i, record in (records or {}).items() if saved_too or record.outputs_saved is None}
        texts = {job_id: record.description for job_id, record in wanted.items() if record.description}
        jobs = {
            job_id: self._try("a description", partial(JobDescription.from_json, texts[job_id])) for job_id in texts
        }
        return {job_id: job for job_id, job in jobs.items() if job and wanted_outputs(job, self._optional)}

    def _look_at_all(self, jobs: Mapping[str, JobDescription]) -> None:
        with WorkerPool(_WORKERS) as pool:
            for job_id, job in jobs.items():
                pool.add(partial(self._look_at, job_id, job))
            pool.wait(_MOST_SECONDS)

    def _look_at(self, job_id: str, job: JobDescription) -> None:
        # Also where it fails, or hangs: a second look would hold up the caller again.
        self._found[job_id] = ()
        missing = self._try(job_id, lambda: missing_outputs(self._backend, job_id, job, self._optional))
        self._found[job_id] = missing or ()

    def _try(self, what: str, ask: Callable[[], _Answer]) -> _Answer | None:
        try:
            return ask()
        except JasminArcError as error:
            self._log.debug("whether outputs are missing is not known (%s): %s", what, error)
            return None


def _called(job_id: str, known: Mapping[str, JobSummary]) -> str:
    short = excerpt(last_part(job_id)[:SHORT_ID])
    name = excerpt(known[job_id].name) if job_id in known else ""
    return f"{name} ({short})" if name else short
