"""Reasons of the batch system that name a limit: of one job, which then never starts, or of several together."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import NamedTuple

from jasmin_arc._support.quantities import duration
from jasmin_arc._support.text import excerpt
from jasmin_arc.exceptions import Advice
from jasmin_arc.explain.facts import Facts, Finding
from jasmin_arc.site_info import QosInfo, QueueInfo

_LIMIT = re.compile(
    r"(?P<whose>QOS|Assoc|)(?P<kind>Max|Min|Grp)(?P<what>[A-Za-z]+?)(?P<of>PerJob|PerNode|PerUser|PerAccount|Per|)"
    r"(?:Limit|NotSatisfied)?"
)
_QUEUE_LIMIT = re.compile(r"Partition(?P<what>Time|Node)Limit|PartitionConfig")
_OF_ONE_JOB = ("PerJob", "PerNode", "Per")
_WHOSE = {"QOS": "its QoS", "Assoc": "its account"}
_WHO = {"PerUser": "one user", "PerAccount": "one account"}


class _Resource(NamedTuple):
    """What a limit is about."""

    pattern: str
    """Finds it in the reason"""
    words: str
    field: str
    """The field of the description; empty where there is none"""
    less: Advice
    """How an advice says that the job should ask for less"""


_RESOURCES = (
    _Resource("Minutes", "processor time", "", Advice("fewer {slots} or less {wall_time}")),
    _Resource("Wall|Time", "wall time", "wall_time", Advice("less {wall_time}")),
    _Resource("Cpu|CPU", "slots", "slots", Advice("fewer {slots}")),
    _Resource("Mem", "memory", "memory", Advice("less {memory}")),
    _Resource("Node", "nodes", "", Advice("fewer {slots}")),
    _Resource("Config", "slots, memory or nodes", "slots", Advice("fewer {slots} or less {memory}")),
    _Resource("GRES", "GPUs or other devices", "", Advice("fewer of them ({native})")),
    _Resource("License", "licences", "", Advice("fewer of them ({native})")),
    _Resource("Job", "jobs", "", Advice("fewer {slots}")),
    _Resource("", "resources", "", Advice("less {memory} or {wall_time}, or fewer {slots}")),
)


def limits_of_one_job(facts: Facts, reason: str) -> Finding | None:
    """Return what the job asks too much of, or too little, if that is the reason: it then waits for ever."""
    if queue := _QUEUE_LIMIT.fullmatch(reason):
        return _over_queue(facts, _resource(queue["what"] or "Config"))
    limit = _LIMIT.fullmatch(reason)
    if limit is None:
        return None
    what = _resource(limit["what"])
    whose = _WHOSE.get(limit["whose"], "the site")
    if limit["kind"] == "Min":
        summary = f"The job never starts: it asks for fewer {what.words} than {whose} demands"
        advice = Advice("Cancel it, and submit it again with another QoS ({qos}), or ask for more.")
        return Finding("over-limits", summary, advice)
    if limit["kind"] == "Grp" or limit["of"] not in _OF_ONE_JOB:
        return None
    return _over_qos(facts, what) if limit["whose"] == "QOS" else _over_others(facts, what, whose)


def limits_of_many(reason: str) -> Finding | None:
    """Return what jobs may not use more of together, if that is the reason: the job starts when others have ended."""
    limit = _LIMIT.fullmatch(reason)
    if limit is None:
        return None
    what, whose = _resource(limit["what"]).words, _WHOSE.get(limit["whose"], "the site")
    if "Minutes" in limit["what"] and "Run" not in limit["what"]:
        summary = f"The job waits, because {whose} has no {what} left"
        return Finding("waiting", summary, "Ask who manages the account, or choose another one.")
    who = _WHO.get(limit["of"], "all its users" if limit["kind"] == "Grp" else "one user")
    summary = f"The job waits until others have ended: {whose} limits the {what} of {who} together"
    return Finding("waiting", summary, "Wait; it starts by itself.")


def _resource(text: str) -> _Resource:
    return next(resource for resource in _RESOURCES if re.search(resource.pattern, text))


def _over_queue(facts: Facts, what: _Resource) -> Finding:
    name = facts.queue.name if facts.queue else facts.info.queue
    summary = _summary(facts, what, f"queue {excerpt(name)!r}" if name else "its queue", facts.queue)
    if (fits := facts.other_queue) and facts.over_limits:
        advice = Advice("{again}, or in another queue ({queue}): {fits}.", again=_again(what), fits=fits)
    else:
        advice = Advice("{again}; {site} shows what the queues allow.", again=_again(what))
    return Finding("over-limits", summary, advice)


def _over_qos(facts: Facts, what: _Resource) -> Finding:
    summary = _summary(facts, what, f"the QoS {excerpt(facts.qos.name)!r}" if facts.qos else "its QoS", facts.qos)
    if names := _allowing_qos(facts, what):
        fits = excerpt(", ".join(names))
        advice = Advice("{again}, or with another QoS ({qos}): {fits} would allow it.", again=_again(what), fits=fits)
    else:
        advice = Advice("{again}, or with another QoS ({qos}); {site} shows what each allows.", again=_again(what))
    return Finding("over-limits", summary, advice)


def _again(what: _Resource) -> Advice:
    return Advice("Cancel it, and submit it again with {less}", less=what.less)


def _allowing_qos(facts: Facts, what: _Resource) -> list[str]:
    """The names of QoS that allow the job, and say how much of this they allow."""
    return [
        qos.name
        for qos in (facts.site.qos if facts.site else ())
        if _asked_and_most(facts, what, qos)[1] is not None
        and not any(_is_over(facts, resource, qos) for resource in _RESOURCES)
    ]


def _over_others(facts: Facts, what: _Resource, whose: str) -> Finding:
    advice = Advice("{again}; the site's support knows the limit.", again=_again(what))
    return Finding("over-limits", _summary(facts, what, whose, None), advice)


def _summary(facts: Facts, what: _Resource, whose: str, limits: QueueInfo | QosInfo | None) -> str:
    asked, most = _asked_and_most(facts, what, limits)
    if asked is None or most is None or asked <= most:
        return f"The job never starts: it asks for more {what.words} than {whose} allows one job"
    more = f"more {what.field.replace('_', ' ')}, {_shown(what, asked)}"
    return f"The job never starts: it asks for {more}, than {whose} allows one job, {_shown(what, most)}"


def _is_over(facts: Facts, what: _Resource, limits: QosInfo) -> bool:
    asked, most = _asked_and_most(facts, what, limits)
    return asked is not None and most is not None and asked > most


def _asked_and_most(
    facts: Facts, what: _Resource, limits: QueueInfo | QosInfo | None
) -> tuple[float | None, float | None]:
    """What the job asks for, and the limit of that, as far as they are known, as numbers of one unit."""
    job = facts.description
    if job is None or limits is None or not what.field:
        return None, None
    asked, most = getattr(job, what.field), getattr(limits, f"max_{what.field}")
    if what.field == "slots" and isinstance(limits, QueueInfo):
        most = min(filter(None, (most, limits.total_slots)), default=None)
    if what.field == "memory" and asked is not None and isinstance(limits, QosInfo):
        asked *= job.slots
    return _number(asked), _number(most)


def _number(value: float | timedelta | None) -> float | None:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _shown(what: _Resource, number: float) -> str:
    if what.field == "wall_time":
        return duration(timedelta(seconds=number))
    return f"{number / 2**20:.0f} MB" if what.field == "memory" else f"{number:.0f}"
