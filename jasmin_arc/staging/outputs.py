"""Outputs: chosen from what the job left, checked against its listing, downloaded in parallel."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Union
from urllib.parse import urlsplit

from jasmin_arc._support.parallel import WorkerPool
from jasmin_arc._support.text import SHORT_ID, last_part, one_line
from jasmin_arc.backends.base import Backend
from jasmin_arc.constants import STDERR_NAME, STDOUT_NAME
from jasmin_arc.exceptions import JasminArcError, JobNotFoundError, OutputError, ServerError
from jasmin_arc.job_info import RemoteFile
from jasmin_arc.staging.session_tree import Parts, SessionTree
from jasmin_arc.staging.target_folder import TargetFolder

BLOCK = 1024 * 1024
EVERYTHING = ("*", ".*")
"""The outputs of a job without a known description: all its files, which after its end are those that it kept"""

_MAX_NAME = 150
"""Bytes of a job's name in the name of a folder"""

Saved = Union[list[Path], JasminArcError]


def save_many(
    backend: Backend,
    directories: Mapping[str, Path],
    *,
    outputs: Callable[[str], Sequence[str]],
    overwrite: bool = False,
    workers: int = 8,
    planned: Callable[[int, int], object] = lambda *_: None,
    progress: Callable[[int], object] = lambda *_: None,
    job_done: Callable[[], object] = lambda *_: None,
    absent: Callable[[str, list[str]], object] = lambda *_: None,
) -> dict[str, Saved]:
    """Save the stdout and stderr of jobs, as ``stdout.txt`` and ``stderr.txt``, and their outputs under their names.

    A file stands under its final name only when it is complete. Interrupted, this returns at once and leaves no
    temporary file behind, though what was already complete.

    :param directories: by job id; a directory is made if there is something to save
    :param outputs: tells the outputs of a job: names of files and folders, and patterns; one that is absent is no error
    :param planned: called once for each job, before its download, with the number of files and of their bytes; as
        the next two, by several threads
    :param progress: called with the size of each piece that has arrived
    :param job_done: called when a job's outputs are saved, or have failed
    :param absent: called once for each job whose files could be listed, with the outputs of which there is nothing
    :returns: by job id the files and the empty folders that were saved, in order of their names, or the error
    """
    jobs: dict[str, _JobDownload] = {}
    if directories:
        backend.authenticate()
    groups = max(workers // max(len(directories), 1), 1)
    try:
        with WorkerPool(workers) as pool:
            for job_id, directory in directories.items():
                folder = TargetFolder(Path(directory), overwrite=overwrite)
                jobs[job_id] = _JobDownload(backend, job_id, folder, pool, groups, planned, progress, job_done, absent)
                pool.add(partial(jobs[job_id].start, outputs))
            pool.wait()
    finally:
        for job in jobs.values():
            job.folder.abandon()
    return {job_id: job.error or sorted(job.saved) for job_id, job in jobs.items()}


def folders_of(names: Mapping[str, str], root: Path) -> dict[str, Path]:
    """Choose a folder for each job: its name and the beginning of its id, as much as no other of the jobs has.

    :param names: by job id; a name may be empty, and may hold what a file system does not take
    """
    parts = {job_id: last_part(job_id) for job_id in names}
    for length in (SHORT_ID, 2 * SHORT_ID, None):
        folders = {job_id: _folder_name(name, parts[job_id][:length]) for job_id, name in names.items()}
        if len(set(folders.values())) == len(folders):
            break
    count = Counter(folders.values())
    return {
        # The same job of two places, or of two hosts.
        job_id: root / (name if count[name] == 1 else f"{name}-{urlsplit(job_id).netloc.replace(':', '_')}")
        for job_id, name in folders.items()
    }


def _folder_name(name: str, short_id: str) -> str:
    plain = re.sub(r"[/\\\s]+", "_", one_line(name)).lstrip(".-_")
    # A file's name may have 255 bytes.
    cut = plain.encode("utf-8", "replace")[:_MAX_NAME].decode("utf-8", "ignore")
    return f"{cut}-{short_id}" if cut else short_id


@dataclass
class _JobDownload:
    """The download of one job."""

    backend: Backend
    job_id: str
    folder: TargetFolder
    pool: WorkerPool
    groups: int
    """Into how many groups its files are divided at least; the files of a group come one after another"""
    planned: Callable[[int, int], object]
    progress: Callable[[int], object]
    job_done: Callable[[], object]
    absent: Callable[[str, list[str]], object]
    saved: list[Path] = field(default_factory=list)
    error: JasminArcError | None = None
    left: int = 0
    """How many tasks are not done yet"""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, outputs: Callable[[str], Sequence[str]]) -> None:
        try:
            tree = SessionTree(self.backend, self.job_id)
            wanted = outputs(self.job_id)
            chosen = _choose(tree, wanted, lambda: self.backend.streams(self.job_id))
            self.absent(self.job_id, [output for output in wanted if not any(tree.choose(output))])
            files = {target: entry for target, entry in chosen.items() if not entry.is_dir}
            self.folder.refuse_existing(files)
        except JasminArcError as error:
            self.error = error
            chosen, files = {}, {}
        self.planned(len(files), sum(entry.size or 0 for entry in files.values()))
        tasks = [partial(self._save_group, group) for group in _grouped(files, self.groups)]
        tasks += [partial(self._make_folder, target) for target in chosen if target not in files]
        self.left = len(tasks)
        if not tasks:
            self.job_done()
        for task in tasks:
            self.pool.add(partial(self._do, task))

    def _do(self, task: Callable[[], None]) -> None:
        try:
            if self.error is None:
                task()
        except JasminArcError as error:
            self.error = self.error or error
        with self.lock:
            self.left -= 1
            last = not self.left
        if last:
            self.job_done()

    def _make_folder(self, target: Parts) -> None:
        self.saved.append(self.folder.make_folder(target))

    def _save_group(self, group: Mapping[str, tuple[Parts, RemoteFile]]) -> None:
        missing = dict(group)
        try:
            for name, stream in self.backend.fetch(self.job_id, list(group)):
                with closing(stream):
                    if name not in missing:
                        raise self._not_downloaded(missing, f"{name!r} came instead")
                    target, entry = missing[name]
                    self.saved.append(self.folder.write(target, self._blocks(stream.read, entry)))
                del missing[name]
                if self.error is not None:
                    return
        except (ServerError, JobNotFoundError) as error:
            raise self._not_downloaded(missing, str(error)) from error
        if missing:
            raise self._not_downloaded(missing, "it did not arrive")

    def _not_downloaded(self, missing: Iterable[str], reason: str) -> OutputError:
        return OutputError(f"could not download {next(iter(missing), 'the outputs')!r} of job {self.job_id}: {reason}")

    def _blocks(self, read: Callable[[int], bytes], entry: RemoteFile) -> Iterator[bytes]:
        """The content piece by piece; an error if it is not as long as listed, or once it is longer."""
        count = 0
        while block := read(BLOCK):
            count += len(block)
            if entry.size is not None and count > entry.size:
                break
            self.progress(len(block))
            yield block
        if entry.size not in (None, count):
            raise OutputError(
                f"{entry.name!r} of job {self.job_id} has {entry.size} bytes by its listing, but "
                f"{'more' if count > (entry.size or 0) else count} arrived; if the job still writes it, try again later"
            )


def _grouped(files: Mapping[Parts, RemoteFile], groups: int) -> Iterator[dict[str, tuple[Parts, RemoteFile]]]:
    """Divide the files into groups to fetch together, by their names there; a large file is alone in its group."""
    group: dict[str, tuple[Parts, RemoteFile]] = {}
    size = 0
    for target, entry in files.items():
        entry_size = BLOCK if entry.size is None else entry.size
        if group and (len(group) >= len(files) / groups or size + entry_size > BLOCK):
            yield group
            group, size = {}, 0
        group[entry.name] = target, entry
        size += entry_size
    if group:
        yield group


def _choose(
    tree: SessionTree, outputs: Sequence[str], told: Callable[[], Mapping[str, str]]
) -> dict[Parts, RemoteFile]:
    """What to save, by the names to save it under; the place tells which files standard output and error are in."""
    found = [chosen for output in outputs for chosen in tree.choose(output)]
    streams = {name: file for name in (STDOUT_NAME, STDERR_NAME) if (file := tree.find(name)) is not None}
    if STDOUT_NAME not in streams and not tree.is_empty:
        # Jobs of other tools may call them as they like, and one file may be both.
        for name, path in told().items():
            file = tree.find(path)
            if file is not None and file not in streams.values():
                streams.setdefault(name, file)
    theirs = [parts for parts, _ in streams.values()]
    chosen = {parts: entry for parts, entry in found if parts not in theirs}
    taken = {parts[0] for parts in chosen}
    for name, (parts, entry) in streams.items():
        # An output of that very name keeps it.
        chosen[parts if f"{name}.txt" in taken else (f"{name}.txt",)] = entry
    return chosen
