"""What a board shows of jobs that are watched: how many are in which state, and which ones need somebody to look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from heapq import nsmallest
from typing import Any

from jasmin_arc._support import html
from jasmin_arc._support.quantities import duration
from jasmin_arc._support.text import counted, excerpt
from jasmin_arc._support.values import short_ids
from jasmin_arc.display.columns import STATUS_STYLES, Column
from jasmin_arc.display.tables import make_table

ROWS = 20
"""How many jobs a board shows"""
_NAME_LENGTH = 100
UNASKED = "submitted"
"""What is known of a job before the first answer"""
UNKNOWN = "unknown"
"""What is said of a job that is not known where it ran"""
_FIRST = ("failed", UNKNOWN, "cancelled")
_ENDED = ("completed", *_FIRST)
_GOING_ON = ("in progress", "not started", "not submitted", UNASKED)
_ROW_ORDER = (*_FIRST, *_GOING_ON, "completed")
_BAR_ORDER = ("completed", *_FIRST, *_GOING_ON)
_COLUMNS = ("status", "name", "job", "why")
_OTHER_LINES = 8
"""How many lines of a terminal are not for jobs"""
_BAR = 40
"""How wide the bar of a terminal is at most"""


@dataclass(frozen=True)
class Board:
    """Jobs at one moment."""

    statuses: Mapping[str, str]
    """By id, in the words of :func:`~jasmin_arc._support.values.status_words`, or one of ``UNASKED`` and ``UNKNOWN``"""
    names: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why jobs failed, where that is known"""
    seconds: float = 0.0
    """How long they have been watched"""
    note: str = ""
    """What the reader can do, or what went wrong"""

    @cached_property
    def counts(self) -> list[tuple[str, int]]:
        """How many jobs have which status, in the order of the bar."""
        found = Counter(self.statuses.values())
        return [(word, found[word]) for word in _BAR_ORDER if found[word]]

    @property
    def line(self) -> str:
        """All of it in one line."""
        each = ", ".join(f"{number} {word}" for word, number in self.counts)
        ended = sum(number for word, number in self.counts if word in _ENDED)
        time = duration(timedelta(seconds=int(self.seconds)))
        return f"{ended} of {counted(len(self.statuses), 'job')} ended after {time}: {each or 'nothing to watch'}"

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """The jobs that are shown, those that need somebody to look first."""
        rank = {word: place for place, word in enumerate(_ROW_ORDER)}
        shown = nsmallest(ROWS, self.statuses, key=lambda job_id: rank[self.statuses[job_id]])
        short = short_ids(shown)
        return [
            {
                "status": self.statuses[job_id],
                "name": excerpt(self.names.get(job_id, ""), max_length=_NAME_LENGTH),
                "job": excerpt(short[job_id], max_length=_NAME_LENGTH),
                "why": excerpt(self.reasons.get(job_id, ""), max_length=2 * _NAME_LENGTH),
            }
            for job_id in shown
        ]

    def html(self) -> str:
        """Return it for a notebook: at most 64 kB, however many jobs there are."""
        grid = html.grid(self._columns, [_marked(self._cells(row)) for row in self.rows])
        return html.frame(
            html.heading(self.line),
            html.bar(self.counts),
            *([grid] if self.rows else []),
            *(html.tag("div", html.quiet(line)) for line in self._below(len(self.rows))),
        )

    def text(self) -> str:
        """Return it as a few lines; of the jobs, only those that failed."""
        failed = [row for row in self.rows if row["status"] in _FIRST]
        lines = ["  ".join(filter(None, self._cells(row))) for row in failed]
        return "\n".join([self.line, *(f"  {line}" for line in lines), *([self.note] if self.note else [])])

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.text import Text

        yield Text(self.line)
        if self.counts:
            yield self._bar(min(options.max_width, _BAR))
        columns = [_COLUMN_OF[name] for name in self._columns]
        shown = self.rows[: max(console.size.height - _OTHER_LINES, 1)]
        yield make_table(shown, columns, options.max_width)
        for line in self._below(len(shown)):
            yield Text(line, style="dim")

    @property
    def _columns(self) -> Sequence[str]:
        return [name for name in _COLUMNS if any(row[name] for row in self.rows)]

    def _cells(self, row: Mapping[str, str]) -> list[str]:
        return [row[name] for name in self._columns]

    def _below(self, shown: int) -> list[str]:
        hidden = len(self.statuses) - shown
        return [*([f"and {hidden} more"] if hidden else []), *([self.note] if self.note else [])]

    def _bar(self, width: int) -> Any:
        from rich.text import Text

        bar, total, before = Text(), len(self.statuses), 0
        for word, number in self.counts:
            begin, before = round(before * width / total), before + number
            bar.append("━" * (round(before * width / total) - begin), style=STATUS_STYLES.get(word, "dim"))
        return bar


_COLUMN_OF = {
    "status": Column("status", "STATUS", style=lambda row: STATUS_STYLES.get(row["status"], ""), whole=True),
    "name": Column("name", "NAME"),
    "job": Column("job", "JOB", whole=True),
    "why": Column("why", "WHY"),
}


def _marked(cells: Sequence[str]) -> list[str]:
    return [html.status(cells[0]), *cells[1:]]
