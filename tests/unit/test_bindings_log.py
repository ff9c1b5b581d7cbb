"""What is read from the log of the ARC library, and the reasons found in it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from fake_arc import FakeArc
from hypothesis import given
from hypothesis import strategies as st

from jasmin_arc.backends.bindings.log_capture import LogCapture, LogLine, parse_lines, reasons

STAMP = "[2026-11-20 08:18:47] [Arc.X] "


@pytest.fixture
def arc() -> Iterator[FakeArc]:
    fake = FakeArc()
    yield fake
    fake.close()


@pytest.fixture
def capture(arc: FakeArc) -> LogCapture:
    return LogCapture(arc)


def test_each_line_is_read_once(arc: FakeArc, capture: LogCapture) -> None:
    arc.log("INFO", "X", "one")
    assert capture.read() == [LogLine(logging.INFO, "Arc.X", "one")]
    assert capture.read() == []
    arc.log("ERROR", "Y", "two é %n\nsecond line")
    assert capture.read() == [LogLine(logging.ERROR, "Arc.Y", "two é %n\nsecond line")]


def test_a_line_that_is_still_being_written_waits(arc: FakeArc, capture: LogCapture) -> None:
    with arc.destination.path.open("a") as file:
        file.write(f"{STAMP}[INFO] [1/2] half")
        file.flush()
        assert capture.read() == []
        file.write(" whole\n")
    assert [line.text for line in capture.read()] == ["half whole"]


def test_the_file_does_not_grow_for_ever(arc: FakeArc, capture: LogCapture) -> None:
    for _ in range(6):
        arc.log("INFO", "X", "x" * 2**20)
        assert len(capture.read()) == 1
    assert arc.destination.path.stat().st_size < 5 * 2**20
    arc.log("INFO", "X", "after")
    assert [line.text for line in capture.read()] == ["after"]


def test_the_file_has_no_name(arc: FakeArc, capture: LogCapture) -> None:
    assert os.readlink(arc.destination.path).endswith(" (deleted)")


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    lines = parse_lines(text)
    assert reasons(lines) == "" or lines
    (line, *_) = parse_lines(f"{STAMP}[WARNING] [1/2] first\n{text}\n")
    assert line.level == logging.WARNING and line.text.startswith("first")


def line(level: int, text: str) -> LogLine:
    return LogLine(level, "Arc.X", text)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([line(20, "Transfer from a to b"), line(15, "Trying to connect")], ""),
        (
            [
                line(15, "Failed to connect to vm(IPv4):8444"),
                line(40, "Failed to establish connection: TCP: GENERIC_ERROR (Failed to connect to vm(IPv4):8444)"),
                line(40, "Failed to establish connection: TCP: GENERIC_ERROR (Failed to connect to vm(IPv4):8444)"),
                line(20, "Unable to submit jobs. Failed to delegate credentials."),
            ],
            "Failed to connect to vm(IPv4):8444",
        ),
        (
            [
                line(15, "Unexpected response code from delegation endpoint - 403"),
                line(20, "Unable to submit jobs. Failed to delegate credentials."),
                line(20, "Failed to submit all jobs: 500 Missing payload"),
            ],
            "Unable to submit jobs. Failed to delegate credentials; 500 Missing payload",
        ),
        (
            [line(40, "Failed to establish connection: Failed to resolve ce (Name or service not known)")],
            "Failed to resolve ce (Name or service not known)",
        ),
        ([line(30, "Failed to process job: abc - 500 Internal\nerror")], "500 Internal error"),
        (
            [
                line(30, "Failed to process jobs - wrong response: 328728576"),
                line(30, "Failed to process job: https://x"),
            ],
            "",
        ),
    ],
)
def test_reasons(lines: list[LogLine], expected: str) -> None:
    assert reasons(lines) == expected
