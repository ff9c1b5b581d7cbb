"""What keeps a first job from running: checks in the order in which problems are solved, each with its remedy.

Here are the runner and the checks of any place. Each backend brings its own, which the table of backends names.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jasmin_arc._support.text import home_short, one_line
from jasmin_arc.backends.table import AUTO, BACKENDS, load
from jasmin_arc.config import ConnectionConfig, UnknownOption
from jasmin_arc.doctor.check import Check, CheckFailed, Examination, Look, Outcome, free_space, warning
from jasmin_arc.exceptions import Advice, JasminArcError

__all__ = ["Check", "Outcome", "examine"]


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
    log = logging.Logger("jasmin_arc.doctor", logging.CRITICAL)
    log.addHandler(logging.NullHandler())
    try:
        loaded = ConnectionConfig.load(config_path, config=config, logger=log, origin=origin)
    except JasminArcError as error:
        advice = Advice("Correct it; {config_init} writes a new one.")
        yield Check("configuration", Outcome.FAILED, one_line(str(error)), advice)
        return
    examination = Examination(loaded, log)
    for name, look in _looks(examination).items():
        check = _check(name, look)
        examination.outcomes[name] = check.outcome
        yield check


def _looks(examination: Examination) -> dict[str, Look]:
    config = examination.config
    looks = {"configuration": Look(lambda: _configuration(config))}
    for backend in _backends(config):
        looks.update(load(BACKENDS[backend].checks)(examination))
    move = "Set JOBS_INFO_FILE to another path, or move the file away."
    return {**looks, "job list": Look(lambda: _job_list(config), move)}


def _backends(config: ConnectionConfig) -> tuple[str, ...]:
    return AUTO if config.BACKEND == "auto" else (config.BACKEND,)


def _check(name: str, look: Look) -> Check:
    try:
        return Check(name, Outcome.OK, one_line(look.look()))
    except CheckFailed as error:
        return Check(name, error.outcome, one_line(error.message), error.advice)
    except JasminArcError as error:
        found, advice = error.message.replace("cannot create a proxy: ", ""), error.advice
    except OSError as error:
        found, advice = str(error), Advice.of("")
    return Check(name, Outcome.FAILED, one_line(found), advice or look.remedy)


# --- The checks of any place ---


def _configuration(config: ConnectionConfig) -> str:
    summary = _summary(config)
    if not config.unknown:
        return summary
    ignored = ", ".join(f"{one_line(option.name)} ({home_short(option.origin)})" for option in config.unknown)
    advice = " ".join(map(_correction, config.unknown))
    if not all(option.nearest for option in config.unknown):
        advice = Advice("{corrections} {config_show} lists the options.", corrections=advice)
    raise warning(f"{summary}; these names are not options and have no effect: {ignored}", advice)


def _correction(option: UnknownOption) -> str:
    name = one_line(option.name)
    return f"Rename {name} to {option.nearest}." if option.nearest else f"Remove {name}."


def _summary(config: ConnectionConfig) -> str:
    from jasmin_arc.version import __version__

    python = ".".join(map(str, sys.version_info[:3]))
    origins = dict.fromkeys(origin for origin in config.sources.values() if origin != "default")
    names = (home_short(origin).replace("the environment variable ", "$") for origin in origins)
    options = ", ".join(names) or "defaults only"
    summary = f"jasmin_arc {__version__}, Python {python}, BACKEND {config.BACKEND}, options from {options}"
    if "ARC_SERVER" not in BACKENDS[_backends(config)[0]].options:
        return summary
    default = "the default, " if config.is_default("ARC_SERVER") else ""
    return f"{summary}; the compute element is {default}{config.endpoint}"


def _job_list(config: ConnectionConfig) -> str:
    from jasmin_arc.job_list import JobList

    path = Path(config.JOBS_INFO_FILE)
    free = free_space(path.parent, "JOBS_INFO_FILE")
    return f"{home_short(str(path))} has {len(JobList(path, timeout=5.0).ids())} jobs, and its disk has {free}"
