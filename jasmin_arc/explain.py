"""Why a job failed or does not start: evidence in, cause and advice out, in plain words."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from jasmin_arc.check import over_limits
from jasmin_arc.constants import STDERR_NAME
from jasmin_arc.description import JobDescription
from jasmin_arc.job_info import JobInfo
from jasmin_arc.site_info import QueueInfo, SiteInfo

TAIL_SIZE = 4096
"""How many bytes of the end of a job's standard error are looked at"""


_JOB_SCRIPT = re.compile(r"script follows:\s*\n-+\n.*?\n-{20,}\n", re.DOTALL)
"""A-REX logs the script that it makes for the batch system; its many messages for all cases say nothing of this one."""


@dataclass(frozen=True)
class Facts:
    """All that is known when a job is to be explained."""

    info: JobInfo
    logs: Mapping[str, str] = field(default_factory=dict)
    """What the place has logged about the job, by name"""
    stderr: str = ""
    """The end of the job's standard error"""
    description: JobDescription | None = None
    site: SiteInfo | None = None
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    @property
    def text(self) -> str:
        """All that the place says went wrong."""
        return "\n".join([*self.info.errors, *self.told.values()])

    @property
    def told(self) -> dict[str, str]:
        """The logs without what we or the place put into them as they were made: description and job script."""
        return {name: _JOB_SCRIPT.sub("", text) for name, text in self.logs.items() if name != "description"}

    @property
    def queue(self) -> QueueInfo | None:
        """The job's queue, if the site publishes it."""
        for queue in self.site.queues if self.site else ():
            if queue.name == self.info.queue:
                return queue
        return None


@dataclass(frozen=True)
class Explanation:
    """Why a job is where it is. ``str()`` gives all of it as a few lines of text."""

    job_id: str
    cause: str
    """A short name that stays the same from release to release, such as ``"wall-time"``"""
    summary: str
    """The cause in one sentence"""
    advice: str = ""
    """What to do"""
    evidence: tuple[str, ...] = ()
    """What the conclusion rests on, one line each"""

    def __str__(self) -> str:
        lines = [self.job_id, self.summary]
        lines += [f"  - {line}" for line in self.evidence]
        return "\n".join([*lines, self.advice] if self.advice else lines)


Finding = tuple[str, str, str]
"""A cause, its sentence and the advice"""


def explain(facts: Facts) -> Explanation:
    """Return why the job failed, or why it has not ended yet."""
    for rule in _FAILED if facts.info.state == "Failed" else _OTHERS:
        finding = rule(facts)
        if finding:
            cause, summary, advice = finding
            return Explanation(facts.info.id, cause, summary, advice, tuple(_evidence(facts)))
    raise AssertionError("the last rule always finds something")


def _evidence(facts: Facts) -> Iterable[str]:
    info = facts.info
    yield f"state: {info.state}" + (f" ({info.native_state})" if info.native_state else "")
    if info.exit_code is not None:
        yield f"exit code: {info.exit_code}"
    for error in dict.fromkeys(info.errors):
        yield f"the compute element says: {error.strip()}"
    yield from _matching_lines(facts)
    yield from _used(facts)
    if info.proxy_expires is not None and info.proxy_expires <= facts.now:
        yield f"the job's proxy ended at {info.proxy_expires:%Y-%m-%d %H:%M} UTC"
    tail = [line for line in facts.stderr.splitlines() if line.strip()][-3:]
    for line in tail:
        yield f"{STDERR_NAME}: {line.strip()}"


_TELLING = re.compile(r"\b(ERROR|error:|Failed checking|failed to|denied|exceeded|Invalid|TIME LIMIT)", re.IGNORECASE)


def _matching_lines(facts: Facts) -> list[str]:
    if facts.info.state == "Finished":
        return []
    lines = (line.strip() for text in facts.told.values() for line in text.splitlines())
    telling = [line for line in lines if _TELLING.search(line) and line not in facts.info.errors]
    return [f"log: {line[:300]}" for line in list(dict.fromkeys(telling))[-3:]]


def _used(facts: Facts) -> Iterable[str]:
    info, job = facts.info, facts.description
    if info.wall_time is not None:
        limit = f" of {job.wall_time} asked for" if job is not None and job.wall_time else ""
        yield f"wall time used: {info.wall_time}{limit}"
    if info.memory is not None:
        limit = f" of {job.memory / 2**20:.0f} MB asked for" if job is not None and job.memory else ""
        yield f"memory used: {info.memory / 2**20:.0f} MB{limit}"


# --- Rules for jobs that failed; the first that finds something is right ---


def _found(facts: Facts, pattern: str) -> bool:
    return bool(re.search(pattern, facts.text, re.IGNORECASE))


def _wall_time(facts: Facts) -> Finding | None:
    limit = _found(facts, r"job timeout|wall ?time limit|time limit exceeded|due to time limit")
    if not limit and "DUE TO TIME LIMIT" not in facts.stderr:
        return None
    return (
        "wall-time",
        "The job was killed because it ran longer than its wall-time limit.",
        "Ask for more with wall_time=, within the queue's limit, or give each job less to do.",
    )


def _memory(facts: Facts) -> Finding | None:
    told = _found(facts, r"out.of.memory|oom.?kill|memory limit|exceeded .*memory|job memory")
    told = told or bool(re.search(r"oom.?kill|MemoryError|std::bad_alloc|Cannot allocate memory", facts.stderr))
    limit = facts.description.memory if facts.description is not None else None
    full = bool(facts.info.memory and limit and facts.info.memory >= 0.95 * limit and facts.info.exit_code in (137, 9))
    if not told and not full:
        return None
    return (
        "memory",
        "The job ran out of memory.",
        "Ask for more with memory= (per slot), or let the program work on smaller pieces.",
    )


def _proxy(facts: Facts) -> Finding | None:
    if not _found(facts, r"(proxy|credentials?|certificate)[^\n]{0,40}expired|expired[^\n]{0,40}(proxy|credential)"):
        return None
    return (
        "proxy-expired",
        "The job's credentials had expired when the compute element needed them to copy files.",
        "Renew them in time with renew(), or make longer proxies (PROXY_VALIDITY_PERIOD); then resubmit the job.",
    )


def _input_url(facts: Facts) -> Finding | None:
    urls = [source for source in _sources(facts) if isinstance(source, str)]
    failed = _found(facts, r"failed checking source|failed in (files )?(download|stage-?in)|input url|source replica")
    if not failed or not (urls or facts.description is None):
        return None
    named = [url for url in urls if url in facts.text] or urls
    which = f": {', '.join(named)}" if named else ""
    return (
        "input-url",
        f"An input that the compute element was to fetch could not be fetched{which}.",
        "Check the address, and that the compute element may read it; then resubmit the job.",
    )


def _inputs_missing(facts: Facts) -> Finding | None:
    pattern = (
        r"user(-| )?upload|uploaded by (the )?(user|client)|not? uploaded|input files? .*(timed? ?out|timeout|missing)"
    )
    if not _found(facts, pattern):
        return None
    return (
        "inputs-missing",
        "The upload of the job's input files never finished, so it could not start.",
        "Submit the job again; recover() settles what an interrupted submission left.",
    )


def _output_missing(facts: Facts) -> Finding | None:
    if not _found(
        facts, r"failed in (files )?upload|failed in stage-?out|post-?processing|output file.*(missing|not found)"
    ):
        return None
    return (
        "output-missing",
        "An output could not be sent where it was to go: it was not made, or the target refused it.",
        "See in stdout and stderr whether the program made it, and check outputs= and the target's address.",
    )


def _no_queue(facts: Facts) -> Finding | None:
    if not _found(facts, r"invalid partition|no such queue|queue .{0,80}(does not exist|not found|unknown)"):
        return None
    queues = ", ".join(queue.name for queue in facts.site.queues) if facts.site else ""
    return (
        "no-such-queue",
        f"The queue {facts.info.queue!r} does not exist there." if facts.info.queue else "The queue does not exist.",
        f"Choose one of these: {queues}." if queues else "See site() for the queues.",
    )


def _limits(facts: Facts) -> Finding | None:
    over = over_limits(facts.description, facts.queue) if facts.description and facts.queue else []
    refused = _found(
        facts,
        r"time limit is invalid|node configuration is not available|more processors requested|violates accounting|"
        r"requested .{0,60}(exceed|too)|QOSMax|PartitionTimeLimit",
    )
    if not over and not refused:
        return None
    return (
        "over-limits",
        "The job asks for more than the queue allows" + (f": {'; '.join(over)}." if over else "."),
        "Ask for less, or choose another queue; check() compares a description with the site.",
    )


def _runtime_environment(facts: Facts) -> Finding | None:
    if not _found(facts, r"runtime environment|\bRTE\b[^\n]*(not|fail|missing)"):
        return None
    return (
        "runtime-environment",
        "A runtime environment that the job asks for is missing or does not work there.",
        "See site().runtime_environments, and tell the site's support if it should be there.",
    )


def _lrms_cancelled(facts: Facts) -> Finding | None:
    if not _found(
        facts, r"job was cancell?ed|node.?fail|launch failed|batch.?system failure|requeue|machine .*restarted"
    ):
        return None
    return (
        "batch-system",
        "The batch system ended the job: cancelled there by somebody, a node that failed, or a restart.",
        "Resubmit the job; if it happens again, show this to the site's support.",
    )


def _submission_to_lrms(facts: Facts) -> Finding | None:
    if not _found(facts, r"submission to LRMS failed|failed (during|initiating|in)[^\n]*(submission|lrms)"):
        return None
    return (
        "batch-system",
        "The compute element could not hand the job to its batch system.",
        "Read the log lines below; check() compares the description with the site.",
    )


def _not_runnable(facts: Facts) -> Finding | None:
    if facts.info.exit_code not in (126, 127):
        return None
    program = facts.description.commands[0][0] if facts.description else "The program"
    ours = program.removeprefix("./").split("/")[0] in facts.description.inputs if facts.description else False
    if re.search(r"bad interpreter|required file not found", facts.stderr) or (facts.info.exit_code == 127 and ours):
        return (
            "missing-interpreter",
            f"{program} is there, but the interpreter that its first line names is not.",
            "Correct the line that starts with #!, look for line ends of Windows in it, or name the interpreter as "
            "executable and the script as its argument.",
        )
    if facts.info.exit_code == 126:
        return (
            "not-executable",
            f"{program} is there, but may not be executed or is no program.",
            "Check its permissions there, or that it was built for that machine.",
        )
    return (
        "missing-executable",
        f"{program} was not found on the node.",
        "Give its full path there, send it along as an input, or ask for the runtime environment that has it.",
    )


def _signal(facts: Facts) -> Finding | None:
    code = facts.info.exit_code
    if code is None or not 128 < code < 128 + signal.NSIG:
        return None
    try:
        name = signal.Signals(code - 128).name
    except ValueError:
        return None
    hint = "It may have run out of memory; ask for more with memory=." if name == "SIGKILL" else ""
    return ("signal", f"The program was ended by signal {name}.", hint or "See the end of stderr for the reason.")


def _exit_code(facts: Facts) -> Finding | None:
    if not facts.info.exit_code:
        return None
    return (
        "exit-code",
        f"The program ran and ended with exit code {facts.info.exit_code}, which means failure.",
        "See the end of stderr for the program's own reason; read(id, 'stderr') has all of it.",
    )


def _failed(facts: Facts) -> Finding:
    reason = facts.info.errors[0].strip() if facts.info.errors else "it did not say why"
    return (
        "batch-system",
        f"The compute element says that the job failed: {reason}.",
        "Resubmit the job; if it happens again, show this to the site's support.",
    )


# --- Rules for all other jobs ---


def _finished(facts: Facts) -> Finding | None:
    if facts.info.state != "Finished":
        return None
    return ("finished", "The job finished, and its program reported success.", "")


def _killed(facts: Facts) -> Finding | None:
    if facts.info.state != "Killed":
        return None
    return ("cancelled", "The job was cancelled at its user's request.", "To run it again: resubmit_jobs().")


def _wiped(facts: Facts) -> Finding | None:
    if facts.info.state != "Deleted":
        return None
    return (
        "wiped",
        "The compute element has erased the job's files, as it does some time after a job has ended.",
        "Outputs that were not saved are gone; to run it again: resubmit_jobs().",
    )


def _proxy_over(facts: Facts) -> Finding | None:
    expires = facts.info.proxy_expires
    if expires is None or expires > facts.now:
        return None
    return (
        "proxy-expired",
        f"The job's credentials ended at {expires:%Y-%m-%d %H:%M} UTC; without them it cannot copy files.",
        "Renew them with renew().",
    )


def _preparing(facts: Facts) -> Finding | None:
    if facts.info.state not in ("Accepted", "Preparing"):
        return None
    if re.search(r"failed checking source|source replica|input url", facts.text, re.IGNORECASE):
        cause, summary, _ = _input_url(facts) or ("input-url", "An input could not be fetched.", "")
        return (cause, f"{summary} The compute element tries again.", "If the address is wrong, cancel the job.")
    missing = _declared_inputs(facts.logs.get("input_status", ""))
    if missing:
        return (
            "inputs-missing",
            f"The job waits for input files that have not been uploaded: {', '.join(missing)}.",
            "If the program that submitted it is gone, recover() settles it; then submit the job again.",
        )
    return ("starting", "The job was accepted, and its input files are being prepared.", "Wait a little.")


def _waiting(facts: Facts) -> Finding | None:
    if facts.info.state not in ("Queuing", "Submitting", "Hold"):
        return None
    over = over_limits(facts.description, facts.queue) if facts.description and facts.queue else []
    if over:
        return ("over-limits", f"The job may never start: {'; '.join(over)}.", "Cancel it and ask for less.")
    if facts.info.state == "Hold":
        return ("held", "The batch system holds the job back.", "If this lasts, ask the site's support.")
    return ("waiting", f"The job waits for its turn{_behind(facts)}.", "Wait, or ask for fewer slots and less time.")


def _behind(facts: Facts) -> str:
    parts = [f" in queue {facts.info.queue!r}"] if facts.info.queue else []
    if facts.info.position:
        parts.append(f"number {facts.info.position} from its head")
    queue = facts.queue
    if queue is not None and queue.waiting is not None:
        parts.append(f"where {queue.waiting} jobs wait and {queue.running or 0} run")
    if queue is not None and queue.free_slots is not None:
        parts.append(f"{queue.free_slots} slots are free")
    return ", ".join(parts)


def _running(facts: Facts) -> Finding:
    nodes = f" on {', '.join(facts.info.nodes)}" if facts.info.nodes else ""
    since = f" since {facts.info.started:%Y-%m-%d %H:%M} UTC" if facts.info.started else ""
    return ("running", f"The job runs{nodes}{since}.", "follow(id) shows its output as it comes.")


def _declared_inputs(input_status: str) -> list[str]:
    """The inputs still missing: ``input_status`` names those that were uploaded only."""
    return [line[1:].strip() for line in input_status.splitlines() if line.startswith("-")]


def _sources(facts: Facts) -> list[object]:
    return list(facts.description.inputs.values()) if facts.description is not None else []


_FAILED: tuple[Callable[[Facts], Finding | None], ...] = (
    _wall_time,
    _memory,
    _proxy,
    _no_queue,
    _inputs_missing,
    _input_url,
    _output_missing,
    _runtime_environment,
    _not_runnable,
    _signal,
    _exit_code,
    _limits,
    _lrms_cancelled,
    _submission_to_lrms,
    _failed,
)
_OTHERS: tuple[Callable[[Facts], Finding | None], ...] = (
    _finished,
    _killed,
    _wiped,
    _proxy_over,
    _preparing,
    _waiting,
    _running,
)
