"""Why a job waits, by the word that the batch system has for the reason. The words are those of Slurm."""

from __future__ import annotations

import re

from jasmin_arc._support.text import excerpt
from jasmin_arc.exceptions import Advice
from jasmin_arc.explain.facts import Facts, Finding
from jasmin_arc.explain.reasons_limits import limits_of_many, limits_of_one_job

_BY_ITSELF = "Wait; it starts by itself."
_SUPPORT = "If this lasts, ask the site's support."

TURNS = {
    "Priority": "Jobs of higher priority come first",
    "Resources": "It is among the next; what it needs is not free yet",
}
"""Why a job waits for its turn"""

_REASONS = {
    "Dependency": Finding(
        "waiting", "The job waits for another job to end", "Wait, or cancel it if that job will never end as it must."
    ),
    "DependencyNeverSatisfied": Finding(
        "never-starts",
        "The job never starts: the job that it depends on did not end as it had to",
        "Cancel it. Run the other job again, and then this one.",
    ),
    "BadConstraints": Finding(
        "never-starts",
        "The job never starts: no node has what it asks for, such as so much memory, or its features",
        Advice("Cancel it, and submit it again with less {memory}, fewer {slots}, or other options in {native}."),
    ),
    "DeadLine": Finding(
        "never-starts",
        "The job never starts: it cannot end before its deadline",
        Advice("Cancel it, and submit it again with a later deadline or less {wall_time}."),
    ),
    "ReservationDeleted|RequiresReservation": Finding(
        "never-starts",
        "The job never starts: the reservation that it needs is not there",
        "Cancel it, and submit it again with a reservation that there is, or in another queue.",
    ),
    "Reservation": Finding("waiting", "The job waits until its reservation begins", _BY_ITSELF),
    "JobHeldAdmin": Finding("held", "An administrator of the site holds the job back", "Ask the site's support why."),
    "JobHoldMaxRequeue|.*requeued.*held.*": Finding(
        "held",
        "The job could not be run there, and is held back now",
        Advice("Cancel it, and run it again: {resubmit}. If it happens again, show this to the site's support."),
    ),
    "BeginTime": Finding("waiting", "The job waits until the time when it may begin", _BY_ITSELF),
    "Licenses": Finding("waiting", "The job waits for software licences, which others use now", _BY_ITSELF),
    "JobArrayTaskLimit": Finding(
        "waiting", "The job waits for others of its array: only some of them may run at the same time", _BY_ITSELF
    ),
    "Partition(Down|Inactive)": Finding(
        "waiting",
        "The job waits, because its queue starts no jobs now",
        Advice(
            "Wait, or cancel it and choose another queue ({queue}). The site's support knows when this one is back."
        ),
    ),
    "ReqNodeNotAvail.*maintenance": Finding(
        "waiting",
        "The job waits, because the nodes are reserved for maintenance",
        Advice("Wait until that is over. A job that asks for less {wall_time} may still run before it."),
    ),
    "ReqNodeNotAvail.*|NodeDown|FrontEndDown|Power(NotAvail|Reserved)|Nodes required for job are .*": Finding(
        "waiting", "The job waits, because nodes that it needs are out of service or reserved", _SUPPORT
    ),
    "QOSUsageThreshold": Finding(
        "waiting", "The job waits, because its account has used more than its share of late", _BY_ITSELF
    ),
    "Cleaning": Finding("waiting", "The job waits until what it left at an earlier start is cleared away", _SUPPORT),
    "Prolog": Finding("starting", "The nodes of the job are being prepared", "Wait a little."),
    "BurstBuffer.*": Finding("waiting", "The job waits until its files are on the fast disks", _SUPPORT),
}
"""By a pattern for the reason, what it means. ``_`` in a reason is read as a space"""

_NOT_ALLOWED = {
    "InvalidAccount|AccountNotAllowed|Job's account not permitted .*": "the account may not be used there",
    "InvalidQOS|QOSNotAllowed|Job's QOS not permitted .*": "the QoS may not be used there",
}


def waiting(facts: Facts) -> Finding | None:
    """Return what the reason means; nothing where there is none, or where the job waits for its turn alone."""
    reason = facts.info.reason.replace("_", " ").strip()
    if not reason or reason in ("None", *TURNS):
        return None
    if reason == "JobHeldUser":
        return _held_by_user(facts)
    found = _known(reason) or _not_allowed(facts, reason) or limits_of_one_job(facts, reason) or limits_of_many(reason)
    if found is None:
        summary = "The job waits, for a reason that only the batch system has a word for"
        found = Finding("waiting", summary, "If this lasts, ask the site's support what it means.")
    return found._replace(summary=f"{found.summary} ({excerpt(facts.info.reason)}).")


def _known(reason: str) -> Finding | None:
    return next((finding for pattern, finding in _REASONS.items() if re.fullmatch(pattern, reason)), None)


def _held_by_user(facts: Facts) -> Finding:
    if facts.unfinished:
        summary = "The job waits, because its submission is not finished."
        advice = Advice("Wait if the program that submits it still runs. If that is gone, {recover} settles it.")
        return Finding("held", summary, advice)
    advice = Advice(
        "If its submission was interrupted, {recover} settles it. If you held it yourself, 'scontrol release {job}' "
        "lets it start.",
        job=excerpt(facts.info.native_id) or "JOB",
    )
    return Finding("held", "The job is held back in the name of its owner (JobHeldUser).", advice)


def _not_allowed(facts: Facts, reason: str) -> Finding | None:
    why = next((why for pattern, why in _NOT_ALLOWED.items() if re.fullmatch(pattern, reason)), None)
    if why is None:
        return None
    return Finding("not-allowed", f"The job never starts: {why}", you_may_use(facts, "Cancel it, and submit it again"))


def you_may_use(facts: Facts, what_to_do: str) -> Advice:
    """Return the advice to do something with an account and a QoS that the user has."""
    site = facts.site
    accounts, qos = (site.accounts, [entry.name for entry in site.qos]) if site else ((), [])
    choices = [f"{what} {', '.join(names)}" for what, names in (("the accounts", accounts), ("the QoS", qos)) if names]
    if not choices:
        return Advice(
            "{what_to_do} with another account ({account}), QoS ({qos}) or queue ({queue}); {site} shows them.",
            what_to_do=what_to_do,
        )
    return Advice(
        "{what_to_do} with what you may use ({account}, {qos}): {choices}.",
        what_to_do=what_to_do,
        choices=excerpt("; ".join(choices)),
    )
