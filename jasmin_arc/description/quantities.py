"""Durations and sizes as people write them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from jasmin_arc.exceptions import InvalidJobDescription

_SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONG_NAMES = {"second": "s", "minute": "m", "hour": "h", "day": "d", "week": "w", "hr": "h"}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]?\d):([0-5]?\d)\Z")
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?\s*\Z", re.IGNORECASE)
_MAX_SECONDS = 10 * 365 * 86400


def parse_duration(value: Any, field: str) -> timedelta:
    """Read seconds, a timedelta, ``"90m"``, ``"1h 30m"``, ``"01:30:00"`` or ``"2-00:00:00"``; ten years at most.

    :returns: whole seconds, rounded up
    """
    seconds: float | None = None
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        seconds = _seconds(value.strip().lower())
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        # A whole number may be too large for a float.
        seconds = float(max(min(value, _MAX_SECONDS + 1), 0))
    if seconds is None or not 0 < seconds <= _MAX_SECONDS:
        wanted = "a duration of more than 0, such as '2h', '1h 30m', '01:30:00' or 5400 (seconds)"
        raise InvalidJobDescription(f"{field}: must be {wanted}, not {value!r}")
    return timedelta(seconds=-int(-seconds // 1))


def _seconds(text: str) -> float | None:
    clock = _CLOCK.match(text)
    if clock:
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return days * 86400 + hours * 3600 + minutes * 60 + seconds
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    total, position = 0.0, 0
    while position < len(text):
        part = _PART.match(text, position)
        if not part:
            return None
        single = part[2].removesuffix("s") or "s"
        unit = _SECONDS.get(_LONG_NAMES.get(single, single))
        if unit is None:
            return None
        total += float(part[1]) * unit
        position = part.end()
    return total


def parse_size(value: Any, field: str) -> int:
    """Read a number of bytes, or a text such as ``"4 GB"`` or ``"512M"``. Units are powers of 1024, as in Slurm."""
    size = value if isinstance(value, int) and not isinstance(value, bool) else 0
    if isinstance(value, str) and (match := _SIZE.match(value)):
        # The number is infinite where it has hundreds of digits.
        size = int(min(float(match[1]), 2.0**62) * 1024 ** " kmgtp".index(match[2].lower() or " "))
    if not 0 < size < 2**62:
        raise InvalidJobDescription(f"{field}: must be a size such as '4 GB' or a number of bytes, not {value!r}")
    return size


def duration_in(text: str) -> timedelta | None:
    """Read what another program says; ``None`` if it is no duration, such as ``UNLIMITED``."""
    try:
        return parse_duration(text, "")
    except InvalidJobDescription:
        return None


def size_in(text: str) -> int | None:
    """As :func:`duration_in`, for a number of bytes."""
    try:
        return parse_size(text, "")
    except InvalidJobDescription:
        return None
