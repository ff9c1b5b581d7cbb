"""Times, durations and sizes as people read them: one form of each, in tables, messages and explanations.

Messages, which are read on other machines too, have times in UTC: see :func:`jasmin_arc._support.text.utc`.
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo


def local_time(moment: datetime) -> str:
    """Write a time as the clock here shows it, with its zone."""
    return f"{moment.astimezone(_zone_now()):%Y-%m-%d %H:%M:%S %Z}"


def local_minute(moment: datetime) -> str:
    """Write a time for a table, whose heading has the zone: see :func:`local_zone`."""
    return f"{moment.astimezone(_zone_now()):%Y-%m-%d %H:%M}"


def local_zone() -> str:
    """Return the name of the zone in which this machine shows times."""
    return f"{datetime.now(_zone_now()):%Z}"


def _zone_now() -> tzinfo | None:
    # The present zone for all times, also for those before the clocks were changed: one table has one zone.
    return datetime.now().astimezone().tzinfo


def duration(value: timedelta) -> str:
    """Write a duration, such as ``2 h 3 min``. Nothing but parts of a second is left out."""
    amount = abs(value.total_seconds())
    sign = "-" if value < timedelta(0) else ""
    if amount < 10 and amount != int(amount):
        return f"{sign}{amount:.1f} s"
    seconds = int(amount)
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    return sign + (" ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s")


def size(value: int) -> str:
    """Write a number of bytes, in powers of 1024."""
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1024:
            return f"{_three_digits(amount)} {unit}" if unit != "B" else f"{value} B"
        amount /= 1024
    return f"{amount:.1f} TB"


def _three_digits(amount: float) -> str:
    if amount < 10:
        return f"{amount:.1f}"
    return f"{amount:.1f}".removesuffix(".0") if amount < 100 else f"{amount:.0f}"
