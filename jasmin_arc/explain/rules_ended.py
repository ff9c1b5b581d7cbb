"""Ends that the batch system gave a job, or somebody did there: the job's program is not to blame for most of them."""

from __future__ import annotations

import signal

from jasmin_arc._support.text import excerpt
from jasmin_arc.exceptions import Advice
from jasmin_arc.explain.facts import Facts, Finding

AGAIN = "Resubmit the job; if it happens again, show this to the site's support."
_RUN_AGAIN = Advice("The job is not to blame. To run it again: {resubmit}.")
_UNLESS_YOU = Advice("If that was not you, ask the site's support why. To run it again: {resubmit}.")
_AT_REQUEST = Finding(
    "cancelled", "The job was cancelled at its user's request.", Advice("To run it again: {resubmit}.")
)
_CANCELLED_THERE = r"job was cancell?ed(?! by external)|^slurm\w*[^\n]*: \*\*\* [^\n]* CANCELLED AT \S+ \*\*\*"
_ADMINISTRATORS = ("root", "slurm", "0")

_ENDS = {
    r"node.?fail|its node failed": Finding(
        "node-failure", "The job ended because a node on which it ran broke down.", _RUN_AGAIN
    ),
    r"its node could not be started|boot.?fail": Finding(
        "node-failure", "The job could not run because its node could not be started.", _RUN_AGAIN
    ),
    r"was preempted|due to preemption": Finding(
        "preempted",
        "The job had to make room for another job, which comes first there.",
        Advice(
            "To run it again: {resubmit}. Jobs in another queue ({queue}) or QoS ({qos}) may be safe from this; {site} "
            "shows what there is."
        ),
    ),
    r"its deadline passed|\bstate DEADLINE\b": Finding(
        "deadline",
        "The job was ended because its deadline passed.",
        Advice("Submit it again with a later deadline, or with less {wall_time}: then it may start sooner."),
    ),
    r"job could not be started|launch failed": Finding(
        "batch-system",
        "The batch system gave the job a node, and could not start it there.",
        "Resubmit the job. If it happens again, ask the site's support whether all nodes see the folder in which the "
        "jobs are.",
    ),
    r"job missing from \w+\s*$": Finding(
        "batch-system",
        "The batch system lost the job.",
        AGAIN,
    ),
}
"""By a pattern for what the batch system says, what happened"""

_KILLED_FROM_OUTSIDE = r"killed from outside, with signal (?P<number>\d+)"


def ended_there(facts: Facts) -> Finding | None:
    """Something other than the job's program ended the job."""
    for pattern, finding in _ENDS.items():
        if facts.says(pattern):
            return finding
    return cancelled(facts) if facts.says(_CANCELLED_THERE) else _killed(facts)


def at_request(facts: Facts) -> Finding | None:
    """The job was cancelled as its user asked through a compute element, or through this library."""
    return _AT_REQUEST if facts.says(r"cancell?ed by external request|user requested to cancel") else None


def cancelled(facts: Facts) -> Finding:
    """Say who cancelled the job, as far as that is known."""
    if (found := at_request(facts)) or not facts.says(_CANCELLED_THERE):
        return found or _AT_REQUEST
    by = facts.says(r"job was cancell?ed by (?P<who>[^\s()]+)")
    if by is None:
        summary = "The job was cancelled in the batch system, not through this library; it is not said by whom."
        return Finding("cancelled", summary, _UNLESS_YOU)
    if by["who"] in _ADMINISTRATORS:
        summary = f"The job was cancelled in the batch system by an administrator of the site ({by['who']})."
        return Finding("cancelled", summary, Advice("Ask the site's support why. To run it again: {resubmit}."))
    who = f"the user with the number {by['who']}" if by["who"].isdigit() else excerpt(by["who"])
    summary = f"The job was cancelled in the batch system by {who}, not through this library."
    return Finding("cancelled", summary, _UNLESS_YOU)


def _killed(facts: Facts) -> Finding | None:
    """The job was killed as a whole, and what did so left no word."""
    found = facts.says(_KILLED_FROM_OUTSIDE)
    if found is None:
        return None
    name = {number.value: f" ({number.name})" for number in signal.Signals}.get(int(found["number"]), "")
    summary = f"The job was killed from outside, with signal {found['number']}{name}; it is not said by whom."
    if int(found["number"]) != signal.SIGKILL:
        return Finding("signal", summary, _UNLESS_YOU)
    advice = Advice(
        "Ask for more with {memory} (per slot). 'sacct -o State,ReqMem,MaxRSS -j {job}' tells how much it used, if the "
        "site keeps accounts.",
        job=excerpt(facts.info.native_id) or "JOB",
    )
    return Finding("signal", f"{summary} Mostly, this means that it used more memory than it had.", advice)
