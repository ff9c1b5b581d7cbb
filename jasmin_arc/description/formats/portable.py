"""The part of a job description that ARC's own languages can express, in their terms."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from jasmin_arc.constants import STDERR_NAME, STDOUT_NAME
from jasmin_arc.description import JobDescription, is_pattern
from jasmin_arc.description.formats.draft import ENV_PROGRAM, is_bare_name, is_executable
from jasmin_arc.description.run_script import STDIN_NAME, input_of
from jasmin_arc.exceptions import InvalidJobDescription


def refuse(description: JobDescription, fields: Iterable[str], what: str) -> None:
    """Refuse fields for which a language, or a place, has nothing."""
    for field in fields:
        if getattr(description, field):
            raise InvalidJobDescription(f"{field}: {what} has no place for it", advice="leave it out")


def command(description: JobDescription, language: str) -> tuple[str, ...]:
    """The program and its arguments, so that ARC's clients run the same program."""
    if description.steps or not description.stop_on_failure:
        field = "steps" if description.steps else "stop_on_failure"
        raise InvalidJobDescription(f"{field}: {language} describes a single program")
    program = description.executable
    if program.startswith("$"):
        raise InvalidJobDescription(f"executable: {language} takes {program!r} for a variable")
    if program.startswith("/") or input_of(program, description.inputs) is not None:
        return (program, *description.arguments)
    if not is_bare_name(program):
        problem = f"{program!r} is neither an absolute path, nor an input, nor a name on the PATH"
        raise InvalidJobDescription(f"executable: {problem}")
    return (ENV_PROGRAM, program, *description.arguments)


def inputs(description: JobDescription, language: str) -> list[tuple[str, str]]:
    """The inputs with their sources, the standard input among them."""
    sources: dict[str, str | Path | bytes] = dict(description.inputs)
    if description.stdin is not None:
        sources[STDIN_NAME] = description.stdin
    return [(input_name(name), _source(name, source, language)) for name, source in sources.items()]


def executables(description: JobDescription) -> list[str]:
    """The inputs that are files here, and executable."""
    files = description.inputs.items()
    return [input_name(name) for name, source in files if isinstance(source, Path) and is_executable(source)]


def outputs(description: JobDescription, language: str) -> list[tuple[str, str | None]]:
    """The outputs with their targets, the two streams among them; nothing where that is left to the configuration."""
    if description.outputs is None:
        return []
    if description.patterns:
        raise InvalidJobDescription(f"outputs: {language} has no patterns such as {description.patterns[0]!r}")
    return stored_outputs(description)


def stored_outputs(description: JobDescription) -> list[tuple[str, str | None]]:
    """The streams and all outputs that are no patterns."""
    names = {STDOUT_NAME: None, STDERR_NAME: None, **(description.outputs or {})}
    return [(name, target) for name, target in names.items() if not is_pattern(name)]


def input_name(name: str) -> str:
    """The name as a compute element must see it: A-REX takes what starts with ``@`` for a list of URLs."""
    return "./" + name if name.startswith("@") else name


def _source(name: str, source: str | Path | bytes, language: str) -> str:
    if isinstance(source, bytes):
        field = "stdin" if name == STDIN_NAME else f"inputs: {name}"
        raise InvalidJobDescription(f"{field}: {language} can name a file, but not hold its content; save it first")
    if isinstance(source, str):
        return source
    # A leading dot: ARC takes "a:b" for a URL and "@a" for a list.
    return str(source) if source.is_absolute() else f"./{source}"
