"""Where results go: a table on a terminal, plain lines in a pipe, or one JSON document."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from jasmin_arc._support.values import for_json, for_programs, short_ids
from jasmin_arc.display.columns import DONE, Column, Row
from jasmin_arc.display.tables import make_record, make_table
from jasmin_arc.display.text import wrap


class Output:
    """Collects the results of one command, and prints them in the way that suits where they go."""

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self.command = ""
        self.results: list[Row] = []
        self.errors: list[Row] = []
        self.shorten: Callable[[Sequence[str]], Mapping[str, str]] = short_ids
        """How the ids in a table are shortened for people"""

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads standard output, not a program."""
        return sys.stdout.isatty()

    def table(self, rows: Sequence[Row], columns: Sequence[Column]) -> None:
        """Print rows: the given columns for people and pipes, all that is known in JSON."""
        self.results.extend(rows)
        if self.json or not rows:
            return
        if self.is_terminal:
            self.print_table(rows, columns)
        else:
            self._print_lines("\t".join(for_programs(row.get(column.key)) for column in columns) for row in rows)

    def print_table(self, rows: Sequence[Row], columns: Sequence[Column]) -> None:
        screen = console()
        screen.print(make_table(rows, columns, screen.width, self.shorten([row["id"] for row in rows if "id" in row])))

    def record(self, row: Row, shown: Row | None = None) -> None:
        """Print one thing with many properties, one a line; those without a value only in JSON and pipes.

        :param shown: what is printed, where that is not all that stands in JSON
        """
        self.results.append(row)
        if self.json:
            return
        shown = row if shown is None else shown
        if self.is_terminal:
            self.print_record(shown)
        else:
            self._print_lines(f"{key}\t{for_programs(value)}" for key, value in shown.items())

    def print_record(self, row: Row) -> None:
        screen = console()
        screen.print(make_record(row, screen.width))

    def done(self, job_ids: Iterable[str], what: str) -> None:
        """Print what was done with each job."""
        self.table([{"id": job_id, "done": what} for job_id in job_ids], DONE)

    def lines(self, rows: Sequence[Row], key: str) -> None:
        """Print one value of each row, plainly, also on a terminal: something to copy."""
        self.results.extend(rows)
        if not self.json:
            self._print_lines(for_programs(row[key]) for row in rows)

    def text(self, text: str, row: Row, *, prose: bool = False) -> None:
        """Print a text: as it is, or ``prose``, whose lines end between words on a narrow terminal."""
        self.results.append(row)
        if not self.json:
            shown = fitted(text, sys.stdout) if prose else text
            sys.stdout.write(shown if shown.endswith("\n") or not shown else shown + "\n")

    def stream(self, block: bytes) -> None:
        """Print a part of a file at once, as it is."""
        if not self.json:
            sys.stdout.flush()
            sys.stdout.buffer.write(block)
            sys.stdout.flush()

    def finish(self, code: int) -> None:
        """Print the JSON document, if that is wanted."""
        if self.json:
            document = {"command": self.command, "exit_code": code, "results": self.results, "errors": self.errors}
            sys.stdout.write(json.dumps(document, indent=2, default=for_json) + "\n")

    def _print_lines(self, lines: Iterable[str]) -> None:
        sys.stdout.write("".join(f"{line}\n" for line in lines))


def fitted(text: str, stream: TextIO) -> str:
    """Return a message so that a terminal breaks none of its words; for anything but a terminal, as it is."""
    return wrap(text, _columns(stream)) if stream.isatty() else text


def _columns(stream: TextIO) -> int:
    size = os.terminal_size((80, 24))
    with contextlib.suppress(OSError, ValueError):
        size = os.get_terminal_size(stream.fileno())
    # Standard output may be a pipe while this stream is a terminal.
    return shutil.get_terminal_size(size).columns or 80


def console() -> Any:
    """Return rich's console; rich is loaded only for terminals. It respects ``NO_COLOR`` and the width."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False, emoji=False, markup=False)
