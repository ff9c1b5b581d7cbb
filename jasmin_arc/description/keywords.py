"""The fields of a job description as keywords of a function: for type checkers, for help, and for typing mistakes."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Callable, TypedDict, TypeVar, Union

from jasmin_arc._support.suggestions import nearest, unknown_keyword
from jasmin_arc.description.fields import CHECKS
from jasmin_arc.exceptions import InvalidJobDescription

InputSource = Union[str, "os.PathLike[str]", bytes]
"""Where an input comes from: a local path, a URL that the compute element fetches, or the content itself"""
Inputs = Union[str, "os.PathLike[str]", Sequence[Union[str, "os.PathLike[str]"]], Mapping[str, InputSource]]
"""A path, a sequence of paths, or a mapping of the names in the job to their sources"""
Outputs = Union[str, Sequence[str], Mapping[str, Union[str, None]]]
"""A name, a sequence of names, or a mapping of names to the URLs that they are sent to"""
Argument = Union[str, int, float, "os.PathLike[str]"]
"""An argument of a program; numbers and paths become text"""
Duration = Union[str, int, float, timedelta]
"""Seconds, a timedelta, or a text such as ``"2h"`` or ``"01:30:00"``"""

_Function = TypeVar("_Function", bound=Callable[..., Any])

ELSEWHERE = {
    "args": "arguments",
    "input_files": "inputs",
    "files": "inputs",
    "command": "executable",
    "cmd": "executable",
    "program": "executable",
    "env": "environment",
    "cores": "slots",
    "cpus": "slots",
    "ncpus": "slots",
    "ntasks": "slots",
    "cpus_per_task": "slots",
    "time": "wall_time",
    "timeout": "wall_time",
    "time_limit": "wall_time",
    "timeout_min": "wall_time",
    "mem": "memory",
    "mem_gb": "memory",
    "partition": "queue",
    "project": "account",
    "job_name": "name",
    "modules": "runtime_environments",
    "rte": "runtime_environments",
}
"""What other programs, and the version of 2017, call a field"""


class JobFields(TypedDict, total=False):
    """The fields of a job description but for the program and its arguments; see ``JobDescription``."""

    name: str | None
    inputs: Inputs
    outputs: Outputs | None
    environment: Mapping[str, Argument] | None
    queue: str | None
    account: str | None
    slots: int
    slots_per_host: int | None
    memory: str | int | None
    wall_time: Duration | None
    cpu_time: Duration | None
    runtime_environments: Sequence[str]
    stdin: str | os.PathLike[str] | bytes | None
    steps: Sequence[Sequence[Argument]]
    stop_on_failure: bool
    rerun: int
    native: Mapping[str, Argument | None] | None


def check_fields(given: Iterable[str]) -> None:
    """Refuse names that are no fields.

    :raises InvalidJobDescription: with the field that may be meant
    """
    for name in given:
        if name not in CHECKS:
            meant = nearest(name, CHECKS, ELSEWHERE)
            hint = f"did you mean {meant!r}?" if meant else f"the fields are {', '.join(CHECKS)}"
            raise InvalidJobDescription(f"there is no field {name!r}; {hint}")


def check_keywords(function: str, given: Iterable[str], known: Iterable[str] = CHECKS) -> None:
    """Refuse keywords that a function does not take.

    :raises TypeError: with the keyword that may be meant
    """
    known = list(known)
    for word in given:
        if word not in known:
            raise TypeError(unknown_keyword(function, word, known, ELSEWHERE))


def shows_fields(function: _Function) -> _Function:
    """Show in help and completion each field that a function takes by ``**fields``."""
    own = inspect.signature(function)
    kept = [entry for entry in own.parameters.values() if entry.kind is not inspect.Parameter.VAR_KEYWORD]
    fields = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=DEFAULTS[name], annotation=_annotation(name))
        for name in DEFAULTS
    ]
    function.__signature__ = own.replace(parameters=[*kept, *fields])  # type: ignore[attr-defined]
    return function


def _annotation(name: str) -> str:
    annotation = JobFields.__annotations__[name]
    return str(getattr(annotation, "__forward_arg__", annotation))


DEFAULTS: dict[str, Any] = {
    "name": None,
    "inputs": (),
    "outputs": None,
    "environment": None,
    "queue": None,
    "account": None,
    "slots": 1,
    "slots_per_host": None,
    "memory": None,
    "wall_time": None,
    "cpu_time": None,
    "runtime_environments": (),
    "stdin": None,
    "steps": (),
    "stop_on_failure": True,
    "rerun": 0,
    "native": None,
}
"""What stands for a field that is not given"""
