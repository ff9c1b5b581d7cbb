"""Inputs as one stream, in the format of ``tar``."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator

from jasmin_arc.staging.inputs import StagedInput

_BLOCK = 1 << 18
_RECORD = 512


def archive(files: Iterable[tuple[str, StagedInput | bytes]]) -> Iterator[bytes]:
    """Yield an archive of files with these paths, in blocks of some size.

    :raises InputFileError: if an input is no longer as it was when the job was checked
    """
    block = bytearray()
    for path, source in files:
        for piece in _member(path, source):
            block += piece
            if len(block) >= _BLOCK:
                yield bytes(block)
                block.clear()
    yield bytes(block + bytes(2 * _RECORD))


def _member(path: str, source: StagedInput | bytes) -> Iterator[bytes]:
    header = tarfile.TarInfo(path)
    header.mode = 0o600
    header.size = len(source) if isinstance(source, bytes) else source.size
    yield header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    if isinstance(source, bytes):
        yield source
    else:
        yield from source.pieces(_BLOCK)
    yield bytes(-header.size % _RECORD)
