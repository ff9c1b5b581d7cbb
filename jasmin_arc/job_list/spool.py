"""Contents of inputs that were given as bytes: kept in files, once each, so that a job can be submitted again."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from jasmin_arc._support.whole_file import write_whole
from jasmin_arc.exceptions import InputFileError

_NAME = re.compile(r"[0-9a-f]{64}\Z")
_NOT_KEPT = ".not-kept"
_NOT_KEPT_WARNING = (
    "contents of inputs cannot be kept in %s (%s): their jobs are submitted all the same, but cannot be submitted "
    "again by their ids; free some space, or look at the folder's permissions"
)
_NEW = ".new-"
_NEW_SECONDS = 3600
"""After how long without a change a file that is being written counts as left by a process that was killed"""
_PIECE = 1 << 20


class Spool:
    """A folder with one file for each content, named by its SHA-256.

    The job list says which job needs which content. Threads and processes may share the folder: a file is complete, or
    it does not exist. A folder that others may enter, or that is somebody else's, is not used: no file is kept there
    and none is erased.
    """

    def __init__(self, folder: Path, log: logging.Logger) -> None:
        self.folder = folder
        self._log = log
        self._failed = False
        self._verified: set[tuple[str, int, int, int]] = set()

    def name_of(self, source: object) -> str | None:
        """Return the name of the file, if the source of an input is a content in this folder."""
        path = self._own(source)
        return path.name if path and _NAME.match(path.name) else None

    def keep(self, content: bytes) -> Path:
        """Keep a content, and return the path of its file.

        If that fails, a warning is logged, there is no file of the path, and :meth:`verify` refuses the path.
        """
        path = self.folder / hashlib.sha256(content).hexdigest()
        return path if self._kept(path, content) else path.with_name(path.name + _NOT_KEPT)

    def restore(self, contents: Mapping[str, bytes]) -> None:
        """Write contents again, by the names of their files, if another process has erased them meanwhile."""
        for name, content in contents.items():
            self._kept(self.folder / name, content)

    def erase_all_but(self, needed: Collection[str]) -> None:
        """Erase other contents than these, and what killed processes left, as far as that can be erased."""
        for path in map(self.folder.joinpath, self.names().difference(needed)):
            with suppress(OSError):
                is_left_over = path.name.startswith(_NEW) and time.time() - path.stat().st_mtime > _NEW_SECONDS
                if is_left_over or _NAME.match(path.name):
                    path.unlink()

    def verify(self, source: object) -> None:
        """Check that the source of an input, if it is a file of this folder, has the content that was kept in it."""
        path = self._own(source)
        if path and (problem := self._problem(path)):
            raise InputFileError(
                f"contents of inputs that were given as bytes {problem}",
                advice="submit the job as a new one, with these contents",
            )

    def _problem(self, path: Path) -> str:
        if path.name.endswith(_NOT_KEPT):
            return "could not be kept when the job was submitted, as there was no space or no permission"
        try:
            return "" if self._is_sound(path) else f"are no longer there: {path} has other contents now"
        except OSError as error:
            return f"are no longer there: {path}: {error.strerror}"

    def _own(self, source: object) -> Path | None:
        return source if isinstance(source, Path) and source.parent == self.folder else None

    def names(self) -> set[str]:
        with suppress(OSError):
            _check_private(self.folder)
            return set(os.listdir(self.folder))  # noqa: PTH208 - much faster for many files
        return set()

    def _kept(self, path: Path, content: bytes) -> bool:
        is_there = False
        try:
            # The mode counts for the last folder alone.
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            _check_private(self.folder)
            # A file that cannot be read is replaced, as one that is not there.
            with suppress(OSError):
                is_there = self._is_sound(path)
            if not is_there:
                write_whole(path, content, prefix=_NEW)
        except OSError as error:
            if not self._failed:
                self._log.warning(_NOT_KEPT_WARNING, self.folder, error.strerror)
            self._failed = True
            return False
        self._failed = False
        return True

    def _is_sound(self, path: Path) -> bool:
        found = path.stat()
        # Many jobs may share a content; it is read once, unless it changes.
        mark = (path.name, found.st_ino, found.st_size, found.st_mtime_ns)
        if mark not in self._verified:
            if _hash(path) != path.name:
                return False
            self._verified.add(mark)
        return True


def _check_private(folder: Path) -> None:
    """Check that a folder, and a symbolic link that leads to it, are there and ours alone."""
    found = folder.stat()
    if {folder.lstat().st_uid, found.st_uid} != {os.geteuid()}:
        raise PermissionError(errno.EACCES, "it belongs to another user")
    if found.st_mode & 0o077:
        raise PermissionError(errno.EACCES, "other users may enter it; chmod 700 makes it yours alone")


def _hash(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            found.update(piece)
    return found.hexdigest()
