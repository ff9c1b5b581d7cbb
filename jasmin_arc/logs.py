"""Where log messages go: the stream and the level that the user gave."""

from __future__ import annotations

import logging
from typing import TextIO

from jasmin_arc.constants import LogLevels

VERBOSE = 15
"""ARC's level between DEBUG and INFO"""

PYTHON_LEVELS = {
    LogLevels.DEBUG: logging.DEBUG,
    LogLevels.VERBOSE: VERBOSE,
    LogLevels.INFO: logging.INFO,
    LogLevels.WARNING: logging.WARNING,
    LogLevels.ERROR: logging.ERROR,
    LogLevels.FATAL: logging.CRITICAL,
}


def make_logger(stream: TextIO | None, level: LogLevels) -> logging.Logger:
    """Return a logger of its own, so that two interfaces with different streams do not mix.

    :param stream: where messages go, or ``None`` for silence
    """
    logger = logging.Logger("jasmin_arc", PYTHON_LEVELS[level])
    if stream is None:
        logger.addHandler(logging.NullHandler())
        logger.disabled = True
        return logger
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter("[%(asctime)s] [%(levelname)s] %(message)s", "%Y-%m-%d %H:%M:%S"))
    # A stream that was closed meanwhile must not break the job it reports on.
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # noqa: ARG005
    logger.addHandler(handler)
    return logger


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record.levelname = {VERBOSE: "VERBOSE", logging.CRITICAL: "FATAL"}.get(record.levelno, record.levelname)
        return super().format(record)
