"""A job's session directory, as the submitting side writes and reads it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from jasmin_arc._support.text import told
from jasmin_arc.backends.posix.files import private
from jasmin_arc.exceptions import InputFileError, JobNotFoundError
from jasmin_arc.job_info import RemoteFile
from jasmin_arc.staging.inputs import StagedInput

_MAX_DEPTH = 200
"""How many folders inside each other are listed: more than can be saved"""


def write_inputs(folder: Path, inputs: Iterable[StagedInput]) -> None:
    """Make a session directory with copies of a job's inputs.

    :raises InputFileError: if one can no longer be read as it was when the job was checked, or not be written
    """
    try:
        folder.mkdir(mode=0o700, parents=True)
        for staged in inputs:
            target = folder / staged.name
            if "/" in staged.name:
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(target, "xb", opener=private) as writer:
                writer.writelines(staged.pieces())
    except OSError as error:
        raise InputFileError(f"the session folder {folder} cannot be written: {told(error)}") from error


def list_folder(session: Path, path: str, job_id: str, *, recursive: bool = False) -> list[RemoteFile]:
    """List one folder of a session directory: its files, and folders that are no symbolic links."""
    top = _inside(session, path, job_id)
    folders, found = [top], []
    for folder in folders:
        prefix = "" if folder == session else f"{folder.relative_to(session)}/"
        try:
            with os.scandir(folder) as entries:
                listed = [entry for each in entries if (entry := _described(prefix, each, session))]
        except OSError as error:
            if folder != top and isinstance(error, (FileNotFoundError, NotADirectoryError)):
                continue  # Gone meanwhile.
            raise JobNotFoundError(f"the job {job_id} has no folder {prefix!r} in its session folder") from error
        found += listed
        if recursive and prefix.count("/") < _MAX_DEPTH:
            folders += [session / entry.name for entry in listed if entry.is_dir]
    return sorted(found, key=lambda entry: entry.name)


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
