"""What the doctor and the checks of each backend share."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from jasmin_arc._support.text import home_short
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.exceptions import JasminArcError

_MIN_SPACE = 50 << 20
_TRIAL_BYTES = 256 << 10
"""How much is written to find out whether there is space and quota"""


class Look(NamedTuple):
    """How to look at one thing."""

    look: Callable[[], str]
    """Says in one sentence what there is. What is wrong it raises, as any error of the library."""
    remedy: str = "Send this report to the people who run the site."
    """What to do where the error does not say it"""


class Outcome(str, Enum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. Nothing in it is secret: it may be sent to others."""

    name: str
    outcome: Outcome
    """``ok``, ``warning``, ``failed``, or ``skipped`` where it does not matter or could not be tried"""
    found: str
    """What there is, in one sentence"""
    remedy: str = ""
    """What to do, unless it is ok"""


class CheckFailed(JasminArcError):
    """What a check found is not ok."""

    def __init__(self, message: str, advice: str = "", outcome: Outcome = Outcome.FAILED) -> None:
        super().__init__(message, advice=advice)
        self.outcome = outcome


def warning(found: str, advice: str) -> CheckFailed:
    """Return the error for what keeps no job from running now."""
    return CheckFailed(found, advice, Outcome.WARNING)


def skipped(why: str) -> CheckFailed:
    """Return the error for what does not matter here, or could not be tried."""
    return CheckFailed(why, outcome=Outcome.SKIPPED)


@dataclass(frozen=True)
class Examination:
    """What all checks know."""

    config: ConnectionConfig
    log: logging.Logger
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """Of the checks so far, by name; where one failed, those that depend on it are skipped"""


def free_space(folder: Path, option: str) -> str:
    """Write to a folder to find out whether that is possible, and return how much space there is.

    :param option: which option names the folder
    :raises CheckFailed: if it cannot be written, or its disk is nearly full
    """
    named = f"{home_short(str(folder))} ({option})"
    advice = f"Free some space or quota there, or set {option} to a path on another disk."
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".jasmin_arc-doctor-") as file:
            file.write(bytes(_TRIAL_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise CheckFailed(f"cannot write to {named}: {error.strerror}", advice) from error
    free = shutil.disk_usage(folder).free
    if free < _MIN_SPACE:
        raise warning(f"the disk of {named} is nearly full", advice)
    return f"{free / 2**30:.1f} GB free"
