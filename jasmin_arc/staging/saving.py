"""Saving the outputs of jobs: which ones, where to, and the note that they are saved."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jasmin_arc._support.progress import ProgressBar
from jasmin_arc.backends.base import Backend
from jasmin_arc.constants import JobState
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import JasminArcError
from jasmin_arc.job_list import JobList, JobRecord
from jasmin_arc.job_list.ledger import Ledger
from jasmin_arc.staging.outputs import EVERYTHING, folders_of, save_many


class Saver:
    """Saves outputs, as the descriptions in the job list name them, and notes it in the ledger."""

    def __init__(self, backend: Backend, job_list: JobList, ledger: Ledger, log: logging.Logger) -> None:
        self._backend = backend
        self._job_list = job_list
        self._ledger = ledger
        self._log = log

    def save(
        self, job_id: str, directory: Path | None, *, files: Sequence[str] | None, overwrite: bool, progress: bool
    ) -> str | None:
        """Save the outputs of one job; see ``ArcInterface.save_job_outputs``."""
        complete = self._complete_if_saved([job_id], files)
        target = directory or Path(tempfile.mkdtemp(prefix="jasmin_arc-"))
        try:
            with ProgressBar(None, "B", show=progress) as bar:
                saved = save_many(
                    self._backend,
                    {job_id: target},
                    outputs=lambda _: self._outputs_of(self._job_list.get([job_id]).get(job_id), files),
                    overwrite=overwrite,
                    planned=lambda count, size: self._announce(bar, count, size),
                    progress=bar.update,
                )[job_id]
            if isinstance(saved, JasminArcError):
                raise saved
        except BaseException:
            if directory is None:
                # Nobody was told where it is.
                shutil.rmtree(target, ignore_errors=True)
            raise
        self._ledger.saved(complete)
        if not saved:
            if directory is None:
                with contextlib.suppress(OSError):
                    target.rmdir()
            return None
        self._log.info("saved %d outputs of %s to %s", len(saved), job_id, target)
        return str(target)

    def save_many(
        self, job_ids: Sequence[str], root: Path, *, files: Sequence[str] | None, overwrite: bool, progress: bool
    ) -> list[str | JasminArcError | None]:
        """Save the outputs of many jobs; see ``ArcInterface.save_outputs``.

        :returns: for each job its folder, or its error, or ``None`` where there was nothing to save
        """
        folders = folders_of(job_ids, root)
        complete = self._complete_if_saved(job_ids, files)
        records = self._job_list.get(job_ids)
        with ProgressBar(len(folders), "job", show=progress) as bar:
            results = save_many(
                self._backend,
                folders,
                outputs=lambda job_id: self._outputs_of(records.get(job_id), files),
                overwrite=overwrite,
                job_done=lambda: bar.update(1),
            )
        self._ledger.saved([job_id for job_id in complete if not isinstance(results[job_id], JasminArcError)])
        answers: list[str | JasminArcError | None] = []
        for job_id in job_ids:
            result = results[job_id]
            answers.append(result if isinstance(result, JasminArcError) else str(folders[job_id]) if result else None)
        self._log.info("saved the outputs of %d jobs to %s", sum(isinstance(one, str) for one in answers), root)
        return answers

    def _complete_if_saved(self, job_ids: Sequence[str], files: Sequence[str] | None) -> list[str]:
        """Return those jobs of which nothing is missing once their outputs, as they are now, were downloaded."""
        if files is not None:
            return []
        answers = self._ledger.states(job_ids)
        return [job_id for job_id, answer in answers.items() if isinstance(answer, JobState) and answer.final]

    def _announce(self, bar: ProgressBar, files: int, size: int) -> None:
        bar.expect(size)
        self._log.info("downloading %d files, %.1f MB", files, size / 1e6)

    def _outputs_of(self, record: JobRecord | None, files: Sequence[str] | None) -> Sequence[str]:
        if files is not None:
            return files
        if record is None or not record.description:
            return EVERYTHING
        outputs = JobDescription.from_json(record.description).outputs or {}
        return [name for name, target in outputs.items() if target is None]
