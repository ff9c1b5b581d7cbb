"""Reading what a job of functions has written down: how each of its calls went."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RESULTS_NAME = "jasmin_arc_results"
"""The output that holds the results"""
RETURNED = "returned"
RAISED = "raised"


@dataclass(frozen=True)
class Outcome:
    """How a call went."""

    kind: str
    """:data:`RETURNED` or :data:`RAISED`"""
    content: bytes = field(repr=False)
    """The pickle of what was returned; or of the exception, and its traceback as text"""
    seconds: float = 0.0


@dataclass
class Report:
    """All that a job has written down. What was cut short, as the job was killed, is not in it."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    """By the number of the call"""
    began: set[int] = field(default_factory=set)
    refused: dict[int | None, str] = field(default_factory=dict)
    """Why a call could not be made; by ``None``, why none could"""
    printed: tuple[bytes | None, bytes | None] = (None, None)
    """The ends of standard output and error; ``None`` where they did not come along"""
    is_whole: bool = False
    """Whether the job came to its end"""

    def reason(self, number: int) -> str | None:
        """Say why a call could not be made."""
        return self.refused.get(number, self.refused.get(None))


def read_report(content: bytes) -> Report:
    """Read the file, up to where it makes sense."""
    report = Report()
    start = 0
    while (end := content.find(b"\n", start)) >= 0:
        head = _head(content[start:end])
        size = _number(head.get("size", 0))
        start = end + 1 + (size or 0)
        if size is None or start > len(content):
            break
        _add(report, head, content[end + 1 : start])
    return report


def _head(line: bytes) -> Mapping[str, Any]:
    try:
        head = json.loads(line)
    except (ValueError, RecursionError):
        head = None
    return head if isinstance(head, dict) else {"size": None}


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _add(report: Report, head: Mapping[str, Any], content: bytes) -> None:
    kind, number = head.get("kind"), _number(head.get("task"))
    if kind == "refused":
        report.refused[number] = str(head.get("reason"))
    elif kind == "end":
        report.is_whole = True
        report.printed = _printed(head.get("sizes"), content)
    elif number is not None and kind == "began":
        report.began.add(number)
    elif number is not None and kind in (RETURNED, RAISED):
        seconds = head.get("seconds")
        report.outcomes[number] = Outcome(kind, content, seconds if isinstance(seconds, float) else 0.0)


def _printed(sizes: object, content: bytes) -> tuple[bytes | None, bytes | None]:
    if not (isinstance(sizes, list) and len(sizes) == 2):
        return None, None
    out, error = map(_number, sizes)
    middle = out or 0
    return (None if out is None else content[:middle]), (None if error is None else content[middle : middle + error])
