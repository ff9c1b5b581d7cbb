"""Where results go: a table on a terminal, plain lines in a pipe, or one JSON document."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jasmin_arc._support.text import one_line

if TYPE_CHECKING:
    from rich.table import Table

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    :param key: where its values are in the rows
    :param title: its heading on a terminal
    :param show: how a value is written on a terminal; in a pipe it is always :func:`plain`
    :param whole: whether it keeps its width, whatever becomes of the others
    """

    key: str
    title: str
    show: Callable[[Any], str] | None = None
    style: Callable[[Row], str] | None = None
    whole: bool = False
    right: bool = False
    from_width: int = 0
    """How wide a terminal must be for this column"""


class Output:
    """Collects the results of one command, and prints them in the way that suits where they go.

    :param json: print one JSON document at the end, and nothing else
    """

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self.command = ""
        self.results: list[Row] = []
        self.errors: list[Row] = []
        self.shorten: Callable[[Sequence[str]], Mapping[str, str]] = short_ids
        """How the ids in a table are shortened for people"""

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads standard output."""
        return sys.stdout.isatty()

    def table(self, rows: Sequence[Row], columns: Sequence[Column]) -> None:
        """Print rows: the given columns for people and pipes, all that is known in JSON."""
        self.results.extend(rows)
        if self.json:
            return
        if not self.is_terminal:
            self._write("".join("\t".join(plain(row.get(column.key)) for column in columns) + "\n" for row in rows))
        elif rows:
            shown = self.shorten([row["id"] for row in rows if "id" in row])
            console().print(make_table(rows, columns, shown))

    def record(self, row: Row) -> None:
        """Print one thing with many properties, one a line; those without a value only in JSON and pipes."""
        self.results.append(row)
        if self.json:
            return
        if not self.is_terminal:
            self._write("".join(f"{key}\t{plain(value)}\n" for key, value in row.items()))
        else:
            console().print(make_record(row))

    def done(self, job_ids: Sequence[str], what: str) -> None:
        """Print what was done with each job."""
        self.table([{"id": job_id, "done": what} for job_id in job_ids], DONE)

    def lines(self, rows: Sequence[Row], key: str) -> None:
        """Print one value of each row, plainly, also on a terminal: something to copy."""
        self.results.extend(rows)
        if not self.json:
            self._write("".join(plain(row[key]) + "\n" for row in rows))

    def text(self, text: str, row: Row) -> None:
        """Print a text as it is."""
        self.results.append(row)
        if not self.json:
            self._write(text if text.endswith("\n") or not text else text + "\n")

    def stream(self, text: str) -> None:
        """Print a part of a text at once."""
        if not self.json:
            self._write(text)
            sys.stdout.flush()

    def stream_bytes(self, block: bytes) -> None:
        """Print a part of a file at once, as it is."""
        if not self.json:
            sys.stdout.flush()
            sys.stdout.buffer.write(block)
            sys.stdout.flush()

    def finish(self, code: int) -> None:
        """Print the JSON document, if that is wanted."""
        if self.json and self.command is not None:
            import json

            document = {
                "command": self.command,
                "exit_code": code,
                "results": self.results,
                "errors": self.errors,
            }
            self._write(json.dumps(_for_json(document), indent=2) + "\n")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)


_SHORTEST = 8


def last_part(job_id: object) -> str:
    """Return the last part of a job id: the rest of it is the same for all jobs of a place."""
    return one_line(str(job_id).rstrip("/").rpartition("/")[2])


def short_ids(job_ids: Iterable[str], others: Iterable[str] = ()) -> dict[str, str]:
    """Return, for each id, the shortest beginning of its last part that no other job has, for people to type.

    :param others: the ids of further jobs
    """
    parts = {job_id: last_part(job_id) for job_id in job_ids}
    ordered = sorted({*parts.values(), *map(last_part, others)})
    lengths = dict.fromkeys(ordered, _SHORTEST)
    # In sorted order, the two beside a name have the longest beginnings in common with it.
    for name, following in zip(ordered, ordered[1:]):
        needed = _in_common(name, following) + 1
        lengths[name] = max(lengths[name], needed)
        lengths[following] = max(lengths[following], needed)
    return {job_id: part[: lengths[part]] for job_id, part in parts.items()}


def _in_common(one: str, other: str) -> int:
    """Return the length of the longest beginning that both texts have."""
    pairs = enumerate(zip(one, other))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def plain(value: Any) -> str:
    """Write a value for a program: no tabs or line ends, times in UTC, durations in seconds, ``-`` for none."""
    if value is None or value == "" or value == [] or value == ():
        return "-"
    value = _for_json(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(plain, value))
    return one_line(str(value)) or "-"


def _for_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _for_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_for_json(entry) for entry in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return int(seconds) if seconds == int(seconds) else seconds
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


# --- For people ---


def moment(value: datetime | None) -> str:
    """Write a time on the user's own clock."""
    return "" if value is None else value.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(value: timedelta | None) -> str:
    """Write a duration as a clock shows it."""
    if value is None:
        return ""
    if timedelta(0) < value < timedelta(seconds=10):
        return f"{value.total_seconds():.2f} s"
    seconds = int(value.total_seconds())
    days, rest = divmod(abs(seconds), 86400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return ("-" if seconds < 0 else "") + (f"{days}d {clock}" if days else clock)


def size(value: int | None) -> str:
    """Write a number of bytes, in powers of 1024."""
    if value is None:
        return ""
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TB"


def human(value: Any) -> str:
    """Write a value of any kind for a person."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, timedelta):
        return duration(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(human, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return one_line(str(_for_json(value)))


def console() -> Any:
    """Return rich's console; rich is loaded only for terminals. It respects ``NO_COLOR`` and the width."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False, emoji=False, markup=False)


_GAP = 2
_LEAST_FOLDED = 12
"""How narrow a name may become"""


def make_table(rows: Sequence[Row], columns: Sequence[Column], short: Mapping[str, str] | None = None) -> Table | Grid:
    """Lay rows out for a terminal, so that nothing is cut: names fold; if that is not enough, each cell gets a line.

    :param short: what to show instead of an id
    """
    width = console().width
    shown = [column for column in columns if column.from_width <= width]
    cells = [[_cell(column, row, short or {}) for column in shown] for row in rows]
    styles = [[column.style(row) if column.style else "" for column in shown] for row in rows]
    grid = Grid(shown, cells, styles)
    if grid.width <= width:
        return grid
    least = [_least_width(column, [line[number] for line in cells]) for number, column in enumerate(shown)]
    if sum(least) + _GAP * (len(least) - 1) > width:
        return _one_below_the_other(shown, cells)
    return _side_by_side(shown, cells, styles, least)


class Grid:
    """Rows that are narrow enough to need no folding.

    Rich's own table can do the same, but takes 0.55 s for 2000 rows; this takes 0.03 s.
    """

    def __init__(
        self, columns: Sequence[Column], cells: Sequence[Sequence[str]], styles: Sequence[Sequence[str]]
    ) -> None:
        heading = [column.title for column in columns]
        self._right = [column.right for column in columns]
        self._lines = [heading, *cells] if _any_title(columns) else cells
        self._styles = [["bold"] * len(columns), *styles] if _any_title(columns) else styles
        self._widths = [max(map(_width, texts)) for texts in zip(heading, *cells)]
        self.width = sum(self._widths) + _GAP * (len(self._widths) - 1)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.segment import Segment

        style_of = functools.cache(console.get_style)
        gaps = [0, *[_GAP] * (len(self._widths) - 1)]
        for texts, styles in zip(self._lines, self._styles):
            for gap, text, style, width, right in zip(gaps, texts, styles, self._widths, self._right):
                space = " " * (width - _width(text))
                yield Segment(" " * gap)
                yield Segment(space + text if right else text + space, style_of(style))
            yield Segment.line()


def _width(text: str) -> int:
    from rich.cells import cell_len

    return len(text) if text.isascii() else cell_len(text)


def _least_width(column: Column, texts: Sequence[str]) -> int:
    widest = max(map(len, texts), default=0)
    if column.whole:
        return max(widest, len(column.title))
    # A heading may be folded between its words, a number never.
    heading = max(map(len, column.title.split()), default=0)
    return max(heading, widest if column.right else min(widest, _LEAST_FOLDED))


def _side_by_side(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], styles: Sequence[Sequence[str]], least: Sequence[int]
) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    table.show_header = _any_title(columns)
    for column, width in zip(columns, least):
        justify: Any = "right" if column.right else "left"
        table.add_column(column.title, overflow="fold", no_wrap=column.whole, min_width=width, justify=justify)
    for line, line_styles in zip(cells, styles):
        table.add_row(*(Text(text, style=style) for text, style in zip(line, line_styles)))
    return table


def _one_below_the_other(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> Table:
    table = _properties()
    for number, line in enumerate(cells):
        if number:
            table.add_row("", "")
        for column, text in zip(columns, line):
            if text:
                table.add_row(column.title, _text(text))
    return table


def _properties() -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=False)
    table.add_column(style="bold", overflow="fold")
    table.add_column(overflow="fold", min_width=_LEAST_FOLDED)
    return table


def _text(text: str) -> Any:
    from rich.text import Text

    return Text(text)


def _cell(column: Column, row: Row, short: Mapping[str, str]) -> str:
    value = row.get(column.key)
    if column.key == "id":
        return short.get(str(value), human(value))
    return (column.show or human)(value)


def _any_title(columns: Sequence[Column]) -> bool:
    """Say whether there is a heading to show."""
    return any(column.title for column in columns)


DONE = (Column("id", "", whole=True), Column("done", ""))
"""Which job, and what was done with it"""


def make_record(row: Row) -> Table:
    """Lay out the properties of one thing for a terminal."""
    table = _properties()
    for key, value in row.items():
        text = size(value) if key in ("memory", "size") else human(value)
        if text:
            table.add_row(key.replace("_", " "), _text(text))
    return table
