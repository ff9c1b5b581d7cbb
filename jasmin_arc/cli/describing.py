"""Job descriptions from the command line: a command after ``--``, files in four languages, rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from jasmin_arc.cli.table import check_placeholders, fill, read_table
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import InputFileError, InvalidJobDescription

SUFFIXES = (".xrsl", ".adl", ".xml", ".jsdl", ".json")
_MOST_BYTES = 64 << 20


def _pair(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{parameter.opts[-1]} needs NAME=VALUE, not {value!r}", context)
        pairs[name] = text
    return pairs


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--name", metavar="NAME", help="The job's name (default: the program's)."),
    click.option(
        "-i",
        "--input",
        "inputs",
        multiple=True,
        metavar="[NAME=]PATH",
        help="A file or folder to send along, or a URL that the site fetches. Repeatable.",
    ),
    click.option(
        "-o",
        "--output",
        "outputs",
        multiple=True,
        metavar="NAME",
        help="A file, folder or pattern to keep for download. Repeatable.",
    ),
    click.option(
        "-e",
        "--env",
        "environment",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_pair,
        help="An environment variable. Repeatable.",
    ),
    click.option("-q", "--queue", metavar="QUEUE", help="The queue (default: the site's choice)."),
    click.option("-n", "--slots", type=int, metavar="N", help="How many slots, mostly cores (default: 1)."),
    click.option("--slots-per-host", type=int, metavar="N", help="How many of them must be on one host."),
    click.option("-m", "--memory", metavar="SIZE", help="Memory per slot, such as '4 GB'."),
    click.option("-t", "--wall-time", metavar="DURATION", help="The most time it may run, such as '2h'."),
    click.option("--cpu-time", metavar="DURATION", help="The most CPU time it may use."),
    click.option(
        "-r",
        "--runtime-environment",
        "runtime_environments",
        multiple=True,
        metavar="NAME",
        help="A runtime environment of the site. Repeatable.",
    ),
    click.option("--stdin", metavar="FILE", help="A file for the program's standard input."),
    click.option("--rerun", type=int, metavar="N", help="How often the site may run it again after its own failures."),
)
_FIELDS = (
    "name",
    "inputs",
    "outputs",
    "environment",
    "queue",
    "slots",
    "slots_per_host",
    "memory",
    "wall_time",
    "cpu_time",
    "runtime_environments",
    "stdin",
    "rerun",
)


def describes_jobs(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a job description; they arrive as keyword arguments."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def take_fields(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was given of the fields of a job description."""
    return {key: arguments[key] for key in _FIELDS if arguments.get(key) not in (None, (), [], {})}


def descriptions(
    files: Sequence[str], command: Sequence[str] | None, table: str | None, fields: Mapping[str, Any]
) -> list[JobDescription]:
    """Return what the command line describes.

    :param files: files with job descriptions; ``fields`` override what they say
    :param command: the program and its arguments
    :param table: the table with a row for each job
    :raises InvalidJobDescription: if anything is wrong; the message says in which file or line
    """
    if command is not None and files:
        raise click.UsageError("give either description files or a command after --, not both")
    if command is not None and not command:
        raise click.UsageError("there is no command after --")
    if table is not None:
        if command is None:
            raise click.UsageError("--table needs a command after --, with the table's columns in it, such as {year}")
        return _of_table(table, command, fields)
    if command is None and not files:
        raise click.UsageError("say what to run: a command after --, or files with job descriptions")
    if command is not None:
        return [_of_command(command, fields)]
    return [_of_file(path, fields) for path in files]


def _of_command(command: Sequence[str], fields: Mapping[str, Any]) -> JobDescription:
    values = dict(fields)
    if "inputs" in values:
        values["inputs"] = _named(values["inputs"])
    return JobDescription(executable=command[0], arguments=command[1:], **values)


def _named(values: Sequence[str]) -> dict[str, str]:
    """Give inputs their names, as the library does it for a plain list of paths.

    :param values: with placeholders filled in, as it depends on what files there are where a name ends
    """
    named: dict[str, str] = {}
    for name, path in map(_name_and_path, values):
        key = name or next(iter(JobDescription(executable="-x"[1:], inputs=[path]).inputs))
        if key in named:
            raise InvalidJobDescription(f"--input: two of them are called {key!r}; give one another name, NAME=PATH")
        named[key] = path
    return named


def _name_and_path(value: str) -> tuple[str, str]:
    """Take ``NAME=PATH`` apart; a URL or a file with an equals sign of its own is taken for what it is."""
    name, equals, path = value.partition("=")
    named = bool(equals and name and path) and "://" not in name and not Path(value).exists()
    return (name, path) if named else ("", value)


def _of_table(path: str, command: Sequence[str], fields: Mapping[str, Any]) -> list[JobDescription]:
    rows = read_table(path)
    check_placeholders([list(command), dict(fields)], list(rows[0]))
    found = []
    for number, row in enumerate(rows, start=1):
        try:
            found.append(_of_command(fill(command, row), fill(fields, row)))
        except (InvalidJobDescription, InputFileError) as error:
            raise type(error)(f"{path}, job {number}: {error.message}", advice=error.advice) from error
    return found


def _of_file(path: str, fields: Mapping[str, Any]) -> JobDescription:
    read = _reader(path)
    values = dict(fields)
    if "inputs" in values:
        values["inputs"] = _named(values["inputs"])
    text = _text(path)
    try:
        description = read(text)
        return description.replace(**values) if values else description
    except (InvalidJobDescription, InputFileError) as error:
        raise type(error)(f"{path}: {error.message}", advice=error.advice) from error


def _reader(path: str) -> Callable[[str], JobDescription]:
    readers = {
        ".xrsl": JobDescription.from_xrsl,
        ".jsdl": JobDescription.from_jsdl,
        ".adl": JobDescription.from_adl,
        ".xml": JobDescription.from_adl,
        ".json": JobDescription.from_json,
    }
    reader = readers.get(Path(path).suffix.lower())
    if reader is not None:
        return reader
    raise click.UsageError(
        f"{path!r} is no job description ({', '.join(SUFFIXES)}); to run it as a command, put -- before it"
    )


def _text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise InputFileError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidJobDescription(f"{path}: is not UTF-8 text") from error
