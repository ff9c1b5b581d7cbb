"""A job description that is being read from ADL, xRSL or JSDL, by the rules of ARC's own clients.

An input without a source is a local file of that name. A program or stdin with a relative path is a local file.
"""

from __future__ import annotations

import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from jasmin_arc._support.xml import check, text_of
from jasmin_arc.constants import STDERR_NAME, STDOUT_NAME
from jasmin_arc.description import JobDescription, is_url
from jasmin_arc.description.run_script import STDIN_NAME, input_of
from jasmin_arc.exceptions import InvalidJobDescription

ENV_PROGRAM = "/usr/bin/env"
"""What finds a program on the node's PATH: to ARC's clients, a bare name is a local file"""


@dataclass
class Draft:
    """The fields as they stand in the text; :meth:`build` gives them their meaning."""

    executable: str = ""
    arguments: list[str] = field(default_factory=list)
    name: str | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    """Names in the session directory, and a path or URL, or nothing for a local file of that name"""
    executables: dict[str, str] = field(default_factory=dict)
    """Names of inputs that shall be executable, and the word with which the text says so"""
    outputs: dict[str, str] | None = None
    """Names in the session directory, and a URL, or nothing to keep it for download"""
    environment: dict[str, str] = field(default_factory=dict)
    queue: str | None = None
    account: str | None = None
    slots: int | None = None
    slots_per_host: int | None = None
    memory: int | None = None
    wall_time: int | None = None
    cpu_time: int | None = None
    runtime_environments: list[str] = field(default_factory=list)
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    rerun: int | None = None

    def add_input(self, name: str, source: str) -> None:
        name = name.removeprefix("./")
        if name in self.inputs:
            raise InvalidJobDescription(f"inputs: two of them are called {name!r}")
        self.inputs[name] = source

    def add_output(self, name: str, target: str) -> None:
        """Add an output; ``/`` is the whole session directory."""
        self.outputs = self.outputs or {}
        self.outputs["*" if name in ("/", ".", "./") else name] = "" if target.startswith("file:") else target

    def build(self) -> JobDescription:
        if not self.executable:
            raise InvalidJobDescription("executable: the text names no program")
        inputs = {name: _source(name, source) for name, source in self.inputs.items()}
        stdin = self._stdin(inputs)
        inputs.pop(STDIN_NAME, None)
        executable, arguments = self._command(inputs)
        self._check_executables(executable, inputs)
        given = {**vars(self), "executable": executable, "arguments": arguments, "inputs": inputs}
        given.update(outputs=self._outputs(), stdin=stdin)
        for used in ("executables", "stdout", "stderr"):
            del given[used]
        return JobDescription(**{name: value for name, value in given.items() if value not in (None, "")})

    def _stdin(self, inputs: Mapping[str, str]) -> str | None:
        name = self.stdin.removeprefix("./")
        if not name:
            return None
        if name not in inputs and Path(name).is_absolute():
            raise InvalidJobDescription(f"stdin: {name!r} must be an input, or a local file with a relative path")
        source = inputs.get(name, name)
        if is_url(source):
            raise InvalidJobDescription(f"stdin: must be a local file, not {source!r}")
        return source

    def _command(self, inputs: dict[str, str]) -> tuple[str, list[str]]:
        name = self.arguments[0] if self.arguments else ""
        if self.executable == ENV_PROGRAM and is_bare_name(name) and name not in inputs:
            return name, self.arguments[1:]
        if self.executable.startswith("$"):
            raise InvalidJobDescription(f"executable: {self.executable!r}: variables are not expanded")
        if not self.executable.startswith("/") and input_of(self.executable, inputs) is None:
            inputs[self.executable] = self.executable
        return self.executable, self.arguments

    def _check_executables(self, program: str, inputs: Mapping[str, str]) -> None:
        # A job runs its program in any case. Other files keep their modes.
        for name, field_name in self.executables.items():
            if PurePosixPath(name) != PurePosixPath(program) and (reason := _why_not_executable(name, inputs)):
                raise InvalidJobDescription(f"{field_name}: {name!r} {reason}")

    def _outputs(self) -> dict[str, str | None] | None:
        if self.outputs is None:
            return None
        # The streams have names of their own here and are always kept.
        streams = {self.stdout or STDOUT_NAME: STDOUT_NAME, self.stderr or STDERR_NAME: STDERR_NAME}
        named = {streams.get(name, name): target or None for name, target in self.outputs.items()}
        return {name: target for name, target in named.items() if target or name not in (STDOUT_NAME, STDERR_NAME)}


def software_name(element: ElementTree.Element) -> str:
    """The name of a runtime environment, with its version if it has one."""
    check(element, ("Name", "Version"))
    version = text_of(element, "Version").strip()
    return text_of(element, "Name").strip() + (f"-{version}" if version else "")


def is_bare_name(program: str) -> bool:
    """Whether ``env`` looks for it on the PATH."""
    return bool(program) and not program.startswith("-") and "/" not in program and "=" not in program


def _why_not_executable(name: str, inputs: Mapping[str, str]) -> str:
    place = input_of(name, inputs)
    if place is None:
        return "is not an input"
    if is_url(inputs[place]):
        return "is fetched from a URL; only the program itself and files that are sent from here can be executable"
    path = Path(inputs[place], PurePosixPath(name).relative_to(place)).expanduser()
    advice = f"is sent as executable only if it is so here: chmod +x {shlex.quote(str(path))}"
    return "" if is_executable(path) else advice


def is_executable(path: Path) -> bool:
    """Whether there is a file, and its owner may execute it."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) and bool(mode & stat.S_IXUSR)


def _source(name: str, source: str) -> str:
    """The URL, or the local path, as ARC's clients understand it: what follows ``file://`` is never unquoted."""
    path = source.removeprefix("file:")
    if source.startswith("file://"):
        path = path[2:]
        if not path.startswith("/"):
            raise InvalidJobDescription(f"inputs: {source!r}: a local file has no host: file:///path")
    return path if source else name
