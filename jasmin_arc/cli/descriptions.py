"""Job descriptions from the command line: a command after ``--``, files in four languages, rows of a table."""

from __future__ import annotations

import contextlib
import csv
import difflib
import io
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from jasmin_arc.cli.app import context_of
from jasmin_arc.cli.completion import complete_file, complete_input
from jasmin_arc.cli.parameters import complete_account, complete_queue
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import InputFileError, InvalidJobDescription

_READERS = {
    ".xrsl": JobDescription.from_xrsl,
    ".adl": JobDescription.from_adl,
    ".xml": JobDescription.from_adl,
    ".jsdl": JobDescription.from_jsdl,
    ".json": JobDescription.from_json,
}
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_MAX_BYTES = 64 << 20
_MOST_WORDS = 8
"""Of a command that is suggested: a pattern of the shell can stand for thousands"""


def _pair(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{parameter.opts[-1]} needs {parameter.metavar}, not {value!r}", context)
        pairs[name] = text
    return pairs


def _native(_context: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> dict[str, str | bool]:
    pairs = (value.partition("=") for value in values)
    return {name: text if equals else True for name, equals, text in pairs}


def _field(flags: str, metavar: str, text: str, *, many: bool = False, **attributes: Any) -> Callable[[Any], Any]:
    """Return an option; its last name is that of the field of the description."""
    help_text = f"{text} Repeatable." if many else text
    return click.option(*flags.split(), metavar=metavar, multiple=many, help=help_text, **attributes)


_OPTIONS = (
    _field("--name name", "NAME", "The job's name (default: the program's)."),
    _field(
        "-i --input inputs",
        "[NAME=]PATH",
        "A file or folder to send, or a URL that the site fetches.",
        many=True,
        shell_complete=complete_input,
    ),
    _field("-o --output outputs", "NAME", "A file, folder or pattern to keep for download.", many=True),
    _field("-e --env environment", "NAME=VALUE", "An environment variable.", many=True, callback=_pair),
    _field("--account account", "NAME", "The account that the job is charged to.", shell_complete=complete_account),
    _field(
        "-q --queue queue",
        "QUEUE",
        "The queue, Slurm's partition (default: the site's choice).",
        shell_complete=complete_queue,
    ),
    _field("-n --slots slots", "N", "How many slots, mostly cores (default: 1).", type=int),
    _field("--slots-per-host slots_per_host", "N", "How many of them must be on one host.", type=int),
    _field("-m --memory memory", "SIZE", "Memory per slot, such as '4 GB'."),
    _field("-t --wall-time wall_time", "DURATION", "The most time it may run, such as '2h'."),
    _field("--cpu-time cpu_time", "DURATION", "The most CPU time it may use."),
    _field("-r --runtime-environment runtime_environments", "NAME", "A runtime environment or module.", many=True),
    _field("--stdin stdin", "FILE", "A file for the program's standard input.", shell_complete=complete_file),
    _field("--rerun rerun", "N", "How often the site may run it again after its own failures.", type=int),
    _field("--native native", "NAME[=VALUE]", "An option of sbatch, such as qos=high.", many=True, callback=_native),
)


def describes_jobs(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a job description; they arrive as keyword arguments."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def descriptions(
    files: Sequence[str], command: Sequence[str] | None, table: str | None, fields: Mapping[str, Any]
) -> list[JobDescription]:
    """Return what the command line describes; ``fields`` override what files say.

    :raises InvalidJobDescription: if anything is wrong; the message says in which file or line
    """
    values = {name: value for name, value in fields.items() if value not in (None, (), {})}
    if command is not None and files:
        raise click.UsageError("give either description files or a command after --, not both")
    if command is not None and not command:
        raise click.UsageError("there is no command after --")
    if command is not None:
        return [_of_command(command, values)] if table is None else _of_table(table, command, values)
    if table is not None:
        raise click.UsageError("--table needs a command after --, with the table's columns in it, such as {year}")
    if not files:
        raise click.UsageError("say what to run: a command after --, or files with job descriptions")
    if Path(files[0]).suffix.lower() not in _READERS:
        kinds = ", ".join(_READERS)
        raise click.UsageError(f"{files[0]!r} is no job description ({kinds}); to run it: '{_as_a_command(files)}'")
    return [_of_file(path, _with_named_inputs(values)) for path in files]


def _as_a_command(words: Sequence[str]) -> str:
    """Return the command line that was probably meant: the words are run, and the files among them are sent along."""
    words = words if len(words) <= _MOST_WORDS else words[:1]
    here = [word for word in words if Path(word).is_file()]
    run = [Path(word).name if word in here else word for word in words]
    if words[0] in here:
        run[:1] = ["python3", run[0]] if run[0].endswith(".py") else [f"./{run[0]}"]
    context = click.get_current_context()
    options = [part for word in here for part in ("-i", word)]
    return f"{context_of(context).program} {context.info_name} {shlex.join([*options, '--', *run])}"


def _of_command(command: Sequence[str], values: Mapping[str, Any]) -> JobDescription:
    return JobDescription(executable=command[0], arguments=command[1:], **_with_named_inputs(values))


def _of_table(path: str, command: Sequence[str], values: Mapping[str, Any]) -> list[JobDescription]:
    rows = read_table(path)
    check_placeholders([list(command), values], list(rows[0]))
    found = []
    for number, row in enumerate(rows, start=1):
        with _telling_where(f"{path}, job {number}"):
            found.append(_of_command(fill(command, row), fill(values, row)))
    return found


def _of_file(path: str, values: Mapping[str, Any]) -> JobDescription:
    read = _READERS.get(Path(path).suffix.lower())
    if read is None:
        kinds = ", ".join(_READERS)
        raise click.UsageError(f"{path!r} is no job description ({kinds})")
    text = read_text(path)
    with _telling_where(path):
        return read(text).replace(**values) if values else read(text)


@contextmanager
def _telling_where(place: str) -> Iterator[None]:
    try:
        yield
    except (InvalidJobDescription, InputFileError) as error:
        raise type(error)(f"{place}: {error.message}", advice=error.advice) from error


def _with_named_inputs(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give inputs their names, as the library does it for a plain list of paths. Placeholders must be filled in."""
    named: dict[str, str] = {}
    for name, path in map(_name_and_path, values.get("inputs", ())):
        key = name or next(iter(JobDescription(executable="x", inputs=[path]).inputs))
        if key in named:
            advice = "give one another name, NAME=PATH"
            raise InvalidJobDescription(f"--input: two of them are called {key!r}", advice=advice)
        named[key] = path
    return {**values, "inputs": named} if named else dict(values)


def _name_and_path(value: str) -> tuple[str, str]:
    """Take ``NAME=PATH`` apart; a URL or a file with an equals sign of its own is taken for what it is."""
    name, equals, path = value.partition("=")
    named = bool(equals and name and path) and "://" not in name and not Path(value).exists()
    return (name, path) if named else ("", value)


# --- Tables: placeholders such as {year} stand for the values of a row ---


def read_table(path: str) -> list[dict[str, str]]:
    """Read a CSV or TSV file whose first line names the columns; ``-`` is standard input.

    :raises InvalidJobDescription: if it is no such table; the message names the line
    """
    text = read_text(path)
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    # Only what ends a line in CSV does so here; str.splitlines would break cells at form feeds and U+2028 too.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InvalidJobDescription(f"{path}, line {reader.line_num}: not a valid table: {error}") from error
    if len(rows) < 2:
        raise InvalidJobDescription(f"{path}: needs a line with the names of its columns, and a line for each job")
    header = [cell.strip() for cell in rows[0][1]]
    if not all(header) or len(set(header)) != len(header):
        raise InvalidJobDescription(f"{path}: each column needs a name of its own, not {', '.join(header)}")
    for line, cells in rows[1:]:
        if len(cells) != len(header):
            raise InvalidJobDescription(f"{path}, line {line}: has {len(cells)} values for {len(header)} columns")
    return [dict(zip(header, (cell.strip() for cell in cells))) for _, cells in rows[1:]]


def read_text(path: str) -> str:
    """Read a file that holds UTF-8 text; ``-`` is standard input."""
    try:
        if path == "-" and sys.stdin is None:
            raise InputFileError("cannot read -: standard input is closed")
        with contextlib.nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise InputFileError(f"{path}: is longer than {_MAX_BYTES >> 20} MiB", advice="use several shorter files")
        return text.decode("utf-8-sig")
    except OSError as error:
        raise InputFileError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidJobDescription(f"{path}: is not UTF-8 text") from error


def fill(value: Any, row: Mapping[str, str]) -> Any:
    """Replace the placeholders in all texts of the value; braces around anything but a column's name stay."""
    return _replaced(value, lambda found: row.get(found[1].strip(), found[0]))


def check_placeholders(value: Any, columns: Sequence[str]) -> None:
    """Refuse what can only be a mistake: a column's name misspelt, or no column used at all."""
    used: dict[str, str] = {}
    _replaced(value, lambda found: used.setdefault(found[1].strip(), ""))
    for name in sorted(used.keys() - set(columns)):
        close = difflib.get_close_matches(name, columns, 1, 0.75)
        if close:
            raise InvalidJobDescription(f"the table has no column {name!r}; did you mean {{{close[0]}}}?")
    if not used.keys() & set(columns):
        known = ", ".join(f"{{{column}}}" for column in columns)
        raise InvalidJobDescription(f"the command uses no column of the table, so all jobs were equal; use {known}")


def _replaced(value: Any, replacement: Callable[[re.Match[str]], str]) -> Any:
    if isinstance(value, str):
        return _PLACEHOLDER.sub(replacement, value)
    if isinstance(value, Mapping):
        return {_replaced(key, replacement): _replaced(entry, replacement) for key, entry in value.items()}
    return [_replaced(entry, replacement) for entry in value] if isinstance(value, (list, tuple)) else value
