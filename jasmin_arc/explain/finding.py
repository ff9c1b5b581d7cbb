"""What a rule finds."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """A cause, its sentence and the advice, an :class:`~jasmin_arc.exceptions.Advice` where it names actions."""

    cause: str
    summary: str
    advice: str
