"""The log: a stream for each interface, and Python's own hierarchy of loggers."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from jasmin_arc import ArcInterface, LogLevels
from jasmin_arc._support.logs import VERBOSE, make_logger

SHARED = logging.getLogger("jasmin_arc")


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(f"{record.levelname} {record.getMessage()}")


@pytest.fixture
def handler() -> Iterator[Kept]:
    """A handler of the program's own, at jasmin_arc; what pytest adds to the root is left out."""
    kept, level = Kept(), SHARED.level
    SHARED.addHandler(kept)
    yield kept
    SHARED.removeHandler(kept)
    SHARED.setLevel(level)
    SHARED.disabled = False


def submit_one(tmp_path: Path, **options: object) -> str:
    config = {"BACKEND": "local", "LOCAL_DIR": str(tmp_path / "d"), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
    with ArcInterface(config=config, **options) as arc:  # type: ignore[arg-type]
        job_id = arc.submit_job("true")
        arc.wait([job_id])
        return job_id


def test_pythons_logging_sees_the_messages_of_an_interface(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO, logger="jasmin_arc"):
        job_id = submit_one(tmp_path, log=None)
    assert ("jasmin_arc", logging.INFO, f"submitted {job_id}") in caplog.record_tuples
    assert capsys.readouterr() == ("", "")


def test_each_side_has_a_level_of_its_own(handler: Kept) -> None:
    stream = io.StringIO()
    logger = make_logger(stream, LogLevels.WARNING)
    SHARED.setLevel(logging.INFO)
    logger.info("for the program")
    SHARED.setLevel(logging.ERROR)
    logger.warning("for the stream")
    logger.error("for both")
    logger.debug("for nobody")
    assert handler.messages == ["INFO for the program", "ERROR for both"]
    assert [line.split("] ", 2)[2] for line in stream.getvalue().splitlines()] == ["for the stream", "for both"]


def test_two_interfaces_do_not_mix_and_leave_nothing_behind(handler: Kept) -> None:
    streams = [io.StringIO(), io.StringIO()]
    for number, stream in enumerate(streams):
        make_logger(stream, LogLevels.INFO).warning("from %d", number)
    assert ["from 0" in stream.getvalue() for stream in streams] == [True, False]
    assert ["from 1" in stream.getvalue() for stream in streams] == [False, True]
    assert handler.messages == ["WARNING from 0", "WARNING from 1"]
    assert SHARED.handlers == [handler]


def test_the_names_of_levels_in_the_stream_are_not_those_of_other_handlers(handler: Kept) -> None:
    stream = io.StringIO()
    SHARED.setLevel(logging.DEBUG)
    logger = make_logger(stream, LogLevels.DEBUG)
    logger.critical("end")
    logger.log(VERBOSE, "more")
    assert "[FATAL] end" in stream.getvalue()
    assert "[VERBOSE] more" in stream.getvalue()
    assert handler.messages == ["CRITICAL end", f"{logging.getLevelName(VERBOSE)} more"]


def test_without_handlers_nothing_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Above are the handlers of pytest.
    monkeypatch.setattr(SHARED, "propagate", False)
    logger = make_logger(None, LogLevels.DEBUG)
    logger.error("nobody reads this")
    assert capsys.readouterr() == ("", "")
    assert not logger.isEnabledFor(logging.CRITICAL)
    assert logger.getEffectiveLevel() == logging.CRITICAL


def test_what_is_switched_off_is_off(handler: Kept) -> None:
    logger = make_logger(stream := io.StringIO(), LogLevels.INFO)
    logger.propagate = False
    logger.warning("for the stream")
    logger.propagate = True
    SHARED.disabled = True
    logger.warning("for the stream")
    SHARED.disabled = False
    logging.disable(logging.WARNING)
    try:
        logger.warning("for nobody")
    finally:
        logging.disable(logging.NOTSET)
    logger.disabled = True
    logger.error("for nobody")
    assert handler.messages == []
    assert stream.getvalue().count("for the stream") == 2
    assert "nobody" not in stream.getvalue()


def test_the_effective_level_is_the_lowest_that_goes_anywhere(handler: Kept) -> None:
    logger = make_logger(io.StringIO(), LogLevels.INFO)
    SHARED.setLevel(logging.ERROR)
    assert logger.getEffectiveLevel() == logging.INFO
    SHARED.setLevel(logging.DEBUG)
    assert logger.getEffectiveLevel() == logging.DEBUG
    SHARED.disabled = True
    assert logger.getEffectiveLevel() == logging.INFO
    assert make_logger(None, LogLevels.DEBUG).getEffectiveLevel() == logging.CRITICAL


def test_a_handler_or_level_of_ones_own_works_as_on_any_logger(handler: Kept) -> None:
    logger = make_logger(None, LogLevels.INFO)
    own = Kept()
    logger.addHandler(own)
    logger.debug("too low")
    logger.setLevel(logging.DEBUG)
    logger.debug("shown")
    own.setLevel(logging.WARNING)
    logger.info("too low for the handler")
    assert own.messages == ["DEBUG shown"]
    assert handler.messages == []
