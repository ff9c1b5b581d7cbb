"""Reasons of the batch system that name a limit: of one job, which then never starts, or of several together."""

from __future__ import annotations

import re
from typing import NamedTuple

from jasmin_arc._support.text import excerpt
from jasmin_arc.exceptions import Advice
from jasmin_arc.explain.facts import Facts, Finding

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
    less: Advice
    """How an advice says that the job should ask for less"""
    fields: tuple[str, ...] = ()
    """The fields of the description that it is about"""


_RESOURCES = (
    _Resource("Minutes", "processor time", Advice("fewer {slots} or less {wall_time}")),
    _Resource("Wall|Time", "wall time", Advice("less {wall_time}"), ("wall_time",)),
    _Resource("Cpu|CPU", "slots", Advice("fewer {slots}"), ("slots",)),
    _Resource("Mem", "memory", Advice("less {memory}"), ("memory",)),
    _Resource("Node", "nodes", Advice("fewer {slots}")),
    _Resource("Config", "slots, memory or nodes", Advice("fewer {slots} or less {memory}"), ("slots", "memory")),
    _Resource("GRES", "GPUs or other devices", Advice("fewer of them ({native})")),
    _Resource("License", "licences", Advice("fewer of them ({native})")),
    _Resource("Job", "jobs", Advice("fewer {slots}")),
    _Resource("", "resources", Advice("less {memory} or {wall_time}, or fewer {slots}")),
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
    return _over_qos(facts, what) if limit["whose"] == "QOS" else _over_others(what, whose)


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
    over = _over(facts, what)
    if over and (fits := facts.other_queue):
        advice = Advice("{again}, or in another queue ({queue}): {fits}.", again=_again(what), fits=fits)
    else:
        advice = Advice("{again}; {site} shows what the queues allow.", again=_again(what))
    return _never_starts(what, over, f"queue {excerpt(name)!r}" if name else "its queue", advice)


def _over_qos(facts: Facts, what: _Resource) -> Finding:
    over = _over(facts, what)
    if over and (fits := facts.other_qos):
        advice = Advice("{again}, or with another QoS ({qos}): {fits}.", again=_again(what), fits=excerpt(fits))
    else:
        advice = Advice("{again}, or with another QoS ({qos}); {site} shows what each allows.", again=_again(what))
    return _never_starts(what, over, f"QoS {excerpt(facts.qos.name)!r}" if facts.qos else "its QoS", advice)


def _over_others(what: _Resource, whose: str) -> Finding:
    advice = Advice("{again}; the site's support knows the limit.", again=_again(what))
    return _never_starts(what, [], whose, advice)


def _again(what: _Resource) -> Advice:
    return Advice("Cancel it, and submit it again with {less}", less=what.less)


def _over(facts: Facts, what: _Resource) -> list[str]:
    """The limits of this kind that the job is over, as far as they are known."""
    return [line for line in facts.over_limits if line.startswith(what.fields)]


def _never_starts(what: _Resource, over: list[str], whose: str, advice: Advice) -> Finding:
    why = excerpt("; ".join(over)) if over else f"it asks for more {what.words} than {whose} allows one job"
    return Finding("over-limits", f"The job never starts: {why}", advice)
