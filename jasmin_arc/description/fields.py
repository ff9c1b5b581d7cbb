"""The fields of a job description: one check for each, which returns the value in its simplest form."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from numbers import Real
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

from jasmin_arc.constants import STDERR_NAME, STDOUT_NAME
from jasmin_arc.description.quantities import parse_duration, parse_size
from jasmin_arc.exceptions import InputFileError, InvalidJobDescription

RESERVED_PREFIX = ".jasmin_arc"
"""Session files whose names start so belong to this library"""
MAX_ARGUMENT = 128 * 1024 - 1
"""The kernel's own limit for one argument (``MAX_ARG_STRLEN``), in bytes without the final zero"""
_OPTION = re.compile(r"[a-z][a-z0-9-]+\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class FrozenDict(dict[_Key, _Value]):
    """A dictionary that cannot be changed, and so can be hashed if its values can.

    It is a ``dict``, so that it equals one with the same items and that ``json`` and ``dataclasses.asdict`` know it.
    """

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("this dictionary cannot be changed; dict() makes a copy that can")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        # The default fills an empty one item by item.
        return (type(self), (dict(self),))


def is_url(source: object) -> bool:
    return isinstance(source, str) and bool(_URL.match(source))


def is_pattern(output: str) -> bool:
    return any(char in output for char in "*?[")


def path_parts(path: str) -> list[str]:
    """The parts of a path in the session directory, without empty ones and dots."""
    return [part for part in path.split("/") if part not in ("", ".")]


def session_name(value: Any, field: str) -> str:
    """Return the name of a file in the session directory in its simplest form; an impossible one is an error."""
    text = _text(value, field)
    parts = path_parts(text)
    if text.startswith("/") or ".." in parts or not parts:
        raise InvalidJobDescription(f"{field}: must be a name inside the session directory, not {text!r}")
    if not text.isprintable():
        raise InvalidJobDescription(f"{field}: a name must be printable, not {text!r}")
    if parts[0].startswith(RESERVED_PREFIX):
        raise InvalidJobDescription(f"{field}: names that start with {RESERVED_PREFIX} are reserved: {text!r}")
    return "/".join(parts)


def output_name(value: Any, field: str = "outputs") -> str:
    """As :func:`session_name`, for an output."""
    name = session_name(value, field)
    if name.startswith("@"):
        problem = f"{field}: a compute element takes {name!r} for a list of outputs"
        raise InvalidJobDescription(problem, advice="use a pattern such as '*.nc'")
    return name


def _text(value: Any, field: str, *, max_bytes: int | None = None) -> str:
    if not isinstance(value, str):
        raise InvalidJobDescription(f"{field}: must be a text, not {value!r}")
    if "\0" in value:
        raise InvalidJobDescription(f"{field}: cannot hold a NUL character: {value!r}")
    try:
        size = len(os.fsencode(value))
    except UnicodeEncodeError as error:
        raise InvalidJobDescription(f"{field}: has characters that cannot be written down: {value!r}") from error
    if max_bytes is not None and size > max_bytes:
        raise InvalidJobDescription(f"{field}: a value of {len(value)} characters is over Linux's limit of 128 KiB")
    return value


def _list(values: Any, field: str) -> list[Any]:
    # A single text is a sequence too, of its letters: that is never meant.
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InvalidJobDescription(f"{field}: must be a list, not {values!r}")
    return list(values)


def _arguments(values: Any, field: str) -> tuple[str, ...]:
    return tuple(_argument(value, f"{field}[{place}]") for place, value in enumerate(_list(values, field)))


def _argument(value: Any, field: str, *, max_bytes: int = MAX_ARGUMENT) -> str:
    # True may mean "true", "True" or "1": the user must say it.
    if isinstance(value, Real) and not isinstance(value, bool):
        value = str(value)
    elif isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif not isinstance(value, str):
        raise InvalidJobDescription(f"{field}: must be a text, a number or a path, not {value!r}")
    return _text(value, field, max_bytes=max_bytes)


def _program(value: Any, field: str) -> str:
    text = _text(os.fspath(value) if isinstance(value, os.PathLike) else value, field, max_bytes=MAX_ARGUMENT)
    if text.startswith("-"):
        raise InvalidJobDescription(f"{field}: cannot start with a dash: {text!r}")
    return text


def _steps(values: Any, field: str) -> tuple[tuple[str, ...], ...]:
    steps = tuple(_arguments(step, f"{field}[{place}]") for place, step in enumerate(_list(values, field)))
    for step in steps:
        if not step or not _program(step[0], field).strip():
            raise InvalidJobDescription(f"{field}: each must name a program")
    return steps


def _printable(value: Any, field: str) -> str:
    text = _text(value, field)
    if not text.strip() or not text.isprintable():
        raise InvalidJobDescription(f"{field}: must be printable text, not {value!r}")
    return text


def default_name(program: str) -> str:
    """Name a job after its program. A user did not choose this name, so it is never refused."""
    return re.sub(r"[\x00-\x1f\x7f]", "", PurePosixPath(program).name)[:100].strip() or "job"


def _word(value: Any, field: str) -> str:
    if " " in (text := _printable(value, field)):
        raise InvalidJobDescription(f"{field}: must be one word, not {value!r}")
    return text


def _mapping(values: Any, field: str, of_what: str) -> Mapping[Any, Any]:
    if values is not None and not isinstance(values, Mapping):
        raise InvalidJobDescription(f"{field}: must be a mapping of {of_what}, not {values!r}")
    return values or {}


def _environment(values: Any, field: str) -> FrozenDict[str, str]:
    variables: dict[str, str] = {}
    for key, value in _mapping(values, field, "names to values").items():
        if not isinstance(key, str) or not _VARIABLE.match(key):
            raise InvalidJobDescription(f"{field}: not the name of a variable: {key!r}")
        variables[key] = _argument(value, f"{field}: {key}", max_bytes=MAX_ARGUMENT - len(key) - 1)
    return FrozenDict(variables)


def _native(values: Any, field: str) -> FrozenDict[str, str]:
    options: dict[str, str] = {}
    for key, value in _mapping(values, field, "options to values").items():
        name = key.lstrip("-").replace("_", "-") if isinstance(key, str) else ""
        if not _OPTION.match(name):
            raise InvalidJobDescription(f"{field}: not the long name of an option: {key!r}")
        if value is not None and value is not False:
            options[name] = "" if value is True else _argument(value, f"{field}: {name}")
    return FrozenDict(options)


def _count(value: Any, field: str, *, minimum: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise InvalidJobDescription(f"{field}: must be a whole number of at least {minimum}, not {value!r}")
    return value


def _flag(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidJobDescription(f"{field}: must be True or False, not {value!r}")
    return value


def _inputs(values: Any, field: str) -> FrozenDict[str, str | Path | bytes]:
    if isinstance(values, Mapping):
        pairs = list(values.items())
    else:
        sources = [values] if isinstance(values, (str, os.PathLike)) else _list(values, field)
        pairs = [(_base_name(source, field), source) for source in sources]
    inputs: dict[str, str | Path | bytes] = {}
    for given, source in pairs:
        name = session_name(given, field)
        if name in (STDOUT_NAME, STDERR_NAME):
            raise InputFileError(f"{field}: the name {name!r} is the job's own", advice="give the file another")
        if name in inputs:
            advice = "give a mapping of different names to them"
            raise InputFileError(f"{field}: two of them are called {name!r}", advice=advice)
        inputs[name] = _source(source, field)
    return FrozenDict(inputs)


def _base_name(source: Any, field: str) -> str:
    if is_url(source):
        return unquote(urlsplit(source).path.rstrip("/").rpartition("/")[2])
    if not isinstance(source, (str, os.PathLike)):
        raise InvalidJobDescription(f"{field}: must be paths, or a mapping of names to sources, not {source!r}")
    path = Path(os.fspath(source))
    # The name of "." or of "data/.." is known to the file system alone.
    return path.name if path.name not in ("", "..") else path.resolve().name


def _source(source: Any, field: str) -> str | Path | bytes:
    if isinstance(source, (bytes, bytearray)):
        return bytes(source)
    if is_url(source):
        if not str(source).isprintable() or " " in source:
            raise InvalidJobDescription(f"{field}: not a valid URL: {source!r}")
        # A file of this machine is uploaded: a compute element would wait for it for ever.
        return _file_of_url(str(source), field) if source.startswith("file:") else str(source)
    if not isinstance(source, (str, os.PathLike)):
        raise InvalidJobDescription(f"{field}: must be a path, a URL or bytes, not {source!r}")
    text = _text(os.fspath(source), field)
    if not text:
        raise InvalidJobDescription(f"{field}: a path cannot be empty")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InvalidJobDescription(f"{field}: {text!r}: there is no such user") from error


def _file_of_url(url: str, field: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise InvalidJobDescription(f"{field}: the URL of a file on this machine is file:///PATH, not {url!r}")
    return Path(unquote(parts.path))


def _outputs(values: Any, field: str) -> FrozenDict[str, str | None]:
    if isinstance(values, Mapping):
        pairs = list(values.items())
    else:
        pairs = [(name, None) for name in ([values] if isinstance(values, str) else _list(values, field))]
    outputs: dict[str, str | None] = {}
    for given, target in pairs:
        name = output_name(given, field)
        if target is not None and not (is_url(target) and str(target).isprintable() and " " not in target):
            raise InvalidJobDescription(f"{field}: the target of {name!r} must be a URL, not {target!r}")
        if target is not None and is_pattern(name):
            raise InvalidJobDescription(f"{field}: a pattern cannot be sent to a URL: {name!r}")
        outputs[name] = target
    return FrozenDict(outputs)


def _stdin(value: Any, field: str) -> Path | bytes:
    source = _source(value, field)
    if isinstance(source, str):
        raise InvalidJobDescription(f"{field}: must be a path or bytes, not {value!r}")
    return source


def _optional(check: Callable[[Any, str], _Value]) -> Callable[[Any, str], _Value | None]:
    return lambda value, field: None if value is None else check(value, field)


CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "executable": _program,
    "arguments": _arguments,
    "name": _optional(_printable),
    "inputs": _inputs,
    "outputs": _optional(_outputs),
    "environment": _environment,
    "queue": _optional(_word),
    "account": _optional(_word),
    "slots": _count,
    "slots_per_host": _optional(_count),
    "memory": _optional(parse_size),
    "wall_time": _optional(parse_duration),
    "cpu_time": _optional(parse_duration),
    "runtime_environments": lambda values, field: tuple(_word(value, field) for value in _list(values, field)),
    "stdin": _optional(_stdin),
    "steps": _steps,
    "stop_on_failure": _flag,
    "rerun": partial(_count, minimum=0),
    "native": _native,
}
"""Checks a value that was given for a field, and returns what the description holds"""
