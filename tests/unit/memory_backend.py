"""A backend whose jobs have their files in memory, true or as a hostile server would tell them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import BinaryIO, NoReturn

from jasmin_arc.backends.base import Backend
from jasmin_arc.constants import JobState
from jasmin_arc.exceptions import JasminArcError, JobNotFoundError
from jasmin_arc.job_info import JobInfo, RemoteFile
from jasmin_arc.site_info import SiteInfo


class MemoryBackend(Backend):
    """Serves files.

    :param files: by path: bytes, ``None`` for an empty folder, an error to raise, or a function that opens a stream
    :param listings: by folder: what the server claims to be in it, instead of the truth
    """

    name = "memory"
    endpoint = "memory:///"

    def __init__(
        self,
        files: Mapping[str, object],
        *,
        listings: Mapping[str, Sequence[RemoteFile]] | None = None,
    ) -> None:
        self.files = dict(files)
        self.listings = dict(listings or {})
        self.opened: list[str] = []
        self.listed: list[str] = []

    def list_files(self, job_id: str, path: str = "", *, recursive: bool = False) -> list[RemoteFile]:
        if job_id.startswith("unknown"):
            raise JobNotFoundError(f"no such job: {job_id}")
        self.listed.append(path)
        found = list(self.listings[path]) if path in self.listings else self._true_listing(path)
        if recursive and path not in self.listings:
            for entry in self._true_listing(path):
                found += self.list_files(job_id, entry.name, recursive=True) if entry.is_dir else []
                self.listed = [path for path in self.listed if path != entry.name]
        return found

    def open(self, job_id: str, path: str, offset: int = 0) -> BinaryIO:
        self.opened.append(path)
        content = self.files[path]
        if isinstance(content, JasminArcError):
            raise content
        return io.BytesIO(content) if isinstance(content, bytes) else content()  # type: ignore[operator]

    def _true_listing(self, path: str) -> list[RemoteFile]:
        prefix = path + "/" if path else ""
        entries: dict[str, RemoteFile] = {}
        for name, content in self.files.items():
            if name.startswith(prefix):
                first, slash, _ = name[len(prefix) :].partition("/")
                if slash or content is None:
                    entries[first] = RemoteFile(prefix + first, is_dir=True)
                else:
                    size = len(content) if isinstance(content, bytes) else None
                    entries[first] = RemoteFile(prefix + first, size)
        return list(entries.values())

    def _not_here(self, *_: object, **__: object) -> NoReturn:
        raise NotImplementedError

    submit = query = list_jobs = cancel = clean = evidence = _not_here

    def site(self) -> SiteInfo:
        return SiteInfo(self.endpoint)

    def states(self, job_ids: Sequence[str]) -> dict[str, JobState | JasminArcError]:
        return {}

    def recover(self) -> dict[str, JobInfo | None]:
        return {}

    def close(self) -> None:
        pass
