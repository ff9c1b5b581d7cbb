"""A job's session directory, as the submitting side writes and reads it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from jasmin_arc.backends.posix.files import private
from jasmin_arc.exceptions import InputFileError, JobNotFoundError
from jasmin_arc.job_info import RemoteFile
from jasmin_arc.staging.inputs import StagedInput

_BLOCK = 1 << 20
_MAX_DEPTH = 200
"""How many folders inside each other are listed: more than can be saved"""


def write_inputs(folder: Path, inputs: Iterable[StagedInput]) -> None:
    """Make a session directory with copies of a job's inputs.

    :raises InputFileError: if one can no longer be read as it was when the job was checked, or not be written
    """
    try:
        folder.mkdir(mode=0o700, parents=True)
        for staged in inputs:
            _write(folder / staged.name, staged)
    except OSError as error:
        raise InputFileError(f"the session folder {folder} cannot be written: {error}") from error


def _write(target: Path, staged: StagedInput) -> None:
    if "/" in staged.name:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(target, "xb", opener=private) as writer:
        if isinstance(staged.source, bytes):
            writer.write(staged.source)
            return
        with staged.open() as reader:
            shutil.copyfileobj(reader, writer, _BLOCK)
        if writer.tell() != staged.size:
            raise InputFileError(f"input {staged.name!r}: {staged.source} changed while it was copied")


def list_folder(session: Path, path: str, job_id: str, *, recursive: bool = False) -> list[RemoteFile]:
    """List one folder of a session directory: its files, and folders that are no symbolic links.

    :param recursive: whether the contents of its folders are listed as well
    :raises JobNotFoundError: if there is none
    """
    folder = _inside(session, path, job_id)
    prefix = "" if folder == session else f"{folder.relative_to(session)}/"
    found = list(_entries(session, folder, prefix, job_id))
    for entry in found if recursive else ():
        # The list grows meanwhile.
        if entry.is_dir and entry.name.count("/") < _MAX_DEPTH:
            found += _entries(session, session / entry.name, f"{entry.name}/", job_id, missing_ok=True)
    return sorted(found, key=lambda entry: entry.name)


def _entries(
    session: Path, folder: Path, prefix: str, job_id: str, *, missing_ok: bool = False
) -> Iterator[RemoteFile]:
    try:
        with os.scandir(folder) as entries:
            yield from filter(None, (_described(prefix, entry, session) for entry in entries))
    except OSError as error:
        if not (missing_ok and isinstance(error, (FileNotFoundError, NotADirectoryError))):
            raise JobNotFoundError(f"the job {job_id} has no folder {prefix!r} in its session folder") from error


def _described(prefix: str, entry: os.DirEntry[str], session: Path) -> RemoteFile | None:
    name = prefix + entry.name
    if entry.is_dir(follow_symlinks=False):
        return RemoteFile(name, is_dir=True)
    try:
        if not entry.is_file() or (entry.is_symlink() and not _is_inside(session, Path(entry.path))):
            return None
        return RemoteFile(name, entry.stat().st_size)
    except OSError:
        return None  # Gone meanwhile, as a running job's files may be.


def open_file(session: Path, path: str, offset: int, job_id: str) -> BinaryIO:
    """Open a file of a session directory.

    :raises JobNotFoundError: if there is none
    """
    try:
        # Without waiting, should it be a pipe.
        descriptor = os.open(_inside(session, path, job_id), os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise _no_file(job_id, path) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _no_file(job_id, path)
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _inside(session: Path, path: str, job_id: str) -> Path:
    target = session / path.strip("/") if path.strip("/") else session
    if ".." in target.parts or "\0" in path or not _is_inside(session, target):
        raise _no_file(job_id, path)
    return target


def _is_inside(session: Path, target: Path) -> bool:
    top = os.path.realpath(session)
    return os.path.commonpath([top, os.path.realpath(target)]) == top


def _no_file(job_id: str, path: str) -> JobNotFoundError:
    return JobNotFoundError(f"the job {job_id} has no file {path!r} in its session folder")
