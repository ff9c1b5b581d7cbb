"""What to run: a job description that checks itself."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jasmin_arc._support.cards import Card, Shown, call_like
from jasmin_arc._support.values import for_people as in_words
from jasmin_arc.description.fields import (
    CHECKS,
    RESERVED_PREFIX,
    FrozenDict,
    default_name,
    is_pattern,
    is_url,
    output_name,
    path_parts,
    session_name,
)
from jasmin_arc.description.keywords import (
    DEFAULTS,
    Argument,
    Duration,
    Inputs,
    InputSource,
    JobFields,
    check_fields,
    check_keywords,
    shows_fields,
)
from jasmin_arc.exceptions import InvalidJobDescription

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True, init=False, repr=False)
class JobDescription(Shown):
    """A job: what to run, with which files, and what it needs.

    A description cannot be changed once it is made; :meth:`replace` makes another one. Equal descriptions have equal
    hashes, so they can be keys of a dictionary. What shows one leaves out the values of environment variables and the
    secrets of URLs.

    :param executable: the program: a name that is found on the node's PATH, a path on the node, or the name of
        one of the inputs
    :param arguments: the program's arguments; they arrive exactly as given. Numbers and paths become text
    :param name: the job's name (default: the executable's)
    :param inputs: files and folders to copy into the session directory: a path, a sequence of paths, or a mapping of
        the name there to a path, a URL that the compute element fetches, or the content as bytes
    :param outputs: names of files and folders to keep, with ``*``, ``?`` and ``[...]`` as in a shell; or a mapping of
        a name to the URL that it is sent to, or to ``None`` to keep it for download. By default the configuration's
        ``OUTPUT_FILE``
    :param environment: variables to set, exactly as given
    :param queue: the queue (default: the compute element's choice)
    :param account: the project or account that the job is charged to. Places that keep no such accounts refuse it:
        the local backend, and A-REX, which charges by the user
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
    :param native: more options for the place, as a mapping of their long names to values, such as
        ``{"constraint": "amd", "exclusive": True}``; ``True`` is for an option without a value. The Slurm backend gives
        them to sbatch. The other backends have none, and refuse them
    :raises TypeError: if a keyword is no field; the message names the one that may be meant
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
    account: str | None
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
    native: Mapping[str, str]

    @shows_fields
    def __init__(
        self,
        executable: str | os.PathLike[str] = "",
        arguments: Sequence[Argument] = (),
        **fields: Unpack[JobFields],
    ) -> None:
        check_keywords("JobDescription", fields)
        self._set({"executable": executable, "arguments": arguments, **DEFAULTS, **fields})

    def _set(self, values: Mapping[str, Any]) -> None:
        """Check the values of some fields and take them over."""
        own = vars(self)
        own.update({field: CHECKS[field](value, field) for field, value in values.items()})
        if not self.executable.strip() and not self.steps:
            raise InvalidJobDescription("executable: must name a program")
        if self.executable and self.steps:
            raise InvalidJobDescription("steps: give either executable and arguments, or steps, not both")
        if self.arguments and not self.executable:
            raise InvalidJobDescription("arguments: they need an executable")
        if self.slots_per_host is not None and self.slots_per_host > self.slots:
            raise InvalidJobDescription(
                f"slots_per_host: {self.slots_per_host} is more than the {self.slots} slots of the job"
            )
        own["name"] = own["name"] or default_name(self.commands[0][0])

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """What runs, one entry a step: the program and its arguments."""
        return self.steps or ((self.executable, *self.arguments),)

    @property
    def url_inputs(self) -> dict[str, str]:
        """The inputs that the place where the job runs fetches itself: names and URLs."""
        return {name: source for name, source in self.inputs.items() if isinstance(source, str)}

    @property
    def patterns(self) -> list[str]:
        """The outputs that are patterns."""
        return [name for name in self.outputs or {} if is_pattern(name)]

    @property
    def needs_credentials(self) -> bool:
        """Whether a compute element must be able to act in the user's name for this job, as for files of URLs."""
        return bool(self.urls) or self.hands_on_credentials

    @property
    def urls(self) -> list[str]:
        """Whence the place fetches inputs, and where it stores outputs."""
        return [*self.url_inputs.values(), *filter(None, (self.outputs or {}).values())]

    @property
    def hands_on_credentials(self) -> bool:
        """Whether the credentials are for more than files of URLs."""
        # Without credentials, A-REX refuses patterns of outputs: a list that a job writes might name URLs.
        return bool(self.patterns) or any("PROXY" in name.upper() for name in self.runtime_environments)

    def refuse_native(self) -> None:
        """Refuse options for the place, where it has none.

        :raises InvalidJobDescription: if there are any
        """
        if self.native:
            raise InvalidJobDescription(
                f"native: {', '.join(self.native)}: these are options of sbatch, and the job does not go to Slurm"
            )

    def replace(self, **changes: Any) -> JobDescription:
        """Return a copy with other values for some fields; ``None`` stands for a field's default.

        :raises InvalidJobDescription: for an impossible value
        """
        check_fields(changes)
        defaults = {"executable": "", "arguments": (), **DEFAULTS}
        copy = self._copy({})
        copy._set({field: defaults[field] if value is None else value for field, value in changes.items()})
        return copy

    def completed(self, default_outputs: Sequence[str]) -> JobDescription:
        """Return a copy in which nothing is left to this process: paths are absolute, and there are outputs."""
        outputs = CHECKS["outputs"](default_outputs, "outputs") if self.outputs is None else self.outputs
        inputs = FrozenDict({name: _absolute(source) for name, source in self.inputs.items()})
        return self._copy({"outputs": outputs, "inputs": inputs, "stdin": _absolute(self.stdin)})

    def _copy(self, checked: Mapping[str, Any]) -> JobDescription:
        copy = object.__new__(JobDescription)
        vars(copy).update({**vars(self), **checked})
        return copy

    def to_json(self) -> str:
        """Return the description as a JSON text; contents given as bytes are in base64. What is empty is left out."""
        # No outputs at all is not the same as the default output.
        given = {key: value for key, value in vars(self).items() if key == "outputs" or value not in ("", (), {})}
        given = {key: value for key, value in given.items() if value is not None}
        return json.dumps(given, default=_plain, sort_keys=True)

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
        check_fields(values)
        return cls(**{field: value for field, value in _with_contents(values).items() if value is not None})

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

    def _line(self) -> str:
        from jasmin_arc.description.what_was_run import for_json

        known = for_json(self)
        first, *others = known.pop("commands")
        run = {"steps": [first, *others]} if self.steps else {"executable": first[0], "arguments": first[1:]}
        if self.slots == 1:
            del known["slots"]
        return call_like(self, {"name": self.name, **run, **known})

    def _card(self) -> Card:
        from jasmin_arc.description.what_was_run import for_people

        shown = {name: value for name, value in for_people(self).items() if value}
        return Card(self.name, properties=[(name.replace("_", " "), in_words(value)) for name, value in shown.items()])


def _absolute(source: Any) -> Any:
    return source.absolute() if isinstance(source, Path) else source


def _plain(value: Path | timedelta | bytes) -> str | float | dict[str, str]:
    """What stands in JSON for a value that it does not know."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    return str(value) if isinstance(value, Path) else value.total_seconds()


def _with_contents(values: dict[str, Any]) -> dict[str, Any]:
    """Read back those fields that may hold bytes."""
    inputs = values.get("inputs")
    if isinstance(inputs, dict):
        values = {**values, "inputs": {name: _content("inputs", source) for name, source in inputs.items()}}
    return {**values, "stdin": _content("stdin", values.get("stdin"))}


def _content(field: str, value: Any) -> Any:
    if not (isinstance(value, dict) and set(value) == {"base64"} and isinstance(value["base64"], str)):
        return value
    try:
        return base64.b64decode(value["base64"], validate=True)
    except ValueError as error:
        raise InvalidJobDescription(f"{field}: not valid base64: {error}") from error


__all__ = [
    "RESERVED_PREFIX",
    "Argument",
    "Duration",
    "InputSource",
    "Inputs",
    "JobDescription",
    "JobFields",
    "check_keywords",
    "is_pattern",
    "is_url",
    "output_name",
    "path_parts",
    "session_name",
    "shows_fields",
]
