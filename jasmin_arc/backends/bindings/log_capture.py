"""Reads what the ARC library logs: for the user's log, and since an error's reason appears nowhere else.

The library writes into a file without a name, which this module reads after each call: C++ threads never call into
Python. Nothing is ever logged through the library, as its messages are printf formats.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from jasmin_arc._support.logs import VERBOSE

_LEVELS = {
    "DEBUG": logging.DEBUG,
    "VERBOSE": VERBOSE,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "FATAL": logging.CRITICAL,
}
_LINE = re.compile(
    r"\[\d{4}-\d\d-\d\d [\d:]+\] \[(?P<domain>[^\]]*)\] \[(?P<level>" + "|".join(_LEVELS) + r")\] "
    r"\[\d+/\d+\] (?P<text>.*)"
)
_TRUNCATE_AT = 4 * 2**20
_MAX_REASON = 600
_REASON = re.compile(r"Fail|Unable|Unexpected|Missing|Cannot|Could not|Invalid|Error", re.IGNORECASE)
# What only repeats that something failed, and what goes wrong in every call.
_NO_REASON = re.compile(
    r"Failed to (prepare job description|submit all jobs\.?$|process job: http|load plugin for URL|establish SSL)|"
    r"Failed to process jobs - wrong response: \d+$|Failed uploading local input files"
)
_WRAPPING = re.compile(
    r"Failed to (process job: \S+ - (?=\d)|submit all jobs: )|Failed to establish connection: |\b[A-Z]+: GENERIC_ERROR "
)
_BRACKETS = re.compile(r"^\((.*)\)$")


class LogLine(NamedTuple):
    level: int
    """In Python's numbers"""
    domain: str
    """The part of the library that speaks"""
    text: str


class LogCapture:
    """Takes over the log of the ARC library."""

    def __init__(self, arc: Any) -> None:
        self._arc = arc
        self._offset = 0
        self._rest = b""
        self._file, path = tempfile.mkstemp(prefix="jasmin_arc_log_")
        try:
            # The library keeps only a pointer to the destination.
            self._destination = arc.LogFile(path)
        finally:
            os.unlink(path)  # noqa: PTH108
        self._destination.setFormat(arc.LongFormat)
        self._root = arc.Logger.getRootLogger()
        self._root.removeDestinations()
        self._root.addDestination(self._destination)

    def set_level(self, level: int) -> None:
        """Let the library log from this level on, but at least what the reasons of errors are taken from."""
        wanted = min(max(level, logging.DEBUG), VERBOSE)
        self._root.setThreshold(self._arc.DEBUG if wanted < VERBOSE else self._arc.VERBOSE)

    def read(self) -> list[LogLine]:
        """Return what was logged since the last call."""
        text = self._rest
        while chunk := os.pread(self._file, 2**20, self._offset):
            self._offset += len(chunk)
            text += chunk
        complete, newline, self._rest = text.rpartition(b"\n")
        if self._offset > _TRUNCATE_AT:
            os.ftruncate(self._file, 0)
            self._offset = 0
        return parse_lines((complete + newline).decode("utf-8", "replace"))


def parse_lines(text: str) -> list[LogLine]:
    """Read the library's long log format; what does not look like it continues the message before."""
    lines: list[LogLine] = []
    for entry in text.split("\n")[:-1]:
        match = _LINE.fullmatch(entry)
        if match:
            lines.append(LogLine(_LEVELS[match["level"]], match["domain"], match["text"]))
        elif lines:
            lines[-1] = lines[-1]._replace(text=f"{lines[-1].text}\n{entry}")
    return lines


def forward(lines: Iterable[LogLine], log: logging.Logger) -> None:
    """Hand the messages to the user's log, which picks by its level."""
    for line in lines:
        # The library tells at INFO how it works: its brokering, and several lines about each file. No user asks for it.
        log.log(line.level if line.level >= logging.WARNING else logging.DEBUG, "%s: %s", line.domain, line.text)


def reasons(lines: Sequence[LogLine]) -> str:
    """Return in one line what the library said went wrong, the gravest alone, or an empty text."""
    relevant = [
        line
        for line in lines
        if not _NO_REASON.match(line.text) and (line.level >= logging.WARNING or _REASON.match(line.text))
    ]
    gravest = max((line.level for line in relevant), default=0)
    texts = [" ".join(_WRAPPING.sub("", line.text).split()).rstrip(".") for line in relevant if line.level == gravest]
    return "; ".join(dict.fromkeys(_BRACKETS.sub(r"\1", text) for text in texts))[:_MAX_REASON]
