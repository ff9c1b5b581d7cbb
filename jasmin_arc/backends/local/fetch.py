"""Fetching a job's URL inputs, in a process of its own, which the runner starts."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from jasmin_arc.backends.local.layout import Layout
from jasmin_arc.backends.local.store import Store
from jasmin_arc.backends.posix.files import private, write_json

SCHEMES = ("http", "https")
_TIMEOUT_SECONDS = 60.0
_TRIES = 3
_REDIRECTS = 5
_CHUNK = 1 << 20


class _NotFetchedError(Exception): ...


class _PassingError(Exception):
    """The next try may succeed."""


def main(root: str, host: str, key: str) -> None:
    """Fetch the inputs of a job, and write down whether they are all there."""
    layout = Layout(root, host)
    with Store(layout.database) as store:
        spec = store.spec(key)
    if spec is None:
        return  # The job was erased.
    urls: dict[str, str] = json.loads(spec)["urls"]
    parent, error = os.getppid(), ""
    temporary = Path(layout.job(key, f"fetching.{os.getpid()}"))
    try:
        for name, url in urls.items():
            _fetch(url, temporary)
            if os.getppid() != parent:
                return  # The runner that asked is gone; the next one asks again.
            target = Path(layout.session(key), name)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.replace(target)
    except (_NotFetchedError, OSError) as problem:
        error = str(problem)
    finally:
        temporary.unlink(missing_ok=True)
    write_json(layout.job(key, "fetched"), {"error": error})


def _fetch(url: str, target: Path, tried: int = 1) -> None:
    try:
        _download(url, target)
    except _PassingError as error:
        if tried == _TRIES:
            raise _NotFetchedError(f"cannot fetch the input URL {shown(url)}: {error}") from error
        time.sleep(tried)
        _fetch(url, target, tried + 1)


def _download(url: str, target: Path) -> None:
    import urllib3

    retries = urllib3.Retry(None, connect=0, read=0, status=0, other=0, redirect=_REDIRECTS)
    pool = urllib3.PoolManager(cert_reqs="CERT_REQUIRED", timeout=_TIMEOUT_SECONDS, retries=retries)
    with pool, open(target, "wb", opener=private) as writer:
        try:
            reply = pool.request("GET", url, preload_content=False)
            with contextlib.closing(reply):
                if reply.status in (404, 410):
                    raise _NotFetchedError(f"input URL not found: {shown(url)} (HTTP {reply.status})")
                if reply.status == 429 or reply.status >= 500:
                    raise _PassingError(f"HTTP {reply.status}")
                if reply.status != 200:
                    raise _NotFetchedError(f"cannot fetch the input URL {shown(url)}: HTTP {reply.status}")
                for chunk in reply.stream(_CHUNK, decode_content=False):
                    writer.write(chunk)
        except urllib3.exceptions.HTTPError as error:
            cause = getattr(error, "reason", None) or error
            if isinstance(cause, urllib3.exceptions.LocationValueError):
                # Its text is the URL, which may hold a secret; perhaps that of a redirection.
                raise _NotFetchedError(f"it is no valid URL, or leads to none: {shown(url)}") from None
            # What went wrong, without the URL.
            reason = f"{type(cause).__name__}: {str(cause).rpartition(': ')[2]}"
            if isinstance(cause, urllib3.exceptions.SSLError):
                raise _NotFetchedError(f"cannot fetch the input URL {shown(url)}: {reason}") from error
            raise _PassingError(reason) from error


def shown(url: str) -> str:
    """A URL without what may be a secret in it: user, password and query."""
    if not is_valid(url):
        # Nobody can tell what is what in it.
        return url.partition("://")[0] + "://…"
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def is_valid(url: str) -> bool:
    """Whether a URL has a host and, if any, a port that can be."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
