"""How values are written: for programs, for people, and in JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from jasmin_arc._support.quantities import duration, local_time, size
from jasmin_arc._support.text import SHORT_ID, last_part, one_line
from jasmin_arc.constants import JobState

_SIZES = ("memory", "max_memory", "size")
"""Properties that are numbers of bytes"""


def for_json(value: Any) -> Any:
    """Return in a type of JSON what has none itself: times in ISO 8601, durations in seconds."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return int(seconds) if seconds == int(seconds) else seconds
    return value.value if isinstance(value, Enum) else str(value)


def for_programs(value: Any) -> str:
    """Write a value without tabs or line ends; ``-`` stands for none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ",".join(map(for_programs, value)) or "-"
    return ("" if value is None else one_line(str(for_json(value)))) or "-"


def for_people(value: Any) -> str:
    """Write a value of any kind on one line."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return local_time(value)
    if isinstance(value, timedelta):
        return duration(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(for_people, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return one_line(str(for_json(value)))


def of_property(name: str, value: Any) -> str:
    """Write the value of a property; a number of bytes is known by the name of the property."""
    return size(value) if name in _SIZES and isinstance(value, int) else for_people(value)


def status_words(status: str, state: object) -> str:
    """Return what people call the status of a job in this state. A job that somebody cancelled has not failed."""
    return "cancelled" if state == JobState.KILLED else status


# --- Job ids ---


def short_ids(job_ids: Iterable[str], others: Iterable[str] = ()) -> dict[str, str]:
    """Return, for each id, the shortest beginning of its last part that no job has, ``others`` included."""
    parts = {job_id: last_part(job_id) for job_id in job_ids}
    ordered = sorted({*parts.values(), *map(last_part, others)})
    lengths = dict.fromkeys(ordered, SHORT_ID)
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
