"""The files of a job's session directory: listed, and read as streams."""

from __future__ import annotations

import io
import re
import time
from typing import BinaryIO, cast

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from jasmin_arc.backends.http.client import MAX_BYTES, Client, has_length
from jasmin_arc.backends.http.deadline import limited
from jasmin_arc.backends.rest.api import Api
from jasmin_arc.backends.rest.documents import listing
from jasmin_arc.constants import START_MARK_NAME
from jasmin_arc.description import path_parts
from jasmin_arc.exceptions import JobNotFoundError, OutputError, ServerError
from jasmin_arc.job_info import RemoteFile

_BUFFER = 1 << 20
_MAX_LISTING_BYTES = MAX_BYTES
_MIN_SPEED = 10_000
"""Bytes per second that a download must reach on the whole, not counting the reader's own time"""


def list_files(api: Api, job_id: str, path: str) -> list[RemoteFile]:
    """List one directory of the session directory."""
    folder = _inside(path)
    response = api.download(api.native_id(job_id), folder)
    if response.status != 200 or not _is_listing(response):
        _discard(response)
        raise JobNotFoundError(f"there is no such job or directory: {job_id} {folder}")
    with io.BufferedReader(_Download(response, f"{job_id} {folder}", api.client), _BUFFER) as stream:
        text = stream.read(_MAX_LISTING_BYTES + 1)
    if len(text) > _MAX_LISTING_BYTES:
        raise ServerError(f"the server lists more than {_MAX_LISTING_BYTES} bytes of names: {job_id} {folder}")
    # The mark is no file of the job.
    return [entry for entry in listing(text, folder) if entry.name != START_MARK_NAME]


def open_file(api: Api, job_id: str, path: str, offset: int) -> BinaryIO:
    """Open a file of the session directory."""
    name = _inside(path)
    response = api.download(api.native_id(job_id), name, offset=offset)
    what = f"{job_id} {name}"
    if response.status == 416:
        _discard(response)
        return io.BytesIO()
    if response.status == 404 or _is_listing(response):
        _discard(response)
        raise JobNotFoundError(f"there is no such job or file: {what}")
    if offset or response.status != 200:
        begins = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range", ""))
        if response.status != 206 or begins is None or int(begins[1]) != offset:
            response.close()
            raise OutputError(f"the server does not send {what} from byte {offset} on, as it was asked to")
    return cast(BinaryIO, io.BufferedReader(_Download(response, what, api.client), _BUFFER))


def _inside(path: str) -> str:
    parts = path_parts(path)
    if ".." in parts or "\0" in path:
        raise OutputError(f"not a name inside the session directory: {path!r}")
    return "/".join(parts)


def _is_listing(response: BaseHTTPResponse) -> bool:
    # Files are sent as application/octet-stream, whatever they hold.
    return response.headers.get("Content-Type", "").partition(";")[0].strip() in ("application/xml", "text/xml")


def _discard(response: BaseHTTPResponse) -> None:
    """Be done with a reply. Only a short one is worth reading to its end for the sake of the connection."""
    if response.headers.get("Content-Length") == "0":
        # Read all the same: only then does the connection take another request.
        response.drain_conn()
        response.release_conn()
    else:
        response.close()


class _Download(io.RawIOBase):
    """The body of a reply, which is whole or an error."""

    def __init__(self, response: BaseHTTPResponse, what: str, client: Client) -> None:
        self._response = response
        if not has_length(response):
            response.close()
            raise OutputError(f"the server does not tell the size of {what}")
        length = response.headers.get("Content-Length")
        self._what = what
        self._client = client
        # At the slowest speed, a read takes half the time that is allowed for it.
        self._step = int(client.timeout * _MIN_SPEED / 2) + 1
        self._left = client.timeout + (int(length) if length is not None else 1 << 40) / _MIN_SPEED

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        began = time.monotonic()
        try:
            with limited(min(self._client.timeout, self._left)):
                piece = self._response.read(min(len(buffer), self._step))
        except (HTTPError, OSError) as error:
            self._response.close()
            why = self._client.error_for(error, "GET")
            raise OutputError(f"the download of {self._what} broke off: {why}") from error
        finally:
            self._left -= time.monotonic() - began
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            # It closes by itself at its end; an empty one that was never read has not come to that.
            if self._response.closed:
                self._response.release_conn()
            else:
                self._response.close()
        super().close()
