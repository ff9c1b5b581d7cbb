"""xRSL, the language in which users of ARC write job descriptions.

Supported attributes: ``executable arguments jobname inputfiles executables outputfiles environment queue project count
countpernode memory walltime cputime runtimeenvironment stdin stdout stderr rerun rsl_substitution``. Accepted and
ignored, as they change nothing in what the job does: ``join`` and ``gmlog`` (the streams are always ``stdout`` and
``stderr``; logs come by ``explain``), ``cache`` and ``ftpthreads`` (how files travel), and what a broker would choose a
machine by: ``disk architecture opsys middleware nodeaccess``; also ``clientxrsl``, which ARC itself adds. Any other is
an error, and so are ``executables`` that would not be so: inputs that are sent are executable if they are so here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

from jasmin_arc.constants import STDERR_NAME, STDOUT_NAME
from jasmin_arc.description import JobDescription
from jasmin_arc.description.formats import portable, rsl
from jasmin_arc.description.formats.draft import Draft
from jasmin_arc.description.run_script import STDIN_NAME
from jasmin_arc.exceptions import InvalidJobDescription

_MEGABYTE = 1024 * 1024
_IGNORED = (
    *("join", "gmlog", "cache", "ftpthreads", "rslsubstitution", "clientxrsl"),
    *("disk", "architecture", "opsys", "middleware", "nodeaccess"),
)
_PART = re.compile(
    r"[\s,]*(\d{1,9})\s*(w|weeks?|d|days?|h|hrs?|hours?|m|mins?|minutes?|s|secs?|seconds?)?(?![a-z])", re.A
)
_ISO = re.compile(
    r"P(?=.)(?:(\d{1,9})Y)?(?:(\d{1,9})M)?(?:(\d{1,9})W)?(?:(\d{1,9})D)?"
    r"(?:T(?=.)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?",
    re.ASCII,
)
_ISO_UNITS = (365 * 86400, 30 * 86400, 7 * 86400, 86400, 3600, 60, 1)
_UNITS = {"w": 7 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}


def to_xrsl(description: JobDescription) -> str:
    portable.refuse(description, ["native"], "xRSL")
    executable, *arguments = portable.command(description, "xRSL")
    lines = [
        _line("executable", [executable]),
        _line("arguments", arguments),
        _line("jobname", [description.name]),
        _line("stdin", [] if description.stdin is None else [STDIN_NAME]),
        _line("stdout", [STDOUT_NAME]),
        _line("stderr", [STDERR_NAME]),
        _line("inputfiles", portable.inputs(description, "xRSL")),
        _line("executables", portable.executables(description)),
        _line("outputfiles", [(name, target or "") for name, target in portable.outputs(description, "xRSL")]),
        _line("environment", description.environment.items()),
        *(_line("runtimeenvironment", [name]) for name in description.runtime_environments),
        *(_line(name, [str(value)]) for name, value in _needs(description).items() if value is not None),
    ]
    return "&" + "\n ".join(filter(None, lines)) + "\n"


def from_xrsl(text: str) -> JobDescription:
    draft = Draft()
    seen: dict[str, rsl.Condition] = {}
    for condition in rsl.parse(text):
        name = condition.attribute
        if name in _IGNORED:
            continue
        # ARC itself writes some attributes twice, with the same value.
        if name not in _REPEATABLE and seen.setdefault(name, condition) != condition:
            raise InvalidJobDescription(f"{name}: is given twice, with different values")
        if name not in _FIELDS and name not in _REPEATABLE:
            known, ignored = (", ".join(sorted(names)) for names in ([*_FIELDS, *_REPEATABLE], _IGNORED))
            problem = (
                f"the attribute {name!r} is not supported; possible are {known}; accepted and ignored are {ignored}"
            )
            raise InvalidJobDescription(f"xRSL: {problem}")
        if condition.operator != "=":
            raise InvalidJobDescription(f"{name}: only = is supported, not {condition.operator}")
        if name in _FIELDS:
            field, read = _FIELDS[name]
            setattr(draft, field, read(condition))
        else:
            _REPEATABLE[name](draft, condition)
    return draft.build()


def _line(attribute: str, values: Iterable[str | tuple[str, str]]) -> str:
    quoted = [
        rsl.quote(value) if isinstance(value, str) else f"({rsl.quote(value[0])} {rsl.quote(value[1])})"
        for value in values
    ]
    return f"({attribute} = {' '.join(quoted)})" if quoted else ""


def _needs(job: JobDescription) -> dict[str, str | int | None]:
    return {
        "queue": job.queue,
        "project": job.account,
        "count": job.slots if job.slots != 1 or job.slots_per_host is not None else None,
        "countpernode": job.slots_per_host,
        "memory": None if job.memory is None else -(-job.memory // _MEGABYTE),
        "walltime": None if job.wall_time is None else f"{int(job.wall_time.total_seconds())} seconds",
        "cputime": None if job.cpu_time is None else f"{int(job.cpu_time.total_seconds())} seconds",
        "rerun": job.rerun or None,
    }


def _texts(condition: rsl.Condition) -> list[str]:
    texts = [value for value in condition.values if isinstance(value, str)]
    if len(texts) != len(condition.values):
        raise InvalidJobDescription(f"{condition.attribute}: must be texts, without parentheses")
    return texts


def _single(condition: rsl.Condition) -> str:
    texts = _texts(condition)
    if len(texts) != 1:
        raise InvalidJobDescription(f"{condition.attribute}: must be one text, not {len(texts)}; put it in quotes")
    return texts[0]


def _number(condition: rsl.Condition) -> int:
    text = _single(condition).strip()
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise InvalidJobDescription(f"{condition.attribute}: must be a whole number, not {text[:80]!r}")
    return int(text)


def _sequences(condition: rsl.Condition) -> list[tuple[str, str]]:
    """Pairs of texts; the second may be missing."""
    pairs = []
    for value in condition.values:
        texts = [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []
        if not 1 <= len(texts) <= 2 or len(texts) != len(value):
            wanted = 'pairs of texts, such as ("name" "value")'
            raise InvalidJobDescription(f"{condition.attribute}: must be {wanted}; options are not supported")
        pairs.append((texts[0], texts[1] if len(texts) == 2 else ""))
    return pairs


def _seconds(condition: rsl.Condition) -> int:
    """A period as ARC reads it: minutes, ``"1 day 2 hours"``, ``"PT26H"``; after a unit, a bare number has the next."""
    text = _single(condition).strip()
    if iso := _ISO.fullmatch(text):
        return sum(int(part or 0) * size for part, size in zip(iso.groups(), _ISO_UNITS))
    seconds, position, next_unit = 0, 0, "m"
    text = text.lower()
    while position < len(text):
        part = _PART.match(text, position)
        if not part or not next_unit:
            wanted = "minutes or a period such as '2 hours' or 'PT2H'"
            raise InvalidJobDescription(f"{condition.attribute}: must be {wanted}, not {text[:80]!r}")
        unit = (part[2] or next_unit)[0]
        seconds += int(part[1]) * _UNITS[unit]
        next_unit = {"w": "d", "d": "h", "h": "m", "m": "s", "s": ""}[unit]
        position = part.end()
    return seconds


def _add_files(add: Callable[[Draft, str, str], None], draft: Draft, condition: rsl.Condition) -> None:
    for name, location in _sequences(condition):
        add(draft, name, location)


_FIELDS: dict[str, tuple[str, Callable[[rsl.Condition], object]]] = {
    "executable": ("executable", _single),
    "arguments": ("arguments", _texts),
    "jobname": ("name", _single),
    "queue": ("queue", _single),
    "project": ("account", _single),
    "stdin": ("stdin", _single),
    "stdout": ("stdout", _single),
    "stderr": ("stderr", _single),
    "count": ("slots", _number),
    "countpernode": ("slots_per_host", _number),
    "rerun": ("rerun", _number),
    "memory": ("memory", lambda condition: _number(condition) * _MEGABYTE),
    "walltime": ("wall_time", _seconds),
    "cputime": ("cpu_time", _seconds),
}
"""By attribute, the field that it is, and what reads its value"""
_REPEATABLE: dict[str, Callable[[Draft, rsl.Condition], None]] = {
    "inputfiles": partial(_add_files, Draft.add_input),
    "executables": lambda draft, condition: draft.executables.update(dict.fromkeys(_texts(condition), "executables")),
    "outputfiles": partial(_add_files, Draft.add_output),
    "environment": lambda draft, condition: draft.environment.update(_sequences(condition)),
    "runtimeenvironment": lambda draft, condition: draft.runtime_environments.append(_single(condition)),
}
"""What reads an attribute that may be there several times"""
