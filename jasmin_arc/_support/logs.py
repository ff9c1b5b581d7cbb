"""Where log messages go: the stream and the level that the user gave, and where Python's own logging sends them."""

from __future__ import annotations

import contextlib
import copy
import logging
from typing import TYPE_CHECKING, TextIO

from jasmin_arc._support.progress import bars_away
from jasmin_arc.constants import LogLevels

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    _StreamHandler = logging.StreamHandler

VERBOSE = 15
"""ARC's level between DEBUG and INFO"""


def make_logger(stream: TextIO | None, level: LogLevels) -> logging.Logger:
    """Return a logger for one interface. Its messages also go where Python's own logger ``jasmin_arc`` sends them."""
    logger = _InterfaceLogger(VERBOSE if level is LogLevels.VERBOSE else getattr(logging, level.name))
    if stream is not None:
        handler = _Handler(stream)
        handler.setFormatter(_Formatter("[%(asctime)s] [%(levelname)s] %(message)s", "%Y-%m-%d %H:%M:%S"))
        # A stream that was closed meanwhile must not break the job it reports on.
        handler.handleError = lambda record: None  # type: ignore[method-assign]  # noqa: ARG005
        logger.addHandler(handler)
    return logger


class _Handler(_StreamHandler):
    """Writes between the progress bars that stand on the same terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        # A log that goes elsewhere does not wait for a terminal that stands still.
        with bars_away() if _is_terminal(self.stream) else contextlib.nullcontext():
            super().emit(record)


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # one that can do no more than write, or is closed
        return False


class _InterfaceLogger(logging.Logger):
    """A logger that Python does not keep: its handlers go with it. Its level is that of its own handlers alone.

    Without handlers of its own or of its parent it is silent: Python's last resort is never used.
    Nothing is cached, as nobody would tell this logger that the level of its parent has changed.
    """

    def __init__(self, level: int) -> None:
        super().__init__("jasmin_arc", level)
        self._shared = self.parent = logging.getLogger("jasmin_arc")

    def isEnabledFor(self, level: int) -> bool:
        is_off = self.disabled or self.manager.disable >= level
        return not is_off and (self._is_own(level) or self._is_shared(level))

    def getEffectiveLevel(self) -> int:
        levels = [self.level] if self.handlers else []
        if self.propagate and self._shared.hasHandlers() and not self._shared.disabled:
            levels.append(self._shared.getEffectiveLevel())
        return min(levels, default=logging.CRITICAL)

    def callHandlers(self, record: logging.LogRecord) -> None:
        for handler in self.handlers if self._is_own(record.levelno) else ():
            if record.levelno >= handler.level:
                handler.handle(record)
        if self._is_shared(record.levelno):
            self._shared.callHandlers(record)

    def _is_own(self, level: int) -> bool:
        return bool(self.handlers) and level >= self.level

    def _is_shared(self, level: int) -> bool:
        return self.propagate and self._shared.isEnabledFor(level) and self._shared.hasHandlers()


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # Others may format the same record.
        own = copy.copy(record)
        own.levelname = {VERBOSE: "VERBOSE", logging.CRITICAL: "FATAL"}.get(record.levelno, record.levelname)
        return super().format(own)
