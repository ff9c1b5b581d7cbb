"""Inputs: checked before anything is sent, then uploaded in parallel, the run script last."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Callable, Collection, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

from jasmin_arc._support.parallel import WorkerPool
from jasmin_arc.constants import RUN_SCRIPT_NAME
from jasmin_arc.description import JobDescription, session_name
from jasmin_arc.description.run_script import STDIN_NAME, run_script
from jasmin_arc.exceptions import InputFileError, InvalidJobDescription, JasminArcError

MAX_DEPTH = 100
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
        """Open the content for reading; a file that has another size by now is an error."""
        if isinstance(self.source, bytes):
            return io.BytesIO(self.source)
        stream = _open_file(self.source, self.name)
        size = os.fstat(stream.fileno()).st_size
        if size != self.size:
            stream.close()
            raise InputFileError(
                f"input {self.name!r}: {self.source} had {self.size} bytes when the job was checked and has {size} now"
            )
        return stream

    def pieces(self, most: int = 1 << 20) -> Generator[bytes, None, None]:
        """Yield the content in pieces: as many bytes as were announced. A file that changes meanwhile is an error."""
        left = self.size
        try:
            with self.open() as stream:
                while left:
                    piece = stream.read(min(most, left))
                    if not piece:
                        raise InputFileError(f"input {self.name!r}: it became shorter while it was sent")
                    left -= len(piece)
                    yield piece
                if stream.read(1):
                    raise InputFileError(f"input {self.name!r}: it grew while it was sent")
        except OSError as error:
            raise InputFileError(f"input {self.name!r}: cannot be read: {error.strerror}") from error


def plan_inputs(description: JobDescription, *, script: MakeScript = run_script) -> tuple[StagedInput, ...]:
    """Find all files that a job needs, as they are now; folders become the files in them.

    Symbolic links are followed, as with ``cp -L``. Empty folders and inputs that are URLs are left out. The run
    script is the last one, and the one that commits.

    :param script: makes the run script of the place, from the description and the names of the executable inputs
    """
    files: dict[str, StagedInput] = {}
    for name, source in description.inputs.items():
        if isinstance(source, str):
            continue
        for staged in [_stage(name, source)] if isinstance(source, bytes) else _walk(name, source):
            if staged.name in files:
                raise InputFileError(
                    f"inputs: two of them would be {staged.name!r} in the session directory: "
                    f"{_origin(files[staged.name])} and {_origin(staged)}"
                )
            files[staged.name] = staged
    executables = [name for name, staged in files.items() if staged.executable]
    _check_places(files, description.url_inputs)
    if description.stdin is not None:
        files[STDIN_NAME] = _stage(STDIN_NAME, description.stdin)
    content = script(description, executables)
    return (*files.values(), StagedInput(RUN_SCRIPT_NAME, content, len(content), commits=True))


def upload_all(
    jobs: Mapping[_Job, Sequence[StagedInput]], put: Callable[[_Job, StagedInput], None], *, workers: int = 8
) -> dict[_Job, JasminArcError]:
    """Upload the inputs of jobs in parallel; the input that commits a job follows as soon as its others are there.

    :param put: uploads one input of one job, or raises; called from several threads
    :returns: by job the first failure; such a job is not committed, unless it was the commit that failed
    """
    failures: dict[_Job, JasminArcError] = {}
    left = {job: sum(not staged.commits for staged in inputs) for job, inputs in jobs.items()}
    lock = threading.Lock()

    def upload(job: _Job, staged: StagedInput) -> None:
        if job in failures:
            return
        try:
            put(job, staged)
        except JasminArcError as error:
            failures.setdefault(job, error)
            return
        with lock:
            left[job] -= 1
            is_complete = left[job] == 0
        if is_complete:
            # The commit goes first, so that a complete job does not wait for the inputs of other jobs.
            start(job, commits=True, first=True)

    def start(job: _Job, *, commits: bool, first: bool = False) -> None:
        for staged in jobs[job]:
            if staged.commits is commits:
                pool.add(partial(upload, job, staged), first=first)

    # For a single upload, a thread takes longer to start than the upload itself.
    is_single = len(jobs) == 1 and all(len(inputs) == 1 for inputs in jobs.values())
    with WorkerPool(0 if is_single else workers) as pool:
        for job in jobs:
            start(job, commits=not left[job])
        pool.wait()
    return failures


def _walk(top: str, start: Path) -> Iterator[StagedInput]:
    """The file, or the files below the folder, in the order of their names."""
    waiting: list[tuple[str, Path, tuple[tuple[int, int], ...]]] = [(top, start, ())]
    seen = 0
    while waiting:
        name, path, above = waiting.pop()
        seen += 1
        if seen > MAX_FILES:
            raise InputFileError(f"input {top!r}: more than {MAX_FILES} files; send them as one archive")
        found = _status(path, name)
        if not stat.S_ISDIR(found.st_mode):
            yield _stage(name, path)
            continue
        here = (found.st_dev, found.st_ino)
        if here in above:
            raise InputFileError(f"input {top!r}: the symbolic link {path} leads back to a folder that it is in")
        if len(above) > MAX_DEPTH:
            raise InputFileError(f"input {top!r}: more than {MAX_DEPTH} folders inside each other: {path}")
        waiting += [(entry, there, (*above, here)) for entry, there in _inside(top, name, path)]


def _inside(top: str, name: str, path: Path) -> Iterator[tuple[str, Path]]:
    """The names and the paths of what is in a folder, the last one first."""
    try:
        entries = sorted((entry.name for entry in path.iterdir()), reverse=True)
    except OSError as error:
        raise InputFileError(f"input {top!r}: cannot read the folder {path}: {error.strerror}") from error
    for entry in entries:
        try:
            yield session_name(f"{name}/{entry}", "inputs"), path / entry
        except InvalidJobDescription as error:
            raise InputFileError(f"input {str(path / entry)!r}: cannot be sent under its name: {error}") from error


def _stage(name: str, source: Path | bytes) -> StagedInput:
    if isinstance(source, bytes):
        return StagedInput(name, source, len(source))
    with _open_file(source, name) as stream:
        found = os.fstat(stream.fileno())
        return StagedInput(name, source, found.st_size, bool(found.st_mode & stat.S_IXUSR))


def _status(path: Path, name: str) -> os.stat_result:
    try:
        return path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(path, name, error) from error


def _open_file(path: Path, name: str) -> BinaryIO:
    mode = _status(path, name).st_mode
    if stat.S_ISDIR(mode):
        raise InputFileError(f"{_what(name)}: {path} is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise InputFileError(f"{_what(name)}: {path} is not a file but a pipe, a socket or a device")
    try:
        # A pipe that has taken the file's place since must not block.
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        raise _unreadable(path, name, error) from error


def _unreadable(path: Path, name: str, error: Exception) -> InputFileError:
    reason = f"cannot read {path}: {getattr(error, 'strerror', None) or error}"
    if isinstance(error, FileNotFoundError):
        reason = f"{path} is a symbolic link to nothing" if path.is_symlink() else f"{path} does not exist"
    return InputFileError(f"{_what(name)}: {reason}")


def _what(name: str) -> str:
    return "stdin" if name == STDIN_NAME else f"input {name!r}"


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
