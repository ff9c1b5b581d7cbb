"""The session folders of jobs: on this machine if Slurm is here, else over SSH."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from jasmin_arc.backends.posix.session import list_folder, open_file
from jasmin_arc.backends.slurm.cluster import Cluster, Place
from jasmin_arc.exceptions import JobNotFoundError, ServerError
from jasmin_arc.job_info import RemoteFile

_ENTRY = re.compile(
    r'(?P<kind>[-dlbcps])\S+ +\d+ +\d+ +\d+ +(?P<size>\d+|\d+, +\d+) +-?\d+ "(?P<name>(?:[^"\\]|\\.)*)"'
)
_FOLDER = re.compile(r'"\.(?P<path>(?:[^"\\]|\\.)*)":\Z')
_ESCAPE = re.compile(r"\\([0-7]{3}|.)", re.DOTALL)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Files:
    """Reads what is in session folders."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._is_here = not cluster.shell.host

    def list(self, place: Place, path: str, job_id: str, *, recursive: bool) -> list[RemoteFile]:
        path = path.strip("/")
        if self._is_here:
            return list_folder(self._session(place, job_id), path, job_id, recursive=recursive)
        told = self._cluster.ask("files", ["list", place.folder, path, "-AnlR" if recursive else "-Anl"])
        if told.startswith("gone"):
            raise _no_job(job_id)
        if not told.startswith("top "):
            raise JobNotFoundError(f"the job {job_id} has no folder {path!r} in its session folder")
        entries, links = read_listing(told.partition("\n")[2], f"{path}/" if path else "")
        if links:
            sizes = self._cluster.ask("files", ["links", place.folder, *links]).splitlines()
            entries += [RemoteFile(name, int(size)) for name, size in zip(links, sizes) if size.isdecimal()]
        return sorted(entries, key=lambda entry: entry.name)

    def open(self, place: Place, path: str, offset: int, job_id: str) -> BinaryIO:
        if self._is_here:
            return open_file(self._session(place, job_id), path, offset, job_id)
        shell = self._cluster.shell
        stream = shell.open(self._cluster.script("files", f"show {place.folder} {_quoted(path)} {offset}"))
        first = stream.readline().split()
        if first[:1] == [b"file"]:
            return stream
        stream.close()
        if first == [b"gone"]:
            raise _no_job(job_id)
        raise JobNotFoundError(f"the job {job_id} has no file {path!r} in its session folder")

    def fetch(self, place: Place, names: Sequence[str], job_id: str) -> Iterator[tuple[str, BinaryIO]]:
        if self._is_here or len(names) == 1:
            for name in names:
                yield name, self.open(place, name, 0, job_id)
            return
        data = [b"\0".join(f"./{name}".encode("utf-8", "surrogateescape") for name in names)]
        with self._cluster.shell.open(self._cluster.script("files", f"pack {place.folder}"), data) as stream:
            with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as packed:
                for name, member in zip(names, packed):
                    content = packed.extractfile(member)
                    if content is None or member.name.removeprefix("./") != name:
                        raise ServerError(f"the files of {job_id} came in another order, or as something else")
                    yield name, content  # type: ignore[misc]
            # What went wrong there is known at the end.
            while stream.read(io.DEFAULT_BUFFER_SIZE):
                pass

    def _session(self, place: Place, job_id: str) -> Path:
        folder = Path(self._cluster.facts.dir, place.folder, "session")
        if not folder.is_dir():
            raise _no_job(job_id)
        return folder


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


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path.strip("/"))


def _no_job(job_id: str) -> JobNotFoundError:
    return JobNotFoundError(f"there are no files of a job {job_id} there")
