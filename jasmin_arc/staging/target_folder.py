"""The folder that outputs are saved in: files appear in it whole or not at all, and nothing leaves it."""

from __future__ import annotations

import errno
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from jasmin_arc.exceptions import Advice, OutputError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota on this file system is used up",
    errno.EFBIG: "the file is too large for this file system or your limits",
    errno.EEXIST: "it is there already",
    errno.EISDIR: "a folder stands in its place",
    errno.ENOTDIR: "a symbolic link or a file stands where a folder is needed",
    errno.ELOOP: "a symbolic link stands where a folder is needed",
    errno.ENAMETOOLONG: "the name is too long for this file system",
    errno.EACCES: "you may not write there",
    errno.EROFS: "the file system is read-only",
}


class TargetFolder:
    """A folder to save files in; it is made when the first one is written. Every error is an :class:`OutputError`.

    Threads may share it. Names are given as the parts between the slashes. Below the folder no symbolic link is
    followed. A file is written under a temporary name beside its final one, and renamed once it is complete.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path = path
        self._overwrite = overwrite
        self._lock = threading.Lock()
        self._temporary: dict[str, int] = {}
        self._written: set[tuple[int, int]] = set()
        self._abandoned = False

    def refuse_existing(self, names: Iterable[tuple[str, ...]]) -> None:
        """Raise if one of the files is there already and must not be replaced."""
        for parts in names:
            if not self._overwrite and os.path.lexists(self.path.joinpath(*parts)):
                raise self._error(parts, OSError(errno.EEXIST, ""))

    def write(self, parts: tuple[str, ...], blocks: Iterable[bytes]) -> Path:
        try:
            with self._folder(parts[:-1]) as folder, self._new_file(folder, parts[-1]) as file:
                for block in blocks:
                    self._go_on()
                    file.write(block)
        except OSError as error:
            raise self._error(parts, error) from error
        return self.path.joinpath(*parts)

    def make_folder(self, parts: tuple[str, ...]) -> Path:
        try:
            with self._folder(parts):
                return self.path.joinpath(*parts)
        except OSError as error:
            raise self._error(parts, error) from error

    def abandon(self) -> None:
        """Remove the files that are not complete; what is still being written will never appear."""
        with self._lock:
            self._abandoned = True
            for temporary, folder in self._temporary.items():
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
            self._temporary.clear()

    @contextmanager
    def _folder(self, parts: tuple[str, ...]) -> Iterator[int]:
        """Open a folder below this one, step by step so that no link is followed; make what is missing."""
        self._go_on()
        self.path.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.path, _FOLDER)
        try:
            for part in parts:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=folder)
                inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)

    @contextmanager
    def _new_file(self, folder: int, name: str) -> Iterator[BinaryIO]:
        temporary = f".jasmin_arc-{secrets.token_hex(8)}.part"
        with self._lock:
            self._go_on()
            descriptor = os.open(temporary, _NEW_FILE, 0o666, dir_fd=folder)
            self._temporary[temporary] = folder
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
            with self._lock:
                self._go_on()
                self._rename(folder, temporary, name)
                del self._temporary[temporary]
                self._written.add(_identity(folder, name))
        finally:
            with self._lock:
                if self._temporary.pop(temporary, None) is not None:
                    os.unlink(temporary, dir_fd=folder)

    def _rename(self, folder: int, temporary: str, name: str) -> None:
        if not self._overwrite:
            _rename_to_new(folder, temporary, name)
            return
        # Two names of the server can be one here, where the file system takes "A" for "a".
        with suppress(FileNotFoundError):
            if _identity(folder, name) in self._written:
                raise OutputError(f"two outputs would both be {name!r} in {self.path}")
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)

    def _go_on(self) -> None:
        if self._abandoned:
            raise OutputError(f"saving to {self.path} was stopped")

    def _error(self, parts: tuple[str, ...], error: OSError) -> OutputError:
        reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
        advice = Advice("choose another directory, or {overwrite}") if error.errno == errno.EEXIST else ""
        return OutputError(f"cannot save {self.path.joinpath(*parts)}: {reason}", advice=advice)


def _rename_to_new(folder: int, temporary: str, name: str) -> None:
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with suppress(FileNotFoundError):
            _identity(folder, name)
            raise FileExistsError(errno.EEXIST, "", name) from error
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    else:
        os.unlink(temporary, dir_fd=folder)


def _identity(folder: int, name: str) -> tuple[int, int]:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return found.st_dev, found.st_ino
