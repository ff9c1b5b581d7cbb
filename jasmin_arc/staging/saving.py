"""Saving the outputs of jobs: which ones, where to, and the note that they are saved."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jasmin_arc._support.progress import ProgressBar
from jasmin_arc._support.quantities import size as size_in_words
from jasmin_arc._support.text import counted
from jasmin_arc.backends.base import Backend
from jasmin_arc.constants import JobState
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import JasminArcError
from jasmin_arc.job_list import JobList, JobRecord
from jasmin_arc.job_list.ledger import Ledger
from jasmin_arc.staging.missing import MissingOutputs
from jasmin_arc.staging.outputs import EVERYTHING, Saved, folders_of, save_many

_MUCH = 10 << 20
"""Bytes that take so long that it is worth saying before"""


class Saver:
    """Saves outputs, as the descriptions in the job list name them, and notes it in the ledger."""

    def __init__(
        self, backend: Backend, job_list: JobList, ledger: Ledger, missing: MissingOutputs, log: logging.Logger
    ) -> None:
        self._backend, self._job_list, self._ledger, self._log = backend, job_list, ledger, log
        self._missing = missing

    def save(
        self, job_id: str, directory: Path | None, *, files: Sequence[str] | None, overwrite: bool, progress: bool
    ) -> str | None:
        """As ``ArcInterface.save_job_outputs``."""
        target = directory or Path(tempfile.mkdtemp(prefix="jasmin_arc-"))
        saved: list[Path] = []
        try:
            with ProgressBar(None, "B", show=progress) as bar:
                announce = partial(self._announce, bar)
                options = {"overwrite": overwrite, "planned": announce, "progress": bar.update}
                results, complete = self._save({job_id: target}, files, **options)
            result = results[job_id]
            if isinstance(result, JasminArcError):
                raise result
            saved = result
        finally:
            if directory is None and not saved:
                # Nobody was told where it is.
                shutil.rmtree(target, ignore_errors=True)
        self._ledger.saved(complete)
        if saved:
            self._log.info("saved %s of %s to %s", counted(len(saved), "output"), job_id, target)
        return str(target) if saved else None

    def save_many(
        self, job_ids: Sequence[str], root: Path, *, files: Sequence[str] | None, overwrite: bool, progress: bool
    ) -> list[str | JasminArcError | None]:
        """As ``ArcInterface.save_outputs``; ``None`` for a job where there was nothing to save."""
        known = self._ledger.summaries(job_ids)
        names = {job_id: known[job_id].name if job_id in known else "" for job_id in job_ids}
        folders = folders_of(names, root)
        with ProgressBar(len(folders), "job", show=progress) as bar:
            results, complete = self._save(folders, files, overwrite=overwrite, job_done=lambda: bar.update(1))
        self._ledger.saved(complete)
        answers: list[str | JasminArcError | None] = []
        for job_id in job_ids:
            result = results[job_id]
            answers.append(result if isinstance(result, JasminArcError) else str(folders[job_id]) if result else None)
        done = sum(isinstance(answer, str) for answer in answers)
        where = root if len(folders) != 1 else next(iter(folders.values()))
        self._log.info("saved the outputs of %s to %s", counted(done, "job"), where)
        return answers

    def _save(
        self, folders: Mapping[str, Path], files: Sequence[str] | None, **options: Any
    ) -> tuple[dict[str, Saved], list[str]]:
        """Save, and tell which jobs are saved for good: those that had ended before, if all outputs were asked for."""
        states = self._ledger.states(list(folders)) if files is None else {}
        records = self._job_list.get(folders) if files is None else {}
        absent: dict[str, list[str]] = {}
        results = save_many(
            self._backend,
            folders,
            outputs=lambda job_id: _outputs_of(records.get(job_id)) if files is None else files,
            absent=absent.__setitem__,
            **options,
        )
        self._warn_of({job_id: names for job_id, names in absent.items() if states.get(job_id) is JobState.FINISHED})
        ended = [job_id for job_id, state in states.items() if isinstance(state, JobState) and state.final]
        return results, [job_id for job_id in ended if not isinstance(results[job_id], JasminArcError)]

    def _warn_of(self, absent: Mapping[str, Sequence[str]]) -> None:
        """Say which of these jobs, all of which had finished, did not make what they were to make."""
        self._missing.note(absent)
        self._missing.warn({job_id: names for job_id in absent if (names := self._missing.known(job_id))})

    def _announce(self, bar: ProgressBar, files: int, size: int) -> None:
        bar.expect(size)
        if size >= _MUCH:
            self._log.info("saving %s, %s", counted(files, "file"), size_in_words(size))


def _outputs_of(record: JobRecord | None) -> Sequence[str]:
    if record is None or not record.description:
        return EVERYTHING
    outputs = JobDescription.from_json(record.description).outputs or {}
    return [name for name, target in outputs.items() if target is None]
