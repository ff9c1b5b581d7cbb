"""How objects show themselves: a card in a notebook, lines of text elsewhere, both with the same content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, NamedTuple

from jasmin_arc._support.text import excerpt, one_line, without_secrets_of_urls
from jasmin_arc._support.values import of_property

_MOST_ROWS = 100
"""Of a table in a notebook, which is saved with it"""


class Grid(NamedTuple):
    """A table with headings."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    statuses: bool = False
    """Whether the first column has the statuses of jobs"""


class Card(NamedTuple):
    """What one object shows. What is empty is left out."""

    title: str
    about: str = ""
    """What stands beside the title, and matters less"""
    status: str = ""
    properties: Sequence[tuple[str, str]] = ()
    paragraphs: Sequence[str] = ()
    points: Sequence[str] = ()
    """What stands in a list, below the first paragraph"""
    grids: Sequence[Grid] = ()
    note: str = ""
    """What stands at the end, and matters less"""

    def html(self) -> str:
        """Return the card as HTML."""
        from jasmin_arc._support import html

        head = [*([html.status(self.status)] if self.status else []), *([html.quiet(self.about)] if self.about else [])]
        first, rest = self.paragraphs[:1], self.paragraphs[1:]
        return html.frame(
            html.heading(self.title, *head),
            *(html.tag("div", text, style="margin:4px 0") for text in first),
            *([html.tag("ul", *(html.tag("li", text) for text in self.points))] if self.points else []),
            *(html.tag("div", text, style="margin:4px 0") for text in rest),
            html.properties(self.properties),
            *(_grid(grid) for grid in self.grids),
            *([html.tag("div", html.quiet(self.note))] if self.note else []),
        )

    def text(self) -> str:
        """Return the card as lines of text."""
        head = "  ".join(filter(None, (_fit(self.title), self.status, _fit(self.about))))
        first, rest = self.paragraphs[:1], self.paragraphs[1:]
        points = [f"  - {line}" for line in self.points]
        width = max((len(name) for name, _ in self.properties), default=0)
        lines = [f"  {name:<{width}}  {_fit(value)}" for name, value in self.properties]
        grids = [line for grid in self.grids for line in ("", *_aligned(grid))]
        return "\n".join([head, *first, *points, *rest, *lines, *grids, *([self.note] if self.note else [])])


class Shown:
    """Shows itself as a card. Nothing is asked for that: a card has what is known."""

    def _card(self) -> Card:
        raise NotImplementedError

    def _line(self) -> str:
        """Return what a developer sees of it among other things."""
        raise NotImplementedError

    # Here and not in the classes: IPython takes a class's own __repr__ before the _repr_pretty_ of its base.
    def __repr__(self) -> str:
        return self._line()

    def __str__(self) -> str:
        return self._lines()

    def _lines(self) -> str:
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # Among others, as in a list, an object takes one line.
        printer.text(self._lines() if len(printer.stack) == 1 and not cycle else repr(self))


def known_fields(thing: Any, *, without: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Return the fields of a dataclass as people read them, without those that are not known."""
    values = {field.name: getattr(thing, field.name) for field in fields(thing) if field.name not in without}
    return [(name.replace("_", " "), of_property(name, value)) for name, value in values.items() if _is_known(value)]


def grid_of(things: Sequence[Any], what: str) -> Grid:
    """Return a table with a row for each dataclass, and a column for each field that is known of one of them.

    :param what: what they are, which stands above their names
    """
    known = [field.name for field in fields(things[0]) if any(_is_known(getattr(one, field.name)) for one in things)]
    rows = [[of_property(name, getattr(one, name)) for name in known] for one in things]
    headings = {**{name: name.replace("_", " ") for name in known}, "name": what}
    return Grid([headings[name] for name in known], rows)


def in_one_line(thing: Any) -> str:
    """Return what a developer sees of a dataclass: all that is known, in units that people read."""
    values = {field.name: getattr(thing, field.name) for field in fields(thing)}
    return call_like(thing, {name: value for name, value in values.items() if _is_known(value)})


def call_like(thing: object, values: dict[str, Any]) -> str:
    """Return the values as the arguments of a call of the class."""
    return f"{type(thing).__name__}({', '.join(f'{name}={_literal(name, value)}' for name, value in values.items())})"


def _fit(text: str) -> str:
    """Return a text of others as one line without the passwords and signatures of URLs: what is shown may be shared."""
    return one_line(without_secrets_of_urls(text))


def _is_known(value: object) -> bool:
    return value is not None and value != "" and value != () and value != {}


def _literal(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal('', key)}: {_literal('', entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_literal("", entry) for entry in value) + "]"
    if isinstance(value, str) and not isinstance(value, Enum):
        return repr(excerpt(value))
    if value is None or isinstance(value, bool) or is_dataclass(value):
        return repr(value)
    shown = of_property(name, value)
    return shown if isinstance(value, int) and shown == str(value) else repr(shown)


def _grid(grid: Grid) -> str:
    from jasmin_arc._support import html

    rows = [[html.status(row[0]), *row[1:]] if grid.statuses else row for row in grid.rows[:_MOST_ROWS]]
    more = [html.quiet(f"and {len(grid.rows) - _MOST_ROWS} more")] if len(grid.rows) > _MOST_ROWS else []
    return html.joined([html.grid(grid.headings, rows), *more], "")


def _aligned(grid: Grid) -> list[str]:
    rows = [[_fit(cell) for cell in row] for row in (grid.headings, *grid.rows)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip() for row in rows]
