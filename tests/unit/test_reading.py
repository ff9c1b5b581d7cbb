"""Following a file: every byte once, in order, whatever breaks off meanwhile."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from typing import BinaryIO, NoReturn

import pytest
from memory_backend import MemoryBackend

from jasmin_arc import CredentialsError, JasminArcError, JobNotFoundError, OutputError, ServerUnavailableError
from jasmin_arc.constants import JobState
from jasmin_arc.staging.reading import decoded, follow

LOG = logging.getLogger("test")
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

    def states(self, job_ids: Sequence[str]) -> dict[str, JobState | JasminArcError]:
        state = JobState.RUNNING if len(self.downloads) > 1 else JobState.FINISHED
        return {job_id: state for job_id in job_ids if job_id != "x://unknown"}

    def open(self, job_id: str, path: str, offset: int = 0) -> BinaryIO:
        download = self.downloads.pop(0) if self.downloads else io.BytesIO
        if isinstance(download, Exception):
            raise download
        return download(CONTENT[offset:])  # type: ignore[operator,no-any-return]


def followed(place: Place, pauses: list[float] | None = None) -> bytes:
    pauses = [] if pauses is None else pauses
    return b"".join(follow(place, "x://1", "stdout", log=LOG, sleep=pauses.append))


def test_a_download_that_breaks_off_goes_on_where_it_was() -> None:
    place = Place(Broken, ServerUnavailableError("down"), Broken)
    assert followed(place) == CONTENT
    assert place.downloads == []


def test_an_outage_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    place = Place(*[ServerUnavailableError("down")] * 3, io.BytesIO, io.BytesIO)
    assert followed(place) == CONTENT
    assert caplog.messages == [
        "stdout of x://1 cannot be read now, and is tried again: down",
        "stdout of x://1 can be read again",
    ]


def test_a_token_that_ends_meanwhile_is_waited_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = CredentialsError("the token ended")
    place = Place(ended, Broken, ended, Broken)
    assert followed(place) == CONTENT
    monkeypatch.setattr("jasmin_arc.staging.reading.PATIENCE", -1.0)
    with pytest.raises(CredentialsError):
        followed(Place(Broken, ended, Broken))


def test_without_credentials_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def states(job_ids: Sequence[str]) -> NoReturn:
        raise CredentialsError("there is no token")

    place = Place(io.BytesIO)
    monkeypatch.setattr(place, "states", states)
    with pytest.raises(CredentialsError):
        followed(place)


def test_a_server_that_is_away_is_asked_more_slowly() -> None:
    pauses: list[float] = []
    away = [ServerUnavailableError("down")] * 12
    place = Place(*away, *[JobNotFoundError("no such file")] * 8, io.BytesIO)
    assert followed(place, pauses) == CONTENT
    during, after = pauses[: len(away)], pauses[len(away) :]
    assert (during[0], max(during), during[-1]) == (0.25, 10, 10)
    assert (after[0], max(after)) == (0.25, 2)


def test_a_file_that_is_not_there_yet_is_waited_for_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    place = Place(JobNotFoundError("no such file"), JobNotFoundError("no such file"), io.BytesIO)
    assert followed(place) == CONTENT
    assert caplog.messages == []


class Unpublished(Place):
    """A job of another tool that has ended before the place tells where its standard output is."""

    def __init__(self, answers: int) -> None:
        super().__init__(io.BytesIO)
        self.answers = answers

    def open(self, job_id: str, path: str, offset: int = 0) -> BinaryIO:
        if self.answers > 0:
            raise JobNotFoundError(path)
        return super().open(job_id, path, offset)

    def streams(self, job_id: str) -> dict[str, str]:
        self.answers -= 1
        return {}


def test_what_a_job_has_printed_is_not_lost_when_the_place_tells_late_where_it_is() -> None:
    assert followed(Unpublished(answers=3)) == CONTENT


def test_a_place_that_never_tells_where_the_output_is_is_waited_for_a_minute() -> None:
    pauses: list[float] = []
    assert followed(Unpublished(answers=1000), pauses) == b""
    assert 60 <= sum(pauses) < 65


def test_characters_on_the_border_of_two_blocks_stay_whole() -> None:
    blocks = [CONTENT[start : start + 1] for start in range(len(CONTENT))]
    assert "".join(decoded(blocks, "utf-8")) == CONTENT.decode()
    assert "".join(decoded([b"a\xff", b"\xc3"], "utf-8")) == "a��"


def test_an_unknown_job_has_nothing_to_follow() -> None:
    with pytest.raises(JobNotFoundError, match="x://unknown"):
        next(follow(Place(), "x://unknown", "stdout", log=LOG))
