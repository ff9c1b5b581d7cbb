"""The rules for jobs that have not failed: those that wait, run, or have ended otherwise."""

from __future__ import annotations

from collections.abc import Callable

from jasmin_arc._support.text import excerpt, utc
from jasmin_arc.constants import JobState
from jasmin_arc.exceptions import Advice
from jasmin_arc.explain.facts import Facts, Finding
from jasmin_arc.explain.rules_ended import cancelled
from jasmin_arc.explain.rules_failed import NOT_MADE, input_url, output_not_sent
from jasmin_arc.explain.rules_waiting import TURNS, waiting

_TRIES_AGAIN = " The compute element tries again for some time."
_WAIT_A_LITTLE = "Wait a little."
_HELD = Finding("held", "The batch system holds the job back.", "If this lasts, ask the site's support.")
_HANDED_OVER = Finding("starting", "The compute element is handing the job to the batch system.", _WAIT_A_LITTLE)
_SUSPENDED = Finding(
    "held",
    "The batch system has stopped the job for some time, to make room for others; it keeps what it has done.",
    "Wait; the batch system lets it run on. If this lasts, ask the site's support.",
)
_ENDING = Finding("ending", "The job's program has ended, and its outputs are being gathered.", _WAIT_A_LITTLE)
_NATIVE = {
    "SUSPENDED": _SUSPENDED,
    "STOPPED": _SUSPENDED,
    "CONFIGURING": Finding("starting", "The job has its nodes, and they are being made ready.", _WAIT_A_LITTLE),
    "COMPLETING": _ENDING,
}
"""States of the batch system that say more than the general one"""
_BEFORE_IT_RUNS = (JobState.ACCEPTED, JobState.PREPARING, JobState.SUBMITTING, JobState.QUEUING, JobState.HOLD)
_ENDS: dict[JobState | None, str] = {
    JobState.FINISHED: "finished well",
    JobState.FAILED: "failed",
    JobState.KILLED: "been cancelled",
}


def explain_other(facts: Facts) -> Finding:
    """Find out why a job that has not failed is where it is."""
    state = facts.info.state
    if state is JobState.KILLED or (facts.info.native_state == "KILLING" and state is not JobState.FINISHED):
        return cancelled(facts)
    finding = None if state.final else _credentials_ended(facts) or _NATIVE.get(facts.info.native_state)
    if state in _BEFORE_IT_RUNS:
        finding = finding or waiting(facts)
    if state in (JobState.HOLD, JobState.SUBMITTING, JobState.QUEUING):
        finding = finding or _never_starts(facts)
    return finding or _RULES.get(state, _unknown)(facts)


def _finished(facts: Facts) -> Finding:
    if facts.missing_outputs:
        summary = f"The job finished, but did not make {excerpt(', '.join(facts.missing_outputs))}."
        return Finding("output-missing", summary, NOT_MADE)
    until = f" until {utc(facts.info.session_expires)}" if facts.info.session_expires else ""
    where = Advice("Its outputs are there{until}: {save}.", until=until)
    return Finding("finished", "The job finished, and its program reported success.", where)


def _deleted(facts: Facts) -> Finding:
    end = f"It had {_ENDS[facts.known_end]}" if facts.known_end in _ENDS else "How it ended was not seen"
    summary = f"The job and its files have been erased where it ran, as is done some time after a job's end. {end}."
    return Finding("wiped", summary, Advice("Outputs that were not saved are gone; to run it again: {resubmit}."))


def _credentials_ended(facts: Facts) -> Finding | None:
    expires = facts.info.proxy_expires
    if expires is None or expires > facts.now or not facts.copies:
        return None
    summary = f"The job's credentials ended at {utc(expires)}; without them its files cannot be copied."
    return Finding("proxy-expired", summary, Advice("Renew them with {renew}."))


def _preparing(facts: Facts) -> Finding:
    if failing := input_url(facts.text):
        advice = "Check the address; if it is wrong, cancel the job and submit it anew."
        return Finding(failing.cause, failing.summary + _TRIES_AGAIN, advice)
    if facts.not_uploaded:
        names = excerpt(", ".join(facts.not_uploaded))
        advice = Advice(
            "If the program that was submitting it is gone, {recover} settles it; then submit the job again."
        )
        return Finding("inputs-missing", f"The job waits for input files that have not been uploaded: {names}.", advice)
    return Finding("starting", "The job was accepted, and its input files are being prepared.", _WAIT_A_LITTLE)


def _never_starts(facts: Facts) -> Finding | None:
    if not facts.over_limits:
        return None
    summary = f"The job waits, and may never start, as it asks for too much: {'; '.join(facts.over_limits)}."
    if facts.other_queue:
        advice = Advice("Cancel it, and submit it again with another queue ({queue}): {fits}.", fits=facts.other_queue)
    elif facts.other_qos:
        advice = Advice("Cancel it, and submit it again with another QoS ({qos}): {fits}.", fits=facts.other_qos)
    else:
        advice = Advice("Cancel it, and ask for less: no queue of the site allows it.")
    return Finding("over-limits", summary, advice)


def _queuing(facts: Facts) -> Finding:
    parts = [f" in queue {facts.info.queue!r}"] if facts.info.queue else []
    if facts.info.position:
        parts.append(f" as number {facts.info.position}")
    queue = facts.queue
    if queue is not None and queue.waiting is not None:
        parts.append(f"; {queue.waiting} jobs wait there and {queue.running or 0} run")
    if queue is not None and queue.free_slots is not None:
        total = f" of {queue.total_slots}" if queue.total_slots else ""
        parts.append(f"; {queue.free_slots}{total} slots are free")
    start = f" The batch system expects it to start at {utc(facts.expected_start)}." if facts.expected_start else ""
    why = f" {TURNS[facts.info.reason]} ({facts.info.reason})." if facts.info.reason in TURNS else ""
    advice = "Wait; jobs that ask for fewer slots and less time start sooner."
    return Finding("waiting", f"The job waits for its turn{''.join(parts)}.{why}{start}", advice)


def _running(facts: Facts) -> Finding:
    nodes = f" on {excerpt(', '.join(facts.info.nodes))}" if facts.info.nodes else ""
    since = f" since {utc(facts.info.started)}" if facts.info.started else ""
    return Finding("running", f"The job runs{nodes}{since}.", Advice("{follow} shows its output as it comes."))


def _finishing(facts: Facts) -> Finding:
    if failing := output_not_sent(facts.text):
        return Finding(
            failing.cause, failing.summary + _TRIES_AGAIN, "Wait; cancel the job if that cannot help, and correct it."
        )
    return _ENDING


def _unknown(facts: Facts) -> Finding:
    if facts.info.errors:
        advice = Advice("Look at its files. {cancel} lets it count as cancelled, and then it can be erased.")
        return Finding("unknown-state", f"{excerpt(facts.info.errors[0]).rstrip('.')}.", advice)
    native = excerpt(facts.info.native_state or facts.info.state)
    summary = f"The place where the job lives says that it is {native!r}, which tells nothing more."
    return Finding("unknown-state", summary, "Ask again later; if it stays so, show this to the site's support.")


_RULES: dict[JobState, Callable[[Facts], Finding]] = {
    JobState.FINISHED: _finished,
    JobState.DELETED: _deleted,
    JobState.ACCEPTED: _preparing,
    JobState.PREPARING: _preparing,
    JobState.SUBMITTING: lambda _: _HANDED_OVER,
    JobState.QUEUING: _queuing,
    JobState.HOLD: lambda _: _HELD,
    JobState.RUNNING: _running,
    JobState.FINISHING: _finishing,
}
