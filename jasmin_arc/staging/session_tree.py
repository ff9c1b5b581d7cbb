"""What the server says is in a session directory: each name checked, and chosen by name or pattern."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase

from jasmin_arc._support.parallel import run_all
from jasmin_arc.backends.base import Backend
from jasmin_arc.description import RESERVED_PREFIX, is_pattern, session_name
from jasmin_arc.exceptions import JasminArcError, OutputError
from jasmin_arc.job_info import RemoteFile

MAX_DEPTH = 100
MAX_FILES = 200_000
"""The most files and folders that are looked at for one job"""
MAX_NAME = 255
"""The most bytes of a name, on any file system of Linux"""

Parts = tuple[str, ...]
_Entries = dict[str, "RemoteFile | None"]
"""The entries of a folder by their names; ``None`` for those that cannot be saved"""


def list_tree(list_folder: Callable[[str, str], list[RemoteFile]], job_id: str, path: str) -> list[RemoteFile]:
    """List a folder and all that is below it, with ``list_folder`` in several threads.

    A folder whose name is impossible is in the answer, and is not entered.
    """
    found: list[RemoteFile] = []
    level: list[Parts] = [tuple(path.split("/")) if path else ()]
    while level:
        _check_size(job_id, len(level[0]), len(found))
        answers = run_all(lambda folder: list_folder(job_id, "/".join(folder)), level, workers=4)
        deeper: list[Parts] = []
        for folder, answer in zip(level, answers):
            if isinstance(answer, JasminArcError):
                raise answer
            found += answer
            names = (_name_in(folder, entry.name) for entry in answer if entry.is_dir)
            deeper += [(*folder, name) for name in names if _is_possible(name)]
        level = deeper
    return found


class SessionTree:
    """The files and folders of a job's session directory, asked for as they are needed.

    Names that could lead out of it, or that no file can have here, raise an OutputError once they are chosen.
    """

    def __init__(self, backend: Backend, job_id: str) -> None:
        self._backend = backend
        self._job_id = job_id
        self._listings: dict[Parts, _Entries] = {}
        self._count = 0

    @property
    def is_empty(self) -> bool:
        return not self._entries(())

    def find(self, path: str) -> tuple[Parts, RemoteFile] | None:
        """The file of this very name, if there is one, and the parts of its path."""
        parts = tuple(path.split("/"))
        for depth, name in enumerate(parts):
            if not self._is_folder(parts[:depth]) or name not in self._entries(parts[:depth]):
                return None
        entry = self._get(parts[:-1], parts[-1])
        return None if entry.is_dir else (parts, entry)

    def choose(self, output: str) -> Iterator[tuple[Parts, RemoteFile]]:
        """Find the files, and the empty folders, that a name or pattern stands for; folders with all that is in them.

        Patterns are those of a shell: ``*`` matches neither ``/`` nor a dot at the start.
        """
        found: list[Parts] = [()]
        for part in session_name(output, "outputs").split("/"):
            folders = filter(self._is_folder, found)
            found = [(*parts, name) for parts in folders for name in self._matching(parts, part)]
        for parts in found:
            yield from self._walk(parts)

    def _is_folder(self, parts: Parts) -> bool:
        return not parts or self._get(parts[:-1], parts[-1]).is_dir

    def _matching(self, parts: Parts, pattern: str) -> list[str]:
        entries = self._entries(parts)
        if not is_pattern(pattern):
            return [pattern] if pattern in entries else []
        for name in entries:
            self._get(parts, name)
        hidden = pattern.startswith(".")
        return [name for name in entries if hidden == name.startswith(".") and fnmatchcase(name, pattern)]

    def _walk(self, start: Parts) -> Iterator[tuple[Parts, RemoteFile]]:
        waiting = [start]
        while waiting:
            parts = waiting.pop()
            entry = self._get(parts[:-1], parts[-1])
            inside = self._entries(parts, deep=True) if entry.is_dir else {}
            if not inside:
                yield parts, entry
            waiting += [(*parts, name) for name in reversed(inside)]

    def _get(self, parts: Parts, name: str) -> RemoteFile:
        if entry := self._entries(parts)[name]:
            return entry
        raise OutputError(
            f"the output {'/'.join((*parts, name))!r} of job {self._job_id} cannot be saved: "
            "the name is impossible here, or leads out of the folder, or there are two of it"
        )

    def _entries(self, parts: Parts, *, deep: bool = False) -> _Entries:
        """The entries of a folder; ``deep``: all that is below it will be needed too."""
        if parts not in self._listings:
            _check_size(self._job_id, len(parts), self._count)
            listed = self._backend.list_files(self._job_id, "/".join(parts), recursive=deep)
            self._listings.update(self._sorted(parts, listed, deep=deep))
        return self._listings[parts]

    def _sorted(self, top: Parts, listed: Iterable[RemoteFile], *, deep: bool) -> dict[Parts, _Entries]:
        """Put each entry into its folder. One that lies in no folder of the listing has an impossible name."""
        folders: dict[Parts, _Entries] = {top: {}}
        # The name of a folder comes before the names of what is in it.
        for entry in sorted(listed, key=lambda entry: entry.name):
            path = _name_in(top, entry.name)
            *parents, name = path.split("/")
            folder = (*top, *parents)
            if folder not in folders:
                folder, name = top, path
            if not folder and name.startswith(RESERVED_PREFIX):
                continue
            self._count += 1
            _check_size(self._job_id, len(folder), self._count)
            entries = folders[folder]
            entries[name] = entry if _is_possible(name) and name not in entries else None
            if deep and entry.is_dir and entries[name]:
                folders[(*folder, name)] = {}
        return folders


def _name_in(parts: Parts, path: str) -> str:
    """The path as seen from a folder; something that is no name if it lies elsewhere."""
    folder = "/".join(parts) + "/" if parts else ""
    return path[len(folder) :] if path.startswith(folder) else "/" + path


def _check_size(job_id: str, depth: int, files: int) -> None:
    if depth > MAX_DEPTH:
        raise OutputError(f"the outputs of job {job_id} have more than {MAX_DEPTH} nested folders")
    if files > MAX_FILES:
        raise OutputError(f"job {job_id} has more than {MAX_FILES} files", advice="choose some of them")


def _is_possible(name: str) -> bool:
    if name in ("", ".", "..") or "/" in name or any(ord(char) < 32 or 127 <= ord(char) < 160 for char in name):
        return False
    try:
        return len(os.fsencode(name)) <= MAX_NAME
    except UnicodeError:
        return False
