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
from datetime import timedelta

from jasmin_arc.description import JobDescription
from jasmin_arc.description.formats import portable, rsl
from jasmin_arc.description.formats.draft import Draft, duration
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
    """See :meth:`jasmin_arc.description.JobDescription.to_xrsl`."""
    portable.refuse(description, ["native"], "xRSL")
    executable, *arguments = portable.command(description, "xRSL")
    lines = [_line("executable", [executable]), _line("arguments", arguments), _line("jobname", [description.name])]
    if description.stdin is not None:
        lines.append(_line("stdin", [STDIN_NAME]))
    lines += [_line("stdout", ["stdout"]), _line("stderr", ["stderr"])]
    outputs = [(name, target or "") for name, target in portable.outputs(description, "xRSL")]
    lines.append(_pairs("inputfiles", portable.inputs(description, "xRSL")))
    lines.append(_line("executables", portable.executables(description)))
    lines.append(_pairs("outputfiles", outputs))
    lines.append(_pairs("environment", description.environment.items()))
    lines += [_line("runtimeenvironment", [name]) for name in description.runtime_environments]
    lines += [_line(name, [value]) for name, value in _needs(description).items()]
    return "&" + "\n ".join(filter(None, lines)) + "\n"


def from_xrsl(text: str) -> JobDescription:
    """See :meth:`jasmin_arc.description.JobDescription.from_xrsl`."""
    draft = Draft()
    seen: dict[str, rsl.Condition] = {}
    for condition in rsl.parse(text):
        name = condition.attribute
        # ARC itself writes some attributes twice, with the same value.
        if name not in (*_REPEATABLE, *_IGNORED) and seen.setdefault(name, condition) != condition:
            raise InvalidJobDescription(f"{name}: is given twice, with different values")
        if name not in _IGNORED:
            _read(draft, condition)
    return draft.build()


def _line(attribute: str, values: Iterable[str]) -> str:
    quoted = " ".join(rsl.quote(value) for value in values)
    return f"({attribute} = {quoted})" if quoted else ""


def _pairs(attribute: str, pairs: Iterable[tuple[str, str]]) -> str:
    quoted = " ".join(f"({rsl.quote(name)} {rsl.quote(value)})" for name, value in pairs)
    return f"({attribute} = {quoted})" if quoted else ""


def _needs(description: JobDescription) -> dict[str, str]:
    needs: dict[str, str] = {}
    if description.queue is not None:
        needs["queue"] = description.queue
    if description.account is not None:
        needs["project"] = description.account
    if description.slots != 1 or description.slots_per_host is not None:
        needs["count"] = str(description.slots)
    if description.slots_per_host is not None:
        needs["countpernode"] = str(description.slots_per_host)
    if description.memory is not None:
        needs["memory"] = str(-(-description.memory // _MEGABYTE))
    for attribute, period in (("walltime", description.wall_time), ("cputime", description.cpu_time)):
        if period is not None:
            needs[attribute] = f"{int(period.total_seconds())} seconds"
    if description.rerun:
        needs["rerun"] = str(description.rerun)
    return needs


def _read(draft: Draft, condition: rsl.Condition) -> None:
    name = condition.attribute
    if name not in _FIELDS and name not in _REPEATABLE:
        known = sorted([*_FIELDS, *_REPEATABLE])
        raise InvalidJobDescription(
            f"xRSL: the attribute {name!r} is not supported; possible are {', '.join(known)}; "
            f"accepted and ignored are {', '.join(sorted(_IGNORED))}"
        )
    if condition.operator != "=":
        raise InvalidJobDescription(f"{name}: only = is supported, not {condition.operator}")
    if name in _FIELDS:
        field, read = _FIELDS[name]
        setattr(draft, field, read(condition))
    else:
        _REPEATABLE[name](draft, condition)


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
            raise InvalidJobDescription(
                f'{condition.attribute}: must be pairs of texts, such as ("name" "value"); options are not supported'
            )
        pairs.append((texts[0], texts[1] if len(texts) == 2 else ""))
    return pairs


def _period(condition: rsl.Condition) -> timedelta:
    """A period as ARC reads it: minutes, ``"1 day 2 hours"``, ``"PT26H"``; after a unit, a bare number has the next."""
    text = _single(condition).strip()
    iso = _ISO.fullmatch(text)
    if iso:
        return duration(sum(int(part or 0) * size for part, size in zip(iso.groups(), _ISO_UNITS)))
    seconds, position, next_unit = 0, 0, "m"
    text = text.lower()
    while position < len(text):
        part = _PART.match(text, position)
        if not part or not next_unit:
            raise InvalidJobDescription(
                f"{condition.attribute}: must be minutes or a period such as '2 hours' or 'PT2H', not {text[:80]!r}"
            )
        unit = (part[2] or next_unit)[0]
        seconds += int(part[1]) * _UNITS[unit]
        next_unit = {"w": "d", "d": "h", "h": "m", "m": "s", "s": ""}[unit]
        position = part.end()
    return duration(seconds)


def _megabytes(condition: rsl.Condition) -> int:
    return _number(condition) * _MEGABYTE


def _input_files(draft: Draft, condition: rsl.Condition) -> None:
    for name, source in _sequences(condition):
        draft.add_input(name, source)


def _output_files(draft: Draft, condition: rsl.Condition) -> None:
    for name, target in _sequences(condition):
        draft.add_output(name, target)


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
    "memory": ("memory", _megabytes),
    "walltime": ("wall_time", _period),
    "cputime": ("cpu_time", _period),
}
"""By attribute, the field that it is, and what reads its value"""
_REPEATABLE: dict[str, Callable[[Draft, rsl.Condition], None]] = {
    "inputfiles": _input_files,
    "executables": lambda draft, condition: draft.executables.update(dict.fromkeys(_texts(condition), "executables")),
    "outputfiles": _output_files,
    "environment": lambda draft, condition: draft.environment.update(_sequences(condition)),
    "runtimeenvironment": lambda draft, condition: draft.runtime_environments.append(_single(condition)),
}
"""What reads an attribute that may be there several times"""
