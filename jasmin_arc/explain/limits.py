"""Comparing job descriptions with what the place offers, before anything is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from jasmin_arc._support.quantities import duration, size
from jasmin_arc._support.suggestions import nearest
from jasmin_arc._support.text import excerpt, first_few
from jasmin_arc.description import JobDescription
from jasmin_arc.site_info import QosInfo, QueueInfo, SiteInfo

_MOST_NAMED = 12
"""Of the names that somebody may choose from"""


def check(description: JobDescription, site: SiteInfo) -> list[str]:
    """Return what stands in the way of the job, one sentence each, as far as the site publishes its limits."""
    (problems,) = check_all([description], site)
    return problems


def check_all(
    descriptions: Sequence[JobDescription], site: SiteInfo, *, not_found: Collection[str] = ()
) -> list[list[str]]:
    """Do as :func:`check` for jobs that are to be submitted together.

    :param not_found: runtime environments that were looked for in vain, where the site has no list of them
    """
    qualities = [chosen_qos(job, site) for job in descriptions]
    counts = Counter(qos.name for qos in qualities if qos is not None)
    return [
        [*_no_such_environment(job, site, not_found), *_in_the_way(job, site), *_too_many(qos, counts)]
        for job, qos in zip(descriptions, qualities)
    ]


def may_never_start(description: JobDescription, site: SiteInfo) -> list[str]:
    """Return what may keep the job waiting for ever where it is put."""
    return [*_not_together(description, site), *_over_limits(description, site)]


def _over_limits(description: JobDescription, site: SiteInfo) -> list[str]:
    """Return the limits that the job is over in its queue; if nobody knows which that is, in each that it may be."""
    qos = chosen_qos(description, site)
    over = [over_limits(description, queue, qos) for queue in _its_queues(description, site) or (None,)]
    problems = dict.fromkeys(chain.from_iterable(over))
    if not problems or (description.queue and not all(over)):
        return []
    doubt = "" if all(over) else ", where a job that names no queue may be put"
    name = description.queue or default_queue(site)
    fits = allowing_queue(description, site, instead_of=name) or allowing_qos(description, site)
    return [f"{problem}{doubt}{fits and '; '}{fits}" for problem in problems]


def default_queue(site: SiteInfo | None) -> str:
    """Return the queue that a job is in which names none; an empty text where that is not known."""
    queues = site.queues if site else ()
    return queues[0].name if site and len(queues) == 1 else site.default_queue if site else ""


def chosen_qos(description: JobDescription, site: SiteInfo | None) -> QosInfo | None:
    """Return the quality of service that the job gets; ``None`` where that is not known."""
    if site is None:
        return None
    named = _named_qos(description)
    qos = next((qos for qos in site.qos if _is_in((qos.name,), named or site.default_qos)), None)
    # Another account may have a default of its own.
    return qos if named or qos is None or _allows(qos.accounts, _account(description, site)) else None


def allowing_queue(description: JobDescription, site: SiteInfo, *, instead_of: str = "") -> str:
    """Name a queue, other than ``instead_of``, that allows the job, in words; an empty text where there is none."""
    qos = chosen_qos(description, site)
    allowing = (queue.name for queue in site.queues if _is_allowed(description, site, queue, qos))
    return next((f"queue {excerpt(name)!r} allows it" for name in allowing if name != instead_of), "")


def allowing_qos(description: JobDescription, site: SiteInfo) -> str:
    """Name the qualities of service that allow the job in its queue, in words; an empty text where there are none."""
    queues = _its_queues(description, site)
    names = [qos.name for qos in site.qos if any(_is_allowed(description, site, queue, qos) for queue in queues)]
    return f"QoS {' or '.join(map(repr, names[:_MOST_NAMED]))} allows it" if names else ""


def over_limits(description: JobDescription, queue: QueueInfo | None, qos: QosInfo | None = None) -> list[str]:
    """Return which limits of the queue, and of the quality of service, the job is over, one sentence for each field."""
    over: dict[str, list[str]] = {}
    for field, asked, limit, where, words in _limits(description, queue, qos):
        if asked is not None and limit is not None and asked > limit:
            told = f"{field}: {words(asked)} is over the limit of "
            over.setdefault(told, []).append(f"{where}, {words(limit)}")
    return [told + ", and of ".join(places) for told, places in over.items()]


class _Limit(NamedTuple):
    field: str
    asked: Any
    """``None`` if the job does not say it"""
    limit: Any
    where: str
    words: Callable[[Any], str]


def _limits(job: JobDescription, queue: QueueInfo | None, qos: QosInfo | None) -> Iterator[_Limit]:
    if queue is not None:
        where = f"queue {queue.name!r}"
        slots = min(filter(None, (queue.max_slots, queue.total_slots)), default=None)
        cpu_time = job.cpu_time / job.slots if job.cpu_time is not None else None
        if qos is None or not qos.overrides_wall_time:
            yield _Limit("wall_time", job.wall_time, queue.max_wall_time, where, duration)
        yield _Limit("cpu_time", cpu_time, queue.max_cpu_time, where, lambda time: f"{duration(time)} per slot")
        yield _Limit("slots", job.slots, slots, where, str)
        yield _Limit("memory", job.memory, queue.max_memory, where, lambda memory: f"{memory / 2**20:.0f} MB per slot")
    if qos is not None:
        where = f"QoS {qos.name!r}"
        memory = job.memory * job.slots if job.memory is not None else None
        yield _Limit("wall_time", job.wall_time, qos.max_wall_time, where, duration)
        yield _Limit("slots", job.slots, qos.max_slots, where, str)
        yield _Limit("memory", memory, qos.max_memory, where, lambda memory: f"{size(memory)} for all slots")


# --- Names ---


def _in_the_way(job: JobDescription, site: SiteInfo) -> list[str]:
    problems = list(_not_yours(job, site))
    names = [queue.name for queue in site.queues]
    asked = filter(None, (job.queue or site.default_queue).split(","))
    told = "" if job.queue else ", though it is the default"
    unknown = [_no_such("queue", name, names, told) for name in asked if name not in names]
    return problems + (unknown or (_over_limits(job, site) if problems else may_never_start(job, site)))


def _no_such_environment(job: JobDescription, site: SiteInfo, not_found: Collection[str]) -> Iterator[str]:
    known = site.runtime_environments
    for name in job.runtime_environments:
        if known is not None and name not in known:
            yield _no_such("runtime environment", name, known)
        elif name in not_found:
            yield f"there is no runtime environment {name!r} at this site: no module has that in its name"


def _not_yours(job: JobDescription, site: SiteInfo) -> Iterator[str]:
    """Name an account and a quality of service that the user may not choose."""
    if site.accounts and not _account(job, site):
        yield f"the job names no account, and there is no default; yours are {_some(site.accounts)}"
    chosen = (
        ("account", job.account, site.default_account, site.accounts),
        ("QoS", _named_qos(job), site.default_qos, tuple(qos.name for qos in site.qos)),
    )
    for what, named, default, yours in chosen:
        name = named or default
        if name and not _allows(yours, name):
            close = nearest(name, yours)
            hint = f"; did you mean {close!r}?" if close else ""
            yield f"{'' if named else 'the default '}{what} {name!r} is not one of yours ({_some(yours)}){hint}"


def _not_together(job: JobDescription, site: SiteInfo) -> Iterator[str]:
    """Name what the user may choose, but not in this combination."""
    account, qos = _account(job, site), chosen_qos(job, site)
    name = job.queue or default_queue(site)
    rules = [
        (f"queue {queue.name!r}", what, chosen, allowed)
        for queue in site.queues
        if queue.name == name
        for what, chosen, allowed in (("account", account, queue.accounts), ("QoS", qos and qos.name, queue.qos))
    ]
    if qos is not None:
        rules.append((f"QoS {qos.name!r}", "account", account, qos.accounts))
    for where, what, chosen, allowed in rules:
        if chosen and not _allows(allowed, chosen):
            yield f"{where} cannot be used with {what} {chosen!r}, only with {_some(allowed)}"


def _is_allowed(job: JobDescription, site: SiteInfo, queue: QueueInfo, qos: QosInfo | None) -> bool:
    account = _account(job, site)
    return (
        _allows(queue.accounts, account)
        and (qos is None or (_allows(queue.qos, qos.name) and _allows(qos.accounts, account)))
        and not over_limits(job, queue, qos)
    )


def _too_many(qos: QosInfo | None, counts: Counter[str]) -> Iterator[str]:
    if qos is not None and qos.max_jobs is not None and counts[qos.name] > qos.max_jobs:
        yield f"{counts[qos.name]} jobs are more than QoS {qos.name!r} allows you at a time, {qos.max_jobs}"


def _its_queues(job: JobDescription, site: SiteInfo) -> Sequence[QueueInfo]:
    """Return the queues that the job may be put into. To Slurm, a job can name several, with commas between them."""
    name = job.queue or default_queue(site)
    return [queue for queue in site.queues if queue.name in name.split(",")] if name else site.queues


def _account(job: JobDescription, site: SiteInfo) -> str:
    return job.account or site.default_account


def _named_qos(job: JobDescription) -> str:
    return job.native.get("qos", "")


def _allows(allowed: Collection[str], name: str) -> bool:
    return not allowed or _is_in(allowed, name)


def _is_in(names: Collection[str], name: str) -> bool:
    """Find an account or a QoS: Slurm does not tell capital letters in them from small ones."""
    return name.lower() in {known.lower() for known in names}


def _some(names: Sequence[str]) -> str:
    return first_few(names, _MOST_NAMED)


def _no_such(what: str, name: str, known: Iterable[str], told: str = "") -> str:
    names = sorted(set(known))
    close = nearest(name, names)
    hint = f"; did you mean {close!r}?" if close else ""
    offered = f"; there is {', '.join(names)}" if names else "; the site offers none"
    return f"there is no {what} {name!r} at this site{told}{hint or offered}"
