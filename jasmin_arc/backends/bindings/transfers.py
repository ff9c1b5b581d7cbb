"""Lists directories and downloads files of a job through the bindings' data library."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from jasmin_arc.backends.bindings.log_capture import LogLine, reasons
from jasmin_arc.backends.bindings.translate import JobAddress
from jasmin_arc.exceptions import JasminArcError, JobNotFoundError, OutputError, ServerUnavailableError
from jasmin_arc.job_info import RemoteFile

_NO_SUCH_FILE = 2
NOT_A_DIRECTORY = 20
_INACTIVITY = 300


class Transfers:
    """Transfers with one user configuration."""

    def __init__(self, arc: Any, user_config: Any) -> None:
        self._arc = arc
        self._user_config = user_config

    def list_directory(self, address: JobAddress, path: str) -> list[RemoteFile] | int:
        """List one directory of the session directory, or return the number of the error."""
        handle = self._handle(address, f"session/{path}".rstrip("/"))
        files, status = handle.__ref__().List()
        if not status.Passed():
            return int(status.GetErrno())
        return [entry for entry in (self._remote_file(file, path) for file in files) if entry is not None]

    def download(self, address: JobAddress, path: str) -> BinaryIO:
        """Download a file into one of ours that has no name, and return that, at its beginning.

        :param path: the path below the job's own URL, such as ``session/stdout``
        :raises JobNotFoundError: if there is no such job or file
        :raises OutputError: if it did not arrive whole
        """
        size = self._size(address, path)
        with _private_folder() as folder:
            self._copy(address, path, folder / "file")
            file = (folder / "file").open("rb")
        found = os.fstat(file.fileno()).st_size
        if size is not None and found < size:
            file.close()
            raise OutputError(f"{path!r} from {address.id} ended after {found} of {size} bytes; try again")
        return file

    def check_exists(self, address: JobAddress, path: str) -> None:
        """Ask for a file or directory.

        :raises JobNotFoundError: if there is none
        :raises ServerUnavailableError: if there is no answer
        """
        with _private_folder() as folder:
            self._copy(address, path, folder / "file")

    def _copy(self, address: JobAddress, path: str, destination: Path) -> None:
        source = self._handle(address, path)
        target = self._arc.DataHandle(self._arc.URL(f"file://{destination}"), self._user_config)
        target.__ref__().SetTries(1)
        mover = self._arc.DataMover()
        mover.retry(False)
        mover.secure(False)
        mover.passive(True)
        mover.verbose(False)
        mover.set_default_max_inactivity_time(_INACTIVITY)
        status = mover.Transfer(source.__ref__(), target.__ref__(), self._arc.FileCache(), self._arc.URLMap())
        if not status.Passed():
            raise _download_error(address, path, int(status.GetErrno()), str(status.GetDesc() or status.GetStrErrno()))

    def _size(self, address: JobAddress, path: str) -> int | None:
        """The size before the download; a file that is still being written may be larger by then."""
        source = self._handle(address, path)
        info = self._arc.FileInfo("")
        source.__ref__().Stat(info, self._arc.DataPoint.INFO_TYPE_CONTENT)
        if info.GetType() == self._arc.FileInfo.file_type_dir:
            # Asked for a directory, the compute element would send a page about it.
            raise JobNotFoundError(f"{path!r} of {address.id} is a directory, not a file")
        return int(info.GetSize()) if info.CheckSize() else None

    def _handle(self, address: JobAddress, path: str) -> Any:
        """A handle on a file of the job; it must live as long as what its ``__ref__`` returned is in use."""
        url = self._arc.URL(address.id.rstrip("/"))
        # Added to a parsed URL, the path is taken as it is: no options, no escapes.
        url.ChangePath(f"{url.Path()}/{path}")
        handle = self._arc.DataHandle(url, self._user_config)
        handle.__ref__().SetTries(1)
        handle.__ref__().SetSecure(False)
        return handle

    def _remote_file(self, file: Any, folder: str) -> RemoteFile | None:
        is_dir = file.GetType() == self._arc.FileInfo.file_type_dir
        name = str(file.GetName()).strip("/")
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            # A server that says so is broken or hostile; such a name never becomes a path.
            return None
        size = int(file.GetSize()) if file.CheckSize() and not is_dir else None
        return RemoteFile(name=f"{folder}/{name}" if folder else name, size=size, is_dir=is_dir)


@contextmanager
def _private_folder() -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix="jasmin_arc_") as folder:
            yield Path(folder)
    except OSError as error:
        raise OutputError(f"no space for a download in {tempfile.gettempdir()}: {error}") from error


def inside(path: str) -> str | None:
    """Return the path in its simplest form, or ``None`` if it leads out of the session directory."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return None if ".." in parts or "\0" in path else "/".join(parts)


def listing_error(address: JobAddress, path: str, number: int, lines: list[LogLine]) -> JasminArcError:
    """Translate a listing that failed, where the reason is known."""
    if number == NOT_A_DIRECTORY:
        return JobNotFoundError(f"{path!r} of {address.id} is a file, not a directory")
    why = reasons(lines) or "no reason was given"
    return ServerUnavailableError(f"cannot list the files of {address.id} in {path or '.'!r}: {why}")


def _download_error(address: JobAddress, path: str, number: int, why: str) -> JasminArcError:
    if number == _NO_SUCH_FILE:
        return JobNotFoundError(f"there is no {path!r} at {address.id} ({why})")
    return ServerUnavailableError(f"cannot download {path!r} from {address.id}: {why}")
