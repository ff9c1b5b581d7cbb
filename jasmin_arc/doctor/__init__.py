"""What keeps a first job from running: checks in the order in which problems are solved, each with its remedy.

Here are the runner and the checks of any place. Each backend brings its own, which the table of backends names.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from jasmin_arc._support.text import counted, home_short, one_line, told
from jasmin_arc.backends.table import BACKENDS, chosen, entry_of, load
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.exceptions import Advice, JasminArcError
from jasmin_arc.job_list import JobList
from jasmin_arc.version import __version__

_MIN_SPACE = 50 << 20
_TRIAL_BYTES = 256 << 10
"""How much is written to find out whether there is space and quota"""


class Outcome(str, Enum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"
    """It does not matter here, or could not be tried"""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. Nothing in it is secret: it may be sent to others."""

    name: str
    outcome: Outcome
    found: str
    """What there is, in one sentence"""
    remedy: str = ""
    """What to do, unless it is ok"""


class Look(NamedTuple):
    """How to look at one thing."""

    look: Callable[[], str]
    """Says in one sentence what there is. What is wrong it raises, as any error of the library."""
    remedy: str = "Send this report to the people who run the site."
    """What to do where the error does not say it"""


@dataclass(frozen=True)
class Examination:
    """What all checks know."""

    config: ConnectionConfig
    log: logging.Logger
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """Of the checks so far, by name; where one failed, those that depend on it are skipped"""
    left_open: ExitStack = field(default_factory=ExitStack)
    """What is to be closed after the last check"""


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


def examine(
    config_path: str | os.PathLike[str] | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    origin: str = "the config argument",
) -> Iterator[Check]:
    """Yield one check after the other. Jobs are neither submitted nor changed; a proxy is made if there is none.

    :param config_path: the configuration, as for ``ArcInterface``
    :param config: options that override all others
    :param origin: where ``config`` comes from
    """
    log = logging.Logger("jasmin_arc.doctor", logging.CRITICAL + 1)
    try:
        loaded = ConnectionConfig.load(config_path, config=config, logger=log, origin=origin)
    except JasminArcError as error:
        advice = Advice("Correct it; {config_init} writes a new one.")
        yield Check("configuration", Outcome.FAILED, one_line(str(error)), advice)
        return
    examination = Examination(loaded, log)
    looks = {"configuration": Look(lambda: _configuration(loaded))}
    if loaded.may_mean_slurm:
        looks["Slurm"] = Look(_slurm)
    else:
        for backend in chosen(loaded.BACKEND):
            looks.update(load(BACKENDS[backend].checks)(examination))
    move = "Set JOBS_INFO_FILE to another path, or move the file away."
    looks["job list"] = Look(lambda: _job_list(Path(loaded.JOBS_INFO_FILE)), move)
    with examination.left_open:
        for name, look in looks.items():
            check = _check(name, look)
            examination.outcomes[name] = check.outcome
            yield check


def _check(name: str, look: Look) -> Check:
    try:
        return Check(name, Outcome.OK, one_line(look.look()))
    except CheckFailed as error:
        return Check(name, error.outcome, one_line(error.message), error.advice)
    except JasminArcError as error:
        found, advice = error.message.replace("cannot create a proxy: ", ""), error.advice or look.remedy
    except OSError as error:
        found, advice = told(error), look.remedy
    return Check(name, Outcome.FAILED, one_line(found), advice)


# --- The checks of any place ---


def _configuration(config: ConnectionConfig) -> str:
    python = ".".join(map(str, sys.version_info[:3]))
    origins = dict.fromkeys(origin for origin in config.sources.values() if origin != "default")
    options = ", ".join(home_short(origin).replace("the environment variable ", "$") for origin in origins)
    found = f"jasmin_arc {__version__}, Python {python}, BACKEND {config.BACKEND}, "
    found += f"options from {options or 'defaults only'}"
    if "ARC_SERVER" in entry_of(config.BACKEND).options:
        default = "the default, " if config.is_default("ARC_SERVER") else ""
        found += f"; the compute element is {default}{config.endpoint}"
    if not config.unknown:
        return found
    ignored = ", ".join(f"{one_line(option.name)} ({home_short(option.origin)})" for option in config.unknown)
    advice = " ".join(
        f"Rename {one_line(option.name)} to {option.nearest}." if option.nearest else f"Remove {one_line(option.name)}."
        for option in config.unknown
    )
    if not all(option.nearest for option in config.unknown):
        advice = Advice("{corrections} {config_show} lists the options.", corrections=advice)
    raise warning(f"{found}; these names are not options and have no effect: {ignored}", advice)


def _slurm() -> str:
    raise CheckFailed(
        "nothing is configured, Slurm is on this machine, and BACKEND is auto, which never chooses it",
        "To run jobs with Slurm, set BACKEND to slurm: 'jasmin-arc config init --backend slurm' writes a configuration "
        "with that, and with SLURM_ACCOUNT and other options to fill in. For a compute element, set ARC_SERVER.",
    )


def _job_list(path: Path) -> str:
    free = free_space(path.parent, "JOBS_INFO_FILE")
    jobs = counted(len(JobList(path, timeout=5.0).ids()), "job")
    return f"{home_short(str(path))} has {jobs}, and its disk has {free}"


def free_space(folder: Path, option: str) -> str:
    """Write to the folder that this option names, to find out whether that is possible, and return its free space.

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
