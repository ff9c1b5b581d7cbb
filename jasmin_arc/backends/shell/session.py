"""A job's session directory, read by the scripts of a shell: for machines that are reached over SSH."""

from __future__ import annotations

import io
import re
import shlex
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from jasmin_arc.backends.shell.shell import Shell
from jasmin_arc.exceptions import JobNotFoundError, ServerError
from jasmin_arc.job_info import RemoteFile

_SCRIPT = Path(__file__).with_name("session.sh")
_ENTRY = re.compile(
    r'(?P<kind>[-dlbcps])\S+ +\d+ +\d+ +\d+ +(?P<size>\d+|\d+, +\d+) +-?\d+ "(?P<name>(?:[^"\\]|\\.)*)"'
)
_FOLDER = re.compile(r'"\.(?P<path>(?:[^"\\]|\\.)*)":\Z')
_ESCAPE = re.compile(r"\\([0-7]{3}|.)", re.DOTALL)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class RemoteSession:
    """One session directory.

    :param folder: its path there
    """

    def __init__(self, shell: Shell, folder: str, job_id: str) -> None:
        self._shell = shell
        self._job_id = job_id
        self._script = f"session={shlex.quote(folder)}\n{_SCRIPT.read_text(encoding='utf-8')}\n"

    def list(self, path: str, *, recursive: bool) -> list[RemoteFile]:
        """List a folder in it, with the files that symbolic links lead to, as far as they are inside.

        :raises JobNotFoundError: if there is no such folder
        """
        path = path.strip("/")
        told = self._ask("list", path, "-AnlR" if recursive else "-Anl")
        if not told.startswith("top "):
            raise self._missing(told, f"folder {path!r}")
        entries, links = read_listing(told.partition("\n")[2], f"{path}/" if path else "")
        if links:
            sizes = self._ask("links", *links).splitlines()
            entries += [RemoteFile(name, int(size)) for name, size in zip(links, sizes) if size.isdecimal()]
        return sorted(entries, key=lambda entry: entry.name)

    def open(self, path: str, offset: int) -> BinaryIO:
        """Open a file in it; reading the stream to its end gives all of it, or raises.

        :raises JobNotFoundError: if there is no such file
        """
        stream = self._shell.open(self._script + shlex.join(["show", path.strip("/"), str(offset)]))
        first = stream.readline().decode()
        if first.startswith("file "):
            return stream
        stream.close()
        raise self._missing(first, f"file {path!r}")

    def fetch(self, names: Sequence[str]) -> Iterator[tuple[str, BinaryIO]]:
        """Open several files, all in one round trip."""
        if len(names) == 1:
            yield names[0], self.open(names[0], 0)
            return
        wanted = [b"\0".join(f"./{name}".encode("utf-8", "surrogateescape") for name in names)]
        with self._shell.open(f"{self._script}pack", wanted) as stream:
            with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as packed:
                for name, member in zip(names, packed):
                    content = packed.extractfile(member)
                    if content is None or member.name.removeprefix("./") != name:
                        raise ServerError(f"the files of {self._job_id} came in another order, or as something else")
                    yield name, content  # type: ignore[misc]
            # What went wrong there is known at the end.
            while stream.read(io.DEFAULT_BUFFER_SIZE):
                pass

    def _ask(self, *call: str) -> str:
        return self._shell.ask(self._script + shlex.join(call))

    def _missing(self, told: str, what: str) -> JobNotFoundError:
        if told.startswith("gone"):
            return JobNotFoundError(f"there are no files of a job {self._job_id} there")
        return JobNotFoundError(f"the job {self._job_id} has no {what} in its session folder")


def read_listing(told: str, prefix: str) -> tuple[list[RemoteFile], list[str]]:
    """Read what ``ls`` prints: the entries, and the names of symbolic links; ``prefix`` is put before all names."""
    entries, links = [], []
    folder = prefix
    for line in told.splitlines():
        if heading := _FOLDER.match(line):
            inside = unquoted(heading["path"]).strip("/")
            folder = f"{prefix}{inside}/" if inside else prefix
        elif entry := _ENTRY.match(line):
            name = folder + unquoted(entry["name"])
            if entry["kind"] == "d":
                entries.append(RemoteFile(name, is_dir=True))
            elif entry["kind"] == "-":
                entries.append(RemoteFile(name, int(entry["size"])))
            elif entry["kind"] == "l":
                links.append(name)
    return entries, links


def unquoted(text: str) -> str:
    """Undo the quoting of ``ls --quoting-style=c``; bytes that are no UTF-8 become surrogates."""
    plain = _ESCAPE.sub(_escaped, text)
    return plain.encode("latin-1", "surrogateescape").decode("utf-8", "surrogateescape")


def _escaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code, 8)) if len(code) == 3 else _LETTERS.get(code, code)
