"""Inputs: checked before anything is sent, then uploaded in parallel, the run script last."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Generic, TypeVar

from jasmin_arc._support.parallel import WorkerPool
from jasmin_arc.constants import RUN_SCRIPT_NAME
from jasmin_arc.description import JobDescription, session_name
from jasmin_arc.description.run_script import STDIN_NAME, run_script
from jasmin_arc.exceptions import InputFileError, InvalidJobDescription, JasminArcError

MAX_DEPTH = 100
"""The most folders that a file of an input folder may be below it"""
MAX_FILES = 100_000
"""The most files and folders in one input"""

MakeScript = Callable[[JobDescription, Iterable[str]], bytes]
_Job = TypeVar("_Job", bound=Hashable)


@dataclass(frozen=True)
class StagedInput:
    """One file to upload."""

    name: str
    """Its path in the session directory"""
    source: Path | bytes = field(repr=False)
    """The file, or the content itself"""
    size: int
    """The size in bytes when the job was checked"""
    executable: bool = False
    """Whether its owner may execute it here"""
    commits: bool = False
    """Whether its upload lets the job run, so that it must come last; true of the run script alone"""

    def open(self) -> BinaryIO:
        """Open the content for reading.

        :raises InputFileError: if the file cannot be read any more, or has another size by now
        """
        if isinstance(self.source, bytes):
            return io.BytesIO(self.source)
        stream = _open_file(self.source, f"input {self.name!r}")
        size = os.fstat(stream.fileno()).st_size
        if size != self.size:
            stream.close()
            raise InputFileError(
                f"input {self.name!r}: {self.source} had {self.size} bytes when the job was checked and has {size} now"
            )
        return stream


def plan_inputs(description: JobDescription, *, script: MakeScript = run_script) -> tuple[StagedInput, ...]:
    """Find all files that a job needs, as they are now; folders become the files in them.

    Symbolic links are followed, as with ``cp -L``. Empty folders and inputs that are URLs are left out. The run
    script is the last one, and the one that commits.

    :param script: makes the run script of the place, from the description and the names of the executable inputs
    :raises InputFileError: if one does not exist, cannot be read, is not a file, or has the name of another
    """
    files: dict[str, StagedInput] = {}
    for name, source in description.inputs.items():
        for staged in _staged(name, source):
            if staged.name in files:
                raise InputFileError(
                    f"inputs: two of them would be {staged.name!r} in the session directory: "
                    f"{_origin(files[staged.name])} and {_origin(staged)}"
                )
            files[staged.name] = staged
    executables = [name for name, staged in files.items() if staged.executable]
    _check_places(files, description.url_inputs)
    if description.stdin is not None:
        files[STDIN_NAME] = _stage(STDIN_NAME, description.stdin, "stdin")
    content = script(description, executables)
    return (*files.values(), StagedInput(RUN_SCRIPT_NAME, content, len(content), commits=True))


def upload_all(
    jobs: Mapping[_Job, Sequence[StagedInput]], put: Callable[[_Job, StagedInput], None], *, workers: int = 8
) -> dict[_Job, JasminArcError]:
    """Upload the inputs of jobs in parallel; the input that commits a job follows as soon as its others are there.

    :param jobs: the inputs of each job, by whatever the backend knows the job by
    :param put: uploads one input of one job, or raises; called from several threads
    :returns: by job the first failure; such a job is not committed, unless it was the commit that failed
    """
    failures: dict[_Job, JasminArcError] = {}
    if len(jobs) == 1 and all(len(inputs) == 1 for inputs in jobs.values()):
        # A thread takes longer to start than such an upload.
        workers = 0
    with WorkerPool(workers) as pool:
        for job, inputs in jobs.items():
            _JobUpload(job, inputs, put, pool, failures).start()
        pool.wait()
    return failures


class _JobUpload(Generic[_Job]):
    def __init__(
        self,
        job: _Job,
        inputs: Sequence[StagedInput],
        put: Callable[[_Job, StagedInput], None],
        pool: WorkerPool,
        failures: dict[_Job, JasminArcError],
    ) -> None:
        self._job, self._put, self._pool, self._failures = job, put, pool, failures
        self._inputs = [staged for staged in inputs if not staged.commits]
        self._commit = [staged for staged in inputs if staged.commits]
        self._left = len(self._inputs)
        self._lock = threading.Lock()

    def start(self) -> None:
        for staged in self._inputs or self._commit:
            self._pool.add(partial(self._upload, staged))

    def _upload(self, staged: StagedInput) -> None:
        if self._job in self._failures:
            return
        try:
            self._put(self._job, staged)
        except JasminArcError as error:
            self._failures.setdefault(self._job, error)
            return
        with self._lock:
            self._left -= 1
            commit = self._commit if self._left == 0 else []
        for last in commit:
            # It goes first, so that a complete job does not wait for the inputs of other jobs.
            self._pool.add(partial(self._upload, last), first=True)


def _staged(top: str, source: str | Path | bytes) -> Iterator[StagedInput]:
    """The file, or the files below the folder, in the order of their names; nothing for a URL."""
    if isinstance(source, bytes):
        yield _stage(top, source)
    if isinstance(source, Path):
        yield from _walk(top, source)


def _walk(top: str, start: Path) -> Iterator[StagedInput]:
    waiting: list[tuple[str, Path, tuple[tuple[int, int], ...]]] = [(top, start, ())]
    seen = 0
    while waiting:
        name, path, above = waiting.pop()
        seen += 1
        if seen > MAX_FILES:
            raise InputFileError(f"input {top!r}: more than {MAX_FILES} files; send them as one archive")
        found = _status(path, f"input {name!r}")
        if not stat.S_ISDIR(found.st_mode):
            yield _stage(name, path)
            continue
        here = (found.st_dev, found.st_ino)
        if here in above:
            raise InputFileError(f"input {top!r}: the symbolic link {path} leads back to a folder that it is in")
        if len(above) > MAX_DEPTH:
            raise InputFileError(f"input {top!r}: more than {MAX_DEPTH} folders inside each other: {path}")
        inside = sorted(_entries(top, path), reverse=True)
        waiting += [(_checked_name(f"{name}/{entry}", path / entry), path / entry, (*above, here)) for entry in inside]


def _entries(name: str, path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.iterdir()]
    except OSError as error:
        raise InputFileError(f"input {name!r}: cannot read the folder {path}: {error.strerror}") from error


def _checked_name(name: str, path: Path) -> str:
    try:
        return session_name(name, "inputs")
    except InvalidJobDescription as error:
        raise InputFileError(f"input {str(path)!r}: cannot be sent under its name: {error}") from error


def _stage(name: str, source: Path | bytes, what: str = "") -> StagedInput:
    """Look at one file.

    :param what: what to call it in an error
    """
    if isinstance(source, bytes):
        return StagedInput(name, source, len(source))
    with _open_file(source, what or f"input {name!r}") as stream:
        found = os.fstat(stream.fileno())
        return StagedInput(name, source, found.st_size, bool(found.st_mode & stat.S_IXUSR))


def _status(path: Path, what: str) -> os.stat_result:
    try:
        return path.stat()
    except (OSError, ValueError) as error:
        raise InputFileError(f"{what}: {_reason(path, error)}") from error


def _open_file(path: Path, what: str) -> BinaryIO:
    mode = _status(path, what).st_mode
    if stat.S_ISDIR(mode):
        raise InputFileError(f"{what}: {path} is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise InputFileError(f"{what}: {path} is not a file but a pipe, a socket or a device")
    try:
        # A pipe that has taken the file's place since must not block.
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        raise InputFileError(f"{what}: {_reason(path, error)}") from error


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path} is a symbolic link to nothing" if path.is_symlink() else f"{path} does not exist"
    return f"cannot read {path}: {getattr(error, 'strerror', None) or error}"


def _origin(staged: StagedInput) -> str:
    return "the content given" if isinstance(staged.source, bytes) else str(staged.source)


def _check_places(files: Mapping[str, StagedInput], fetched: Collection[str]) -> None:
    """Refuse two things of one name, one of them fetched from a URL, and a file where another needs a folder."""
    for name in fetched:
        if name in files:
            raise InputFileError(f"inputs: {name!r} is both a URL's and {_origin(files[name])}")
    names = {*files, *fetched}
    for name in sorted(names):
        for parent in map(str, PurePosixPath(name).parents):
            if parent in names:
                raise InputFileError(f"inputs: {parent!r} cannot be a file, for {name!r} needs a folder of that name")
