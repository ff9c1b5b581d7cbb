"""Contents of inputs that were given as bytes: kept in files, once each, so that a job can be submitted again."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from jasmin_arc.exceptions import InputFileError

if TYPE_CHECKING:
    from typing_extensions import TypeGuard

_NAME = re.compile(r"[0-9a-f]{64}\Z")
_NOT_KEPT = ".not-kept"
_PIECE = 1 << 20


class Spool:
    """A folder with one file for each content, named by its SHA-256.

    The job list says which job needs which content. Threads and processes may share the folder: a file is complete, or
    it does not exist.

    :param folder: an absolute path; it is created when it is needed, and only its owner may enter it
    :param log: told if contents cannot be kept
    """

    def __init__(self, folder: Path, log: logging.Logger) -> None:
        self.folder = folder
        self._log = log
        self._warned = False
        self._verified: set[tuple[str, int, int, int]] = set()

    def name_of(self, source: object) -> str | None:
        """Return the name of the file, if the source of an input is a content in this folder."""
        return source.name if self._is_here(source) and _NAME.match(source.name) else None

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

    def erase(self, names: Iterable[str]) -> None:
        """Erase the files with these names. One that cannot be erased stays."""
        for name in names:
            with suppress(OSError):
                (self.folder / name).unlink()

    def verify(self, source: object) -> None:
        """Check that the source of an input, if it is a file of this folder, has the content that was kept in it.

        :raises InputFileError: if it has another one, or is not there, or cannot be read
        """
        if not self._is_here(source):
            return
        problem = self._problem(source)
        if problem:
            raise InputFileError(
                f"contents of inputs that were given as bytes {problem}; "
                "submit the job as a new one, with these contents"
            )

    def _problem(self, path: Path) -> str:
        if path.name.endswith(_NOT_KEPT):
            return "could not be kept when the job was submitted, as there was no space or no permission"
        try:
            return "" if self._is_sound(path) else f"are no longer there: {path} has other contents now"
        except OSError as error:
            return f"are no longer there: {path}: {error.strerror}"

    def _is_here(self, source: object) -> TypeGuard[Path]:
        return isinstance(source, Path) and source.parent == self.folder

    def _kept(self, path: Path, content: bytes) -> bool:
        try:
            if not _has_size(path, len(content)):
                _write(path, content)
        except OSError as error:
            if not self._warned:
                self._log.warning(
                    "contents of inputs cannot be kept in %s (%s): their jobs are submitted all the same, but "
                    "cannot be submitted again by their ids; free some space, or look at the folder's permissions",
                    self.folder,
                    error.strerror,
                )
            self._warned = True
            return False
        self._warned = False
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


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def _write(path: Path, content: bytes) -> None:
    # The mode counts for the last folder alone.
    path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def _hash(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            found.update(piece)
    return found.hexdigest()
