"""The rules for jobs that have not failed: those that wait, run, or have ended otherwise."""

from __future__ import annotations

from collections.abc import Callable

from jasmin_arc._support.text import excerpt
from jasmin_arc.exceptions import Advice
from jasmin_arc.explain.facts import Facts
from jasmin_arc.explain.finding import Finding
from jasmin_arc.explain.limits import over_limits
from jasmin_arc.explain.rules_failed import CANCELLED, input_url, output_not_sent

_WAIT = "Wait; cancel the job if that cannot help, and correct it."
_ENDS = {"Finished": "finished well", "Failed": "failed", "Killed": "been cancelled"}


def _finished(facts: Facts) -> Finding | None:
    if facts.info.state != "Finished":
        return None
    if facts.missing_outputs:
        return Finding(
            "output-missing",
            f"The job finished, but did not make {excerpt(', '.join(facts.missing_outputs))}.",
            Advice("See in stdout and stderr what it did. Names in {outputs} are relative to where the job starts."),
        )
    until = f" until {facts.info.session_expires:%Y-%m-%d %H:%M} UTC" if facts.info.session_expires else ""
    return Finding(
        "finished",
        "The job finished, and its program reported success.",
        Advice("Its outputs are there{until}: {save}.", until=until),
    )


def _killed(facts: Facts) -> Finding | None:
    return CANCELLED if facts.info.state == "Killed" or facts.info.native_state == "KILLING" else None


def _wiped(facts: Facts) -> Finding | None:
    if facts.info.state != "Deleted":
        return None
    end = f"It had {_ENDS[facts.known_end]}" if facts.known_end in _ENDS else "How it ended was not seen"
    return Finding(
        "wiped",
        f"The job and its files have been erased where it ran, as is done some time after a job's end. {end}.",
        Advice("Outputs that were not saved are gone; to run it again: {resubmit}."),
    )


def _proxy_over(facts: Facts) -> Finding | None:
    expires = facts.info.proxy_expires
    if expires is None or expires > facts.now or not facts.copies:
        return None
    return Finding(
        "proxy-expired",
        f"The job's credentials ended at {expires:%Y-%m-%d %H:%M} UTC; without them its files cannot be copied.",
        Advice("Renew them with {renew}."),
    )


def _preparing(facts: Facts) -> Finding | None:
    if facts.info.state not in ("Accepted", "Preparing"):
        return None
    failing = input_url(facts.text)
    if failing:
        return Finding(
            failing.cause,
            f"{failing.summary} The compute element tries again for some time.",
            "Check the address; if it is wrong, cancel the job and submit it anew.",
        )
    if facts.not_uploaded:
        return Finding(
            "inputs-missing",
            f"The job waits for input files that have not been uploaded: {excerpt(', '.join(facts.not_uploaded))}.",
            Advice("If the program that was submitting it is gone, {recover} settles it; then submit the job again."),
        )
    return Finding("starting", "The job was accepted, and its input files are being prepared.", "Wait a little.")


def _waiting(facts: Facts) -> Finding | None:
    if facts.info.state not in ("Queuing", "Submitting", "Hold"):
        return None
    over = over_limits(facts.description, facts.queue) if facts.description and facts.queue else []
    if over:
        return Finding(
            "over-limits",
            f"The job waits, and may never start, as it asks for too much: {'; '.join(over)}.",
            Advice(
                "Cancel it, and ask for less or choose another queue; {check} compares a description with the site."
            ),
        )
    if facts.info.state == "Hold":
        return Finding("held", "The batch system holds the job back.", "If this lasts, ask the site's support.")
    if facts.info.state == "Submitting":
        return Finding("starting", "The compute element is handing the job to the batch system.", "Wait a little.")
    return Finding(
        "waiting",
        f"The job waits for its turn{_behind(facts)}.",
        "Wait; jobs that ask for fewer slots and less time start sooner.",
    )


def _behind(facts: Facts) -> str:
    parts = [f" in queue {facts.info.queue!r}"] if facts.info.queue else []
    if facts.info.position:
        parts.append(f" as number {facts.info.position}")
    queue = facts.queue
    if queue is not None and queue.waiting is not None:
        parts.append(f"; {queue.waiting} jobs wait there and {queue.running or 0} run")
    if queue is not None and queue.free_slots is not None:
        total = f" of {queue.total_slots}" if queue.total_slots else ""
        parts.append(f"; {queue.free_slots}{total} slots are free")
    return "".join(parts)


def _running(facts: Facts) -> Finding | None:
    if facts.info.state != "Running":
        return None
    nodes = f" on {', '.join(facts.info.nodes)}" if facts.info.nodes else ""
    since = f" since {facts.info.started:%Y-%m-%d %H:%M} UTC" if facts.info.started else ""
    return Finding("running", f"The job runs{excerpt(nodes)}{since}.", Advice("{follow} shows its output as it comes."))


def _finishing(facts: Facts) -> Finding | None:
    if facts.info.state != "Finishing":
        return None
    failing = output_not_sent(facts.text)
    if failing:
        return Finding(failing.cause, f"{failing.summary} The compute element tries again for some time.", _WAIT)
    return Finding("ending", "The job's program has ended, and its outputs are being gathered.", "Wait a little.")


def _unknown(facts: Facts) -> Finding:
    native = facts.info.native_state or facts.info.state
    return Finding(
        "unknown-state",
        f"The place where the job lives says that it is {excerpt(native)!r}, which tells nothing more.",
        "Ask again later; if it stays so, show this to the site's support.",
    )


OTHERS: tuple[Callable[[Facts], Finding | None], ...] = (
    _finished,
    _killed,
    _wiped,
    _proxy_over,
    _preparing,
    _waiting,
    _running,
    _finishing,
    _unknown,
)
