"""Looking into a job's files while they are where the job runs."""

from __future__ import annotations

import codecs
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from jasmin_arc._support.bulk import not_found
from jasmin_arc.backends.base import Backend
from jasmin_arc.constants import STDERR_NAME, STDOUT_NAME
from jasmin_arc.exceptions import (
    CredentialsError,
    JasminArcError,
    JobNotFoundError,
    OutputError,
    ServerUnavailableError,
)
from jasmin_arc.job_info import RemoteFile

_BLOCK = 64 * 1024
MIN_PAUSE = 0.25
MAX_PAUSE = 2.0
"""Seconds between two questions"""
UNPUBLISHED_FOR = 60.0
"""Seconds after a job's end in which a place may not yet tell where its standard output and error are"""
MAX_OUTAGE_PAUSE = 10.0
"""Seconds between two questions while the server is out of reach"""

PATIENCE = 60.0
"""Seconds in which there may be no credentials, where there were some before"""


def read_all(backend: Backend, job_id: str, name: str, *, offset: int = 0, limit: int | None = None) -> bytes:
    """Return the content of a file of the session directory, of ``limit`` bytes at most."""
    with backend.open(job_id, name, offset) as stream:
        return stream.read() if limit is None else b"".join(_blocks(stream, limit))


def read_tail(backend: Backend, job_id: str, name: str, size: int) -> bytes:
    """Return the last ``size`` bytes of a file at most; nothing where there is no such file."""
    entry = _entry(backend, job_id, name)
    if entry is None and (other := backend.streams(job_id).get(name, name)) != name:
        entry = _entry(backend, job_id, other)
    if entry is None:
        return b""
    return read_all(backend, job_id, entry.name, offset=max(0, (entry.size or 0) - size), limit=size)


def _entry(backend: Backend, job_id: str, name: str) -> RemoteFile | None:
    listing = backend.list_files(job_id, name.rpartition("/")[0])
    return next((entry for entry in listing if entry.name == name and not entry.is_dir), None)


def follow(
    backend: Backend, job_id: str, name: str, *, log: logging.Logger, sleep: Callable[[float], object] = time.sleep
) -> Iterator[bytes]:
    """Yield the content of a file as it grows, until the job has ended and the file with it.

    A file that is not there yet is waited for; so is a server that does not answer for a while, or breaks off, and the
    next token where one has ended meanwhile.
    """
    offset, pause, outage, left, answered = 0, MIN_PAUSE, False, UNPUBLISHED_FOR, -math.inf
    while True:
        try:
            state = backend.watched_states([job_id]).get(job_id) or not_found(job_id)
            if isinstance(state, JasminArcError):
                raise state
            final, answered = state.final, time.monotonic()
            stream = _opened(backend, job_id, name, offset)
            for block in _new_blocks(stream) if stream is not None else ():
                offset += len(block)
                pause = MIN_PAUSE
                yield block
            if final and stream is None and left > 0 and _is_unpublished(backend, job_id, name):
                final = False
                left -= pause
            if outage:
                log.warning("%s of %s can be read again", name, job_id)
                pause, outage = MIN_PAUSE, False
        except (ServerUnavailableError, CredentialsError) as error:
            if isinstance(error, CredentialsError) and time.monotonic() - answered > PATIENCE:
                raise
            if not outage:
                log.warning("%s of %s cannot be read now, and is tried again: %s", name, job_id, error)
            final, outage = False, True
        if final:
            return
        sleep(pause)
        pause = min(pause * 1.5, MAX_OUTAGE_PAUSE if outage else MAX_PAUSE)


def decoded(blocks: Iterable[bytes], encoding: str) -> Iterator[str]:
    """Read bytes as text, also where a block ends within a character; what cannot be read is replaced."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for block in blocks:
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)


def _opened(backend: Backend, job_id: str, name: str, offset: int) -> BinaryIO | None:
    try:
        return backend.open(job_id, name, offset)
    except JobNotFoundError:
        return None


def _is_unpublished(backend: Backend, job_id: str, name: str) -> bool:
    """Whether the place does not tell yet in which files the job has its standard output and error."""
    return name in (STDOUT_NAME, STDERR_NAME) and not backend.streams(job_id)


def _new_blocks(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        try:
            yield from _blocks(stream)
        except OutputError as error:
            raise ServerUnavailableError(str(error)) from error


def _blocks(stream: BinaryIO, limit: float = math.inf) -> Iterator[bytes]:
    while limit > 0 and (block := stream.read(int(min(limit, _BLOCK)))):
        limit -= len(block)
        yield block
