"""What the server says is in a session directory: each name checked, and chosen by name or pattern."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase

from jasmin_arc.backends.base import Backend
from jasmin_arc.description import RESERVED_PREFIX, is_pattern, session_name
from jasmin_arc.exceptions import OutputError
from jasmin_arc.job_info import RemoteFile

DEEPEST_FOLDER = 100
"""The most folders inside each other"""
MOST_FILES = 200_000
"""The most files and folders that are looked at for one job"""
LONGEST_NAME = 255
"""The most bytes of a name, on any file system of Linux"""

Parts = tuple[str, ...]


class SessionTree:
    """The files and folders of a job's session directory, asked for as they are needed.

    Names that could lead out of the directory, or that no file can have here, raise
    :class:`~jasmin_arc.exceptions.OutputError` once they are chosen.
    """

    def __init__(self, backend: Backend, job_id: str) -> None:
        self._backend = backend
        self._job_id = job_id
        self._listings: dict[Parts, dict[str, RemoteFile | None]] = {}
        self._count = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing at all."""
        return not self._entries(())

    def find(self, path: str) -> tuple[Parts, RemoteFile] | None:
        """Return the file of this very name, if there is one, and the parts of its path."""
        parts = tuple(path.split("/"))
        for depth, name in enumerate(parts):
            if not self._is_folder(parts[:depth]) or name not in self._entries(parts[:depth]):
                return None
        entry = self._get(parts[:-1], parts[-1])
        return None if entry.is_dir else (parts, entry)

    def choose(self, output: str) -> Iterator[tuple[Parts, RemoteFile]]:
        """Find the files, and the empty folders, that a name or pattern stands for; folders with all that is in them.

        Patterns are those of a shell: ``*`` matches neither ``/`` nor a dot at the start.

        :raises InvalidJobDescription: if the name or pattern would leave the session directory
        """
        found: list[Parts] = [()]
        for part in session_name(output, "outputs").split("/"):
            found = [
                (*parts, name) for parts in found if self._is_folder(parts) for name in self._matching(parts, part)
            ]
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
            inside = self._entries(parts) if entry.is_dir else {}
            if not inside:
                yield parts, entry
            waiting += [(*parts, name) for name in reversed(inside)]

    def _get(self, parts: Parts, name: str) -> RemoteFile:
        entry = self._entries(parts)[name]
        if entry is None:
            raise OutputError(
                f"the output {'/'.join((*parts, name))!r} of job {self._job_id} cannot be saved: "
                "the name is impossible here, or leads out of the folder, or there are two of it"
            )
        return entry

    def _entries(self, parts: Parts) -> dict[str, RemoteFile | None]:
        """The entries of a folder by their names; ``None`` for those that cannot be saved."""
        if parts not in self._listings:
            if len(parts) > DEEPEST_FOLDER:
                raise OutputError(f"the outputs of job {self._job_id} have more than {DEEPEST_FOLDER} nested folders")
            self._listings[parts] = self._list(parts)
        return self._listings[parts]

    def _list(self, parts: Parts) -> dict[str, RemoteFile | None]:
        entries: dict[str, RemoteFile | None] = {}
        for entry in self._backend.list_files(self._job_id, "/".join(parts)):
            name = _name_in(parts, entry.name)
            if not parts and name.startswith(RESERVED_PREFIX):
                continue
            entries[name] = entry if _is_possible(name) and name not in entries else None
            self._count += 1
            if self._count > MOST_FILES:
                raise OutputError(f"job {self._job_id} has more than {MOST_FILES} files; choose some of them")
        return entries


def _name_in(parts: Parts, path: str) -> str:
    """The name of an entry in its folder; something that is no name if it lies elsewhere."""
    folder = "/".join(parts) + "/" if parts else ""
    return path[len(folder) :] if path.startswith(folder) else "/" + path


def _is_possible(name: str) -> bool:
    if name in ("", ".", "..") or "/" in name or any(ord(char) < 32 or 127 <= ord(char) < 160 for char in name):
        return False
    try:
        return len(os.fsencode(name)) <= LONGEST_NAME
    except UnicodeError:
        return False
