"""Inputs: checked before anything is sent, then uploaded in parallel, the run script last."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from jasmin_arc._support.parallel import WorkerPool
from jasmin_arc.constants import RUN_SCRIPT_NAME
from jasmin_arc.description import JobDescription, is_url, session_name
from jasmin_arc.description.run_script import STDIN_NAME, run_script
from jasmin_arc.exceptions import InputFileError, InvalidJobDescription, JasminArcError

DEEPEST_FOLDER = 100
"""The most folders that a file of an input folder may be below it"""
MOST_FILES = 100_000
"""The most files and folders in one input"""


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

    def open(self) -> BinaryIO:
        """Open the content for reading.

        :raises InputFileError: if the file cannot be read any more, or has another size by now
        """
        if isinstance(self.source, bytes):
            return io.BytesIO(self.source)
        stream = _open_file(self.name, self.source)
        size = os.fstat(stream.fileno()).st_size
        if size != self.size:
            stream.close()
            raise InputFileError(
                f"input {self.name!r}: {self.source} had {self.size} bytes when the job was checked and has {size} now"
            )
        return stream


def plan_inputs(description: JobDescription) -> tuple[StagedInput, ...]:
    """Find all files that a job needs, as they are now; folders become the files in them.

    Symbolic links are followed, as with ``cp -L``. Empty folders and inputs that are URLs are left out. The last
    one is always the run script.

    :raises InputFileError: if one does not exist, cannot be read, is not a file, or has the name of another
    """
    files: dict[str, StagedInput] = {}
    for name, source in description.inputs.items():
        for staged in [] if is_url(source) else _expand(name, source):
            if staged.name in files:
                raise InputFileError(
                    f"inputs: two of them would be {staged.name!r} in the session directory: "
                    f"{_origin(files[staged.name])} and {_origin(staged)}"
                )
            files[staged.name] = staged
    executables = [name for name, staged in files.items() if staged.executable]
    _check_places(files, [name for name, source in description.inputs.items() if is_url(source)])
    if description.stdin is not None:
        files[STDIN_NAME] = _stage(STDIN_NAME, description.stdin, "stdin")
    script = run_script(description, executables)
    return (*files.values(), StagedInput(RUN_SCRIPT_NAME, script, len(script)))


def upload_all(
    jobs: Mapping[str, Sequence[StagedInput]],
    put: Callable[[str, StagedInput], None],
    *,
    workers: int = 8,
    progress: Callable[[int], None] | None = None,
) -> dict[str, JasminArcError]:
    """Upload the inputs of jobs: of each all but the last in parallel, and the last as soon as the others are there.

    :param jobs: by job id the inputs, as :func:`plan_inputs` returned them
    :param put: uploads one input of one job, or raises; called from several threads
    :param progress: called with the number of bytes of each input that was uploaded
    :returns: by job id the first failure; the last input of such a job was never sent, or failed itself
    """
    failures: dict[str, JasminArcError] = {}
    if len(jobs) == 1 and all(len(inputs) == 1 for inputs in jobs.values()):
        # A thread takes longer to start than such an upload.
        workers = 0
    with WorkerPool(workers) as pool:
        for job_id, inputs in jobs.items():
            _JobUpload(job_id, inputs, put, pool, failures, progress or _ignore).start()
        pool.wait()
    return failures


def _ignore(_size: int) -> None:
    pass


class _JobUpload:
    def __init__(
        self,
        job_id: str,
        inputs: Sequence[StagedInput],
        put: Callable[[str, StagedInput], None],
        pool: WorkerPool,
        failures: dict[str, JasminArcError],
        progress: Callable[[int], None],
    ) -> None:
        self._job_id, self._inputs, self._put = job_id, inputs, put
        self._pool, self._failures, self._progress = pool, failures, progress
        self._left = len(inputs)
        self._lock = threading.Lock()

    def start(self) -> None:
        for staged in self._inputs[:-1] or self._inputs:
            self._add(staged)

    def _add(self, staged: StagedInput, *, first: bool = False) -> None:
        self._pool.add(lambda: self._upload(staged), first=first)

    def _upload(self, staged: StagedInput) -> None:
        if self._job_id in self._failures:
            return
        try:
            self._put(self._job_id, staged)
        except JasminArcError as error:
            self._failures.setdefault(self._job_id, error)
            return
        with self._lock:
            self._progress(staged.size)
            self._left -= 1
            only_last_left = self._left == 1
        if only_last_left:
            # A server does not wait for it until the inputs of all other jobs are there.
            self._add(self._inputs[-1], first=True)


def _expand(name: str, source: str | Path | bytes) -> Iterator[StagedInput]:
    if isinstance(source, bytes):
        yield _stage(name, source, "input")
    else:
        yield from _walk(name, Path(source))


def _walk(top: str, start: Path) -> Iterator[StagedInput]:
    """The file, or the files below the folder, in the order of their names."""
    waiting: list[tuple[str, Path, tuple[tuple[int, int], ...]]] = [(top, start, ())]
    seen = 0
    while waiting:
        name, path, above = waiting.pop()
        seen += 1
        if seen > MOST_FILES:
            raise InputFileError(f"input {top!r}: more than {MOST_FILES} files; send them as one archive")
        found = _status(name, path)
        if not stat.S_ISDIR(found.st_mode):
            yield _stage(name, path, "input")
            continue
        here = (found.st_dev, found.st_ino)
        if here in above:
            raise InputFileError(f"input {top!r}: the symbolic link {path} leads back to a folder that it is in")
        if len(above) > DEEPEST_FOLDER:
            raise InputFileError(f"input {top!r}: more than {DEEPEST_FOLDER} folders inside each other: {path}")
        inside = sorted(_entries(top, path), reverse=True)
        waiting += [(_checked_name(f"{name}/{entry}", path / entry), path / entry, (*above, here)) for entry in inside]


def _entries(name: str, path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.iterdir()]
    except OSError as error:
        raise InputFileError(f"input {name!r}: cannot read the folder {path}: {error.strerror}") from error


def _checked_name(name: str, path: Path) -> str:
    try:
        return session_name("inputs", name)
    except InvalidJobDescription as error:
        raise InputFileError(f"input {str(path)!r}: cannot be sent under its name: {error}") from error


def _stage(name: str, source: str | Path | bytes, kind: str) -> StagedInput:
    if isinstance(source, bytes):
        return StagedInput(name, source, len(source))
    with _open_file(name, Path(source), kind) as stream:
        found = os.fstat(stream.fileno())
        return StagedInput(name, Path(source), found.st_size, bool(found.st_mode & stat.S_IXUSR))


def _status(name: str, path: Path, kind: str = "input") -> os.stat_result:
    try:
        return path.stat()
    except (OSError, ValueError) as error:
        raise InputFileError(f"{_what(kind, name)}: {_reason(path, error)}") from error


def _open_file(name: str, path: Path, kind: str = "input") -> BinaryIO:
    mode = _status(name, path, kind).st_mode
    if stat.S_ISDIR(mode):
        raise InputFileError(f"{_what(kind, name)}: {path} is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise InputFileError(f"{_what(kind, name)}: {path} is not a file but a pipe, a socket or a device")
    try:
        # A pipe that has taken the file's place since must not block.
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        raise InputFileError(f"{_what(kind, name)}: {_reason(path, error)}") from error


def _what(kind: str, name: str) -> str:
    return "stdin" if kind == "stdin" else f"{kind} {name!r}"


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path} is a symbolic link to nothing" if path.is_symlink() else f"{path} does not exist"
    return f"cannot read {path}: {getattr(error, 'strerror', None) or error}"


def _origin(staged: StagedInput) -> str:
    return "the content given" if isinstance(staged.source, bytes) else str(staged.source)


def _check_places(files: Mapping[str, StagedInput], fetched: Sequence[str]) -> None:
    """Refuse two things of one name, one of them fetched from a URL, and a file where another needs a folder."""
    for name in fetched:
        if name in files:
            raise InputFileError(f"inputs: {name!r} is both a URL's and {_origin(files[name])}")
    names = {*files, *fetched}
    for name in sorted(names):
        for parent in map(str, PurePosixPath(name).parents):
            if parent in names:
                raise InputFileError(f"inputs: {parent!r} cannot be a file, for {name!r} needs a folder of that name")
