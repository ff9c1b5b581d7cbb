"""The files of jobs: saving outputs, and looking inside jobs that run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, overload

from jasmin_arc._support.bulk import JobLike, JobsLike, all_or_partial
from jasmin_arc._support.tracebacks import interrupted, shortens_tracebacks
from jasmin_arc.constants import STDOUT_NAME
from jasmin_arc.interface.parts import Parts
from jasmin_arc.interface.waiting import stopped
from jasmin_arc.job_info import RemoteFile


@shortens_tracebacks
class Files(Parts):
    """Files of jobs are saved and read."""

    def save_job_outputs(
        self,
        job_id: JobLike,
        *,
        directory: str | os.PathLike[str] | None = None,
        files: Sequence[str] | None = None,
        overwrite: bool = False,
        progress: bool = False,
    ) -> str | None:
        """Download the outputs of a job and return the path of the directory that they are in.

        The outputs that the job's description names (by default ``OUTPUT_FILE``) are saved under their names, standard
        output and error as ``stdout.txt`` and ``stderr.txt``. Of a job that was submitted with another tool or on
        another machine, all files are saved that it has kept. An interrupted download leaves nothing half-written.

        :param directory: where to save them; made if it is not there (default: a new temporary directory)
        :param files: names or patterns of what to save, besides stdout and stderr
        :param overwrite: whether files that are there already are replaced
        :param progress: show a progress bar
        :returns: the directory, or ``None`` where there was nothing to save
        :raises JobNotFoundError: if no job with the given ID could be found
        :raises OutputError: if a download failed or a file is there already
        """
        folder = Path(directory).expanduser() if directory is not None else None
        return self._saver.save(self._id(job_id), folder, files=files, overwrite=overwrite, progress=progress)

    def save_outputs(
        self,
        job_ids: JobsLike,
        directory: str | os.PathLike[str] = ".",
        *,
        files: Sequence[str] | None = None,
        overwrite: bool = False,
        progress: bool = False,
    ) -> list[str | None]:
        """Download the outputs of many jobs, each into a folder of its own, and return the folders, in order.

        A folder is called like the job: its name, a hyphen, and the first eight characters of the last part of its id,
        or more where jobs of the call share these. For the rest see :meth:`save_job_outputs`.

        :param directory: where the folders are made (default: the present one)
        :raises PartialFailureError: if some could not be saved
        """
        folders = self._saver.save_many(
            self._ids(job_ids), Path(directory).expanduser(), files=files, overwrite=overwrite, progress=progress
        )
        return all_or_partial(folders, "saved")

    def list_files(self, job_id: JobLike, path: str = "") -> list[RemoteFile]:
        """List the job's files, or those of one of its folders, with their sizes; also while it runs.

        :raises JobNotFoundError: if there is no such job or folder
        """
        return self.backend.list_files(self._id(job_id), path)

    @overload
    def read(self, job_id: JobLike, name: str = ..., *, limit: int | None = ..., encoding: str = ...) -> str: ...
    @overload
    def read(self, job_id: JobLike, name: str = ..., *, limit: int | None = ..., encoding: None) -> bytes: ...
    def read(
        self, job_id: JobLike, name: str = STDOUT_NAME, *, limit: int | None = None, encoding: str | None = "utf-8"
    ) -> str | bytes:
        """Return the content of one of the job's files; also while it runs.

        :param name: the file: ``"stdout"`` or ``"stderr"``, whatever the job calls it, or any that :meth:`list_files`
            shows
        :param limit: the most bytes to read
        :param encoding: how to read it as text, where what cannot be read is replaced; ``None`` returns bytes
        :raises JobNotFoundError: if there is no such job or file
        """
        from jasmin_arc.staging.reading import read_all

        content = read_all(self.backend, self._id(job_id), name, limit=limit)
        return content if encoding is None else content.decode(encoding, "replace")

    def open(self, job_id: JobLike, name: str = STDOUT_NAME, *, offset: int = 0) -> BinaryIO:
        """Open one of the job's files for reading, for those that are too large for :meth:`read`.

        :param offset: the byte to start at
        :raises JobNotFoundError: if there is no such job or file
        """
        return self.backend.open(self._id(job_id), name, offset)

    @overload
    def follow(self, job_id: JobLike, name: str = ..., *, encoding: str = ...) -> Iterator[str]: ...
    @overload
    def follow(self, job_id: JobLike, name: str = ..., *, encoding: None) -> Iterator[bytes]: ...
    def follow(
        self, job_id: JobLike, name: str = STDOUT_NAME, *, encoding: str | None = "utf-8"
    ) -> Iterator[str] | Iterator[bytes]:
        """Yield the content of one of the job's files as it grows, until the job has ended.

        A file that is not there yet is waited for, and so is a server that does not answer, with a warning in the log.

        :param encoding: how to read it as text, where what cannot be read is replaced; ``None`` yields bytes
        :raises JobNotFoundError: if there is no such job
        :raises KeyboardInterrupt: at Ctrl-C; its message says how to go on
        """
        from jasmin_arc.staging.reading import decoded, follow

        blocks = follow(self.backend, self._id(job_id), name, log=self.logger)
        return _interruptible(blocks if encoding is None else decoded(blocks, encoding))


def _interruptible(blocks: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from blocks
    except KeyboardInterrupt:
        raise interrupted(stopped(1, back="follow")) from None
