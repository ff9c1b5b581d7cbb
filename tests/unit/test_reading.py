"""Following a file: every byte once, in order, whatever breaks off meanwhile."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import BinaryIO

import pytest
from memory_backend import MemoryBackend

from jasmin_arc import JobNotFoundError, OutputError, ServerUnavailableError, reading
from jasmin_arc.reading import decoded, follow

CONTENT = "line é\n".encode() * 3


class Broken(io.BytesIO):
    """A download that breaks off after some bytes."""

    def read(self, size: int | None = -1) -> bytes:
        block = super().read(min(5, size) if size and size > 0 else 5)
        if not block or self.tell() >= 10:
            raise OutputError("the download broke off")
        return block


class Place(MemoryBackend):
    """A job whose file can be read badly at first."""

    def __init__(self, *downloads: object) -> None:
        super().__init__({"stdout": b""})
        self.downloads = list(downloads)

    def states(self, job_ids: Sequence[str]) -> dict[str, str]:
        return dict.fromkeys([job_id for job_id in job_ids if job_id != "x://unknown"], "Finished")

    def open(self, job_id: str, path: str, offset: int = 0) -> BinaryIO:
        download = self.downloads.pop(0) if self.downloads else io.BytesIO
        if isinstance(download, Exception):
            raise download
        return download(CONTENT[offset:])  # type: ignore[operator,no-any-return]


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_FASTEST", 0.001)


def test_a_download_that_breaks_off_goes_on_where_it_was() -> None:
    place = Place(Broken, ServerUnavailableError("down"), Broken)
    assert b"".join(follow(place, "x://1", "stdout")) == CONTENT
    assert place.downloads == []


def test_characters_on_the_border_of_two_blocks_stay_whole() -> None:
    blocks = [CONTENT[start : start + 1] for start in range(len(CONTENT))]
    assert "".join(decoded(blocks, "utf-8")) == CONTENT.decode()
    assert "".join(decoded([b"a\xff", b"\xc3"], "utf-8")) == "a��"


def test_an_unknown_job_has_nothing_to_follow() -> None:
    with pytest.raises(JobNotFoundError, match="x://unknown"):
        next(follow(Place(), "x://unknown", "stdout"))
