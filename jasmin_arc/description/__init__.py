"""What to run: a job description that checks itself."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Union
from urllib.parse import unquote, urlsplit

from jasmin_arc.constants import RUN_SCRIPT_NAME, STDERR_NAME, STDOUT_NAME
from jasmin_arc.description.frozen_dict import FrozenDict
from jasmin_arc.description.quantities import parse_duration, parse_size
from jasmin_arc.exceptions import InputFileError, InvalidJobDescription

InputSource = Union[str, "os.PathLike[str]", bytes]
"""Where an input comes from: a local path, a URL that the compute element fetches, or the content itself"""
Duration = Union[str, int, float, timedelta]
"""Seconds, a timedelta, or a text such as ``"2h"`` or ``"01:30:00"``"""

RESERVED_PREFIX = ".jasmin_arc"
"""Session files whose names start so are ours"""
LONGEST_ARGUMENT = 128 * 1024 - 1
"""The kernel's own limit for one argument (``MAX_ARG_STRLEN``), in bytes without the final zero"""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, init=False)
class JobDescription:
    """A job: what to run, with which files, and what it needs.

    A description cannot be changed once it is made; :meth:`replace` makes another one. Equal descriptions have equal
    hashes, so they can be keys of a dictionary.

    :param executable: the program: a name that is found on the node's PATH, a path on the node, or the name of
        one of the inputs
    :param arguments: the program's arguments; they arrive exactly as given
    :param name: the job's name (default: the executable's)
    :param inputs: files and folders to copy into the session directory: a sequence of paths, or a mapping of the
        name there to a path, a URL that the compute element fetches, or the content as bytes
    :param outputs: names of files and folders to keep, with ``*``, ``?`` and ``[...]`` as in a shell; or a mapping of
        a name to the URL that it is sent to, or to ``None`` to keep it for download. By default the configuration's
        ``OUTPUT_FILE``
    :param environment: variables to set, exactly as given
    :param queue: the queue (default: the compute element's choice)
    :param slots: the number of slots, which are cores at most sites
    :param slots_per_host: how many of the slots must be on one host
    :param memory: the memory per slot: bytes, or a text such as ``"4 GB"`` (units are powers of 1024)
    :param wall_time: the most time that the job may run: seconds, a timedelta, or a text such as ``"2h"``
    :param cpu_time: the most CPU time that the job may use, of all slots together
    :param runtime_environments: names of the compute element's runtime environments, such as ``"ENV/PROXY"``
    :param stdin: what the program reads from its standard input: a local path, or the content as bytes
    :param steps: instead of ``executable`` and ``arguments``: several commands to run one after another
    :param stop_on_failure: whether the first step that fails ends the job; the exit code is that of the first
        failure in any case
    :param rerun: how often the compute element may run the job again after a failure that is its own
    :raises InvalidJobDescription: if a value is impossible; the message names the field
    :raises InputFileError: if two inputs have the same name, or one has a name that the job itself uses
    """

    executable: str
    arguments: tuple[str, ...]
    name: str
    inputs: Mapping[str, str | Path | bytes]
    outputs: Mapping[str, str | None] | None
    environment: Mapping[str, str]
    queue: str | None
    slots: int
    slots_per_host: int | None
    memory: int | None
    wall_time: timedelta | None
    cpu_time: timedelta | None
    runtime_environments: tuple[str, ...]
    stdin: Path | bytes | None
    steps: tuple[tuple[str, ...], ...]
    stop_on_failure: bool
    rerun: int

    def __init__(
        self,
        *,
        executable: str | os.PathLike[str] = "",
        arguments: Sequence[str] = (),
        name: str | None = None,
        inputs: Sequence[str | os.PathLike[str]] | Mapping[str, InputSource] = (),
        outputs: str | Sequence[str] | Mapping[str, str | None] | None = None,
        environment: Mapping[str, str] | None = None,
        queue: str | None = None,
        slots: int = 1,
        slots_per_host: int | None = None,
        memory: str | int | None = None,
        wall_time: Duration | None = None,
        cpu_time: Duration | None = None,
        runtime_environments: Sequence[str] = (),
        stdin: str | os.PathLike[str] | bytes | None = None,
        steps: Sequence[Sequence[str]] = (),
        stop_on_failure: bool = True,
        rerun: int = 0,
    ) -> None:
        checked_steps = _steps(steps)
        program = _program(executable, required=not checked_steps)
        if program and checked_steps:
            raise InvalidJobDescription("steps: give either executable and arguments, or steps, not both")
        if arguments and not program:
            raise InvalidJobDescription("arguments: they need an executable")
        values: dict[str, Any] = {
            "executable": program,
            "arguments": _texts("arguments", arguments, longest=LONGEST_ARGUMENT),
            "name": _name(name, program or checked_steps[0][0]),
            "inputs": _inputs(inputs),
            "outputs": _outputs(outputs),
            "environment": _environment(environment or {}),
            "queue": _word("queue", queue),
            "slots": _count("slots", slots, 1),
            "slots_per_host": None if slots_per_host is None else _count("slots_per_host", slots_per_host, 1),
            "memory": None if memory is None else parse_size(memory, "memory"),
            "wall_time": None if wall_time is None else parse_duration(wall_time, "wall_time"),
            "cpu_time": None if cpu_time is None else parse_duration(cpu_time, "cpu_time"),
            "runtime_environments": tuple(
                _word("runtime_environments", entry) or ""
                for entry in _sequence("runtime_environments", runtime_environments)
            ),
            "stdin": _stdin(stdin),
            "steps": checked_steps,
            "stop_on_failure": _flag("stop_on_failure", stop_on_failure),
            "rerun": _count("rerun", rerun, 0),
        }
        for field, value in values.items():
            object.__setattr__(self, field, value)
        if self.slots_per_host is not None and self.slots_per_host > self.slots:
            raise InvalidJobDescription(
                f"slots_per_host: {self.slots_per_host} is more than the {self.slots} slots of the job"
            )

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """What runs, one entry a step: the program and its arguments."""
        return self.steps or ((self.executable, *self.arguments),)

    @property
    def needs_credentials(self) -> bool:
        """Whether a compute element must be able to act in the user's name for this job.

        It does so to transfer files from and to URLs. A-REX wants credentials for patterns of outputs too. A runtime
        environment may use them, as ENV/PROXY does.
        """
        outputs = self.outputs or {}
        urls = any(map(is_url, [*self.inputs.values(), *outputs.values()]))
        return urls or any(map(is_pattern, outputs)) or bool(self.runtime_environments)

    def replace(self, **changes: Any) -> JobDescription:
        """Return a copy with other values for some fields.

        :raises InvalidJobDescription: for an impossible value
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return _build({**values, **changes})

    def to_json(self) -> str:
        """Return the description as a JSON text; contents given as bytes are in base64. What is empty is left out."""
        # No outputs at all is not the same as the default output.
        given = {key: value for key, value in vars(self).items() if key == "outputs" or value not in ("", (), {})}
        return json.dumps({key: _plain(value) for key, value in given.items() if value is not None}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> JobDescription:
        """Read what :meth:`to_json` wrote, or the same by hand: an object with the fields of this class.

        :raises InvalidJobDescription: if it is not JSON, or a field is unknown or impossible
        :raises InputFileError: if an input has a name that is taken
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise InvalidJobDescription(f"the job description is not valid JSON: {error}") from error
        if not isinstance(values, dict):
            raise InvalidJobDescription("the job description must be a JSON object")
        return _build({**values, **_contents(values)})

    @classmethod
    def from_xrsl(cls, text: str) -> JobDescription:
        """Read a description in xRSL, by the rules of ARC's own clients.

        :raises InvalidJobDescription: if it is not xRSL, or asks for something that is not supported here
        :raises InputFileError: if an input has a name that is taken
        """
        from jasmin_arc.description.formats.xrsl import from_xrsl

        return from_xrsl(text)

    @classmethod
    def from_adl(cls, text: str) -> JobDescription:
        """Read a description in ADL; otherwise as :meth:`from_xrsl`."""
        from jasmin_arc.description.formats.adl import from_adl

        return from_adl(text)

    @classmethod
    def from_jsdl(cls, text: str) -> JobDescription:
        """Read a description in JSDL's POSIX subset; otherwise as :meth:`from_xrsl`."""
        from jasmin_arc.description.formats.jsdl import from_jsdl

        return from_jsdl(text)

    def to_adl(self) -> str:
        """Write the description as ADL, for other tools of ARC.

        :raises InvalidJobDescription: if ADL cannot express something; the message names the field
        """
        from jasmin_arc.description.formats.adl import to_adl

        return to_adl(self)

    def to_xrsl(self) -> str:
        """Write the description as xRSL, for other tools of ARC; memory is rounded up to whole MB.

        :raises InvalidJobDescription: if xRSL cannot express something; the message names the field
        """
        from jasmin_arc.description.formats.xrsl import to_xrsl

        return to_xrsl(self)


def _build(values: dict[str, Any]) -> JobDescription:
    known = [field.name for field in fields(JobDescription)]
    for key in values:
        if key not in known:
            raise InvalidJobDescription(f"there is no field {key!r}; the fields are {', '.join(known)}")
    return JobDescription(**{key: value for key, value in values.items() if value is not None})


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value


def _contents(values: Mapping[str, Any]) -> dict[str, Any]:
    """Read back those fields that may hold bytes."""
    found = {"stdin": _content("stdin", values.get("stdin"))}
    inputs = values.get("inputs")
    if isinstance(inputs, dict):
        found["inputs"] = {name: _content("inputs", source) for name, source in inputs.items()}
    return found


def _content(field: str, value: Any) -> Any:
    if not (isinstance(value, dict) and set(value) == {"base64"} and isinstance(value["base64"], str)):
        return value
    try:
        return base64.b64decode(value["base64"], validate=True)
    except ValueError as error:
        raise InvalidJobDescription(f"{field}: not valid base64: {error}") from error


def is_url(source: object) -> bool:
    """Say whether an input's source, or an output's target, is a URL."""
    return isinstance(source, str) and bool(_URL.match(source))


def is_pattern(output: str) -> bool:
    """Say whether the name of an output is a pattern of a shell."""
    return any(char in output for char in "*?[")


def _text(field: str, value: Any, *, longest: int | None = None) -> str:
    if not isinstance(value, str):
        raise InvalidJobDescription(f"{field}: must be a text, not {value!r}")
    if "\0" in value:
        raise InvalidJobDescription(f"{field}: cannot hold a NUL character: {value!r}")
    try:
        size = len(os.fsencode(value))
    except UnicodeEncodeError as error:
        raise InvalidJobDescription(f"{field}: has characters that cannot be written down: {value!r}") from error
    if longest is not None and size > longest:
        raise InvalidJobDescription(f"{field}: a value of {len(value)} characters is over Linux's limit of 128 KiB")
    return value


def _sequence(field: str, values: Any) -> list[Any]:
    # A single text is a sequence too, of its letters: never what was meant.
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InvalidJobDescription(f"{field}: must be a list, not {values!r}")
    return list(values)


def _texts(field: str, values: Any, *, longest: int | None = None) -> tuple[str, ...]:
    return tuple(_text(field, value, longest=longest) for value in _sequence(field, values))


def _program(value: Any, *, required: bool, field: str = "executable") -> str:
    text = _text(field, os.fspath(value) if isinstance(value, os.PathLike) else value, longest=LONGEST_ARGUMENT)
    if required and not text.strip():
        raise InvalidJobDescription(f"{field}: must name a program")
    if text.startswith("-"):
        raise InvalidJobDescription(f"{field}: cannot start with a dash: {text!r}")
    return text


def _steps(values: Any) -> tuple[tuple[str, ...], ...]:
    steps = tuple(_texts("steps", step, longest=LONGEST_ARGUMENT) for step in _sequence("steps", values))
    for step in steps:
        _program(step[0] if step else "", required=True, field="steps")
    return steps


def _name(value: Any, program: str) -> str:
    if value is None:
        # What the user did not choose must not be refused.
        value = re.sub(r"[\x00-\x1f\x7f]", "", PurePosixPath(program).name)[:100].strip() or "job"
    text = _text("name", value)
    if not text.strip() or not text.isprintable():
        raise InvalidJobDescription(f"name: must be printable text, not {value!r}")
    return text


def session_name(field: str, value: Any) -> str:
    """Check the name of a file in the session directory, and return it in its simplest form.

    :raises InvalidJobDescription: if it is empty, absolute, leaves the directory, or is one of ours
    """
    text = _text(field, value)
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/") or ".." in parts or not parts:
        raise InvalidJobDescription(f"{field}: must be a name inside the session directory, not {text!r}")
    if not text.isprintable():
        raise InvalidJobDescription(f"{field}: a name must be printable, not {text!r}")
    if parts[0].startswith(RESERVED_PREFIX):
        raise InvalidJobDescription(f"{field}: names that start with {RESERVED_PREFIX} are reserved: {text!r}")
    return "/".join(parts)


def _inputs(values: Any) -> FrozenDict[str, str | Path | bytes]:
    pairs = (
        list(values.items())
        if isinstance(values, Mapping)
        else [(_base_name(value), value) for value in _sequence("inputs", values)]
    )
    inputs: dict[str, str | Path | bytes] = {}
    for given, source in pairs:
        name = session_name("inputs", given)
        if name in (STDOUT_NAME, STDERR_NAME):
            raise InputFileError(f"inputs: the name {name!r} is the job's own", advice="give the file another")
        if name in inputs:
            raise InputFileError(
                f"inputs: two of them are called {name!r}", advice="give a mapping of different names to them"
            )
        inputs[name] = _source("inputs", source)
    return FrozenDict(inputs)


def _base_name(source: Any) -> str:
    if is_url(source):
        return unquote(urlsplit(source).path.rstrip("/").rpartition("/")[2])
    if not isinstance(source, (str, os.PathLike)):
        raise InvalidJobDescription(f"inputs: must be paths, or a mapping of names to sources, not {source!r}")
    # The name of "." or of "data/.." is known to the file system alone.
    path = os.fspath(source)
    return Path(path).name if Path(path).name not in ("", "..") else Path(path).resolve().name


def _source(field: str, source: Any) -> str | Path | bytes:
    if isinstance(source, (bytes, bytearray)):
        return bytes(source)
    if is_url(source):
        if not str(source).isprintable() or " " in source:
            raise InvalidJobDescription(f"{field}: not a valid URL: {source!r}")
        # A file here is for us to send: a compute element would wait for it for ever.
        return _file_of_url(field, str(source)) if source.startswith("file:") else str(source)
    if isinstance(source, (str, os.PathLike)):
        text = _text(field, os.fspath(source))
        if not text:
            raise InvalidJobDescription(f"{field}: a path cannot be empty")
        try:
            return Path(text).expanduser()
        except RuntimeError as error:
            raise InvalidJobDescription(f"{field}: {text!r}: there is no such user") from error
    raise InvalidJobDescription(f"{field}: must be a path, a URL or bytes, not {source!r}")


def _file_of_url(field: str, url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise InvalidJobDescription(f"{field}: the URL of a file on this machine is file:///PATH, not {url!r}")
    return Path(unquote(parts.path))


def _outputs(values: Any) -> FrozenDict[str, str | None] | None:
    if values is None:
        return None
    pairs = (
        list(values.items())
        if isinstance(values, Mapping)
        else [(value, None) for value in ([values] if isinstance(values, str) else _sequence("outputs", values))]
    )
    outputs: dict[str, str | None] = {}
    for given, target in pairs:
        name = session_name("outputs", given)
        if target is not None and not (is_url(target) and str(target).isprintable() and " " not in target):
            raise InvalidJobDescription(f"outputs: the target of {name!r} must be a URL, not {target!r}")
        if target is not None and is_pattern(name):
            raise InvalidJobDescription(f"outputs: a pattern cannot be sent to a URL: {name!r}")
        if name.startswith("@"):
            raise InvalidJobDescription(f"outputs: A-REX takes a name that starts with @ for a list: {name!r}")
        outputs[name] = target
    return FrozenDict(outputs)


def _environment(values: Any) -> FrozenDict[str, str]:
    if not isinstance(values, Mapping):
        raise InvalidJobDescription(f"environment: must be a mapping of names to values, not {values!r}")
    for key, value in values.items():
        if not isinstance(key, str) or not _VARIABLE.match(key):
            raise InvalidJobDescription(f"environment: not the name of a variable: {key!r}")
        _text(f"environment: {key}", value, longest=LONGEST_ARGUMENT - len(key) - 1)
    return FrozenDict(values)


def _word(field: str, value: Any) -> str | None:
    if value is None:
        return None
    text = _text(field, value)
    if not text or not text.isprintable() or " " in text:
        raise InvalidJobDescription(f"{field}: must be one word, not {value!r}")
    return text


def _count(field: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidJobDescription(f"{field}: must be a whole number of at least {least}, not {value!r}")
    return value


def _flag(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidJobDescription(f"{field}: must be True or False, not {value!r}")
    return value


def _stdin(value: Any) -> Path | bytes | None:
    if value is None:
        return None
    source = _source("stdin", value)
    if isinstance(source, str):
        raise InvalidJobDescription(f"stdin: must be a path or bytes, not {value!r}")
    return source


__all__ = ["RESERVED_PREFIX", "RUN_SCRIPT_NAME", "JobDescription", "is_pattern", "is_url", "session_name"]
