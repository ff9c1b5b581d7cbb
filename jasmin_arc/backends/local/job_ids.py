"""The ids of local jobs: ``local://HOST/PATH-OF-LOCAL_DIR/KEY``."""

from __future__ import annotations

import os
from urllib.parse import quote


class JobIds:
    """The ids of the jobs in one ``LOCAL_DIR``, which several hosts may share.

    :param root: its path, without symbolic links
    :param host: the name of this host
    """

    def __init__(self, root: str, host: str) -> None:
        self._path = quote(os.fsencode(root)).rstrip("/")
        self._host = host
        self.endpoint = f"local://{host}{self._path}"

    def id(self, key: str, host: str | None = None) -> str:
        """The id of a job of this host, or of another one."""
        return f"local://{host or self._host}{self._path}/{key}"

    def key(self, job_id: str) -> str:
        """The key of a job of this host; empty if the id is that of another place."""
        host, key = self.split(job_id) or ("", "")
        return key if host == self._host else ""

    def split(self, job_id: str) -> tuple[str, str] | None:
        """The host and the key of a job in this ``LOCAL_DIR``; ``None`` if the id is that of another place."""
        start, _, key = job_id.rpartition("/")
        host = start.removeprefix("local://").removesuffix(self._path)
        is_ours = host and key and "/" not in host and job_id == self.id(key, host)
        return (host, key) if is_ours else None
