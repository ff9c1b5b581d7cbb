"""Comparing a job description with what a compute element offers, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import chain

from jasmin_arc._support.quantities import duration
from jasmin_arc._support.suggestions import nearest
from jasmin_arc._support.text import excerpt
from jasmin_arc.description import JobDescription
from jasmin_arc.site_info import QueueInfo, SiteInfo


def check(description: JobDescription, site: SiteInfo) -> list[str]:
    """Return what stands in the way of the job, one sentence each, as far as the site publishes its limits."""
    problems = [
        _no_such("runtime environment", name, site.runtime_environments)
        for name in description.runtime_environments
        if name not in site.runtime_environments
    ]
    names = [queue.name for queue in site.queues]
    if description.queue is not None and description.queue not in names:
        return [*problems, _no_such("queue", description.queue, names)]
    return problems + may_never_start(description, site)


def may_never_start(description: JobDescription, site: SiteInfo) -> list[str]:
    """Return the limits that the job is over in its queue; if nobody knows which that is, in each that it may be."""
    name = description.queue or default_queue(site)
    over = [over_limits(description, queue) for queue in site.queues if not name or queue.name == name]
    doubt = "" if all(over) else ", where a job that names no queue may be put"
    fits = allowing_queue(description, site, instead_of=name)
    return [f"{problem}{doubt}{fits and '; '}{fits}" for problem in chain.from_iterable(over)]


def default_queue(site: SiteInfo | None) -> str:
    """Return the queue that a job is in which names none; an empty text where that is not known."""
    queues = site.queues if site else ()
    return queues[0].name if site and len(queues) == 1 else site.default_queue if site else ""


def allowing_queue(description: JobDescription, site: SiteInfo, *, instead_of: str = "") -> str:
    """Name a queue, other than ``instead_of``, that allows the job, in words; an empty text where there is none."""
    names = [queue.name for queue in site.queues if not over_limits(description, queue)]
    return next((f"queue {excerpt(name)!r} allows it" for name in names if name != instead_of), "")


def over_limits(description: JobDescription, queue: QueueInfo) -> list[str]:
    """Return which of the queue's limits the job is over, one sentence each."""
    slots = min(filter(None, (queue.max_slots, queue.total_slots)), default=None)
    cpu_time = description.cpu_time / description.slots if description.cpu_time is not None else None
    pairs = [
        ("wall_time", description.wall_time, queue.max_wall_time),
        ("cpu_time", cpu_time, queue.max_cpu_time),
        ("slots", description.slots, slots),
        ("memory", description.memory, queue.max_memory),
    ]
    return [
        f"{field}: {_words(field, asked)} is over the limit of queue {queue.name!r}, {_words(field, limit)}"
        for field, asked, limit in pairs
        if asked is not None and limit is not None and asked > limit  # type: ignore[operator]
    ]


def _no_such(what: str, name: str, known: Iterable[str]) -> str:
    names = sorted(set(known))
    close = nearest(name, names)
    hint = f"; did you mean {close!r}?" if close else ""
    offered = f"; there is {', '.join(names)}" if names else "; the site offers none"
    return f"there is no {what} {name!r} at this site{hint or offered}"


def _words(field: str, value: int | timedelta | None) -> str:
    if field == "memory" and isinstance(value, int):
        return f"{value / 2**20:.0f} MB per slot"
    words = duration(value) if isinstance(value, timedelta) else str(value)
    return f"{words} per slot" if field == "cpu_time" else words
