"""One job for each row of a table: placeholders such as ``{year}`` stand for the row's values."""

from __future__ import annotations

import csv
import difflib
import io
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jasmin_arc.exceptions import InputFileError, InvalidJobDescription

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_MAX_BYTES = 64 << 20


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
        if path == "-":
            return sys.stdin.buffer.read(_MAX_BYTES).decode("utf-8-sig")
        with Path(path).open("rb") as file:
            return file.read(_MAX_BYTES).decode("utf-8-sig")
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
