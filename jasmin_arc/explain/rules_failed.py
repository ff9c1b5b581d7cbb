"""The rules for jobs that failed. Each looks for one cause; the first that finds something is right."""

from __future__ import annotations

import re
from collections.abc import Callable

from jasmin_arc._support.quantities import duration
from jasmin_arc._support.text import excerpt, last_part
from jasmin_arc.exceptions import Advice
from jasmin_arc.explain import program
from jasmin_arc.explain.facts import Facts, Finding
from jasmin_arc.explain.rules_ended import AGAIN, at_request, ended_there
from jasmin_arc.explain.rules_waiting import you_may_use

NOT_MADE = Advice("See in stdout and stderr what it did. Names in {outputs} are relative to where the job starts.")
_CREDENTIALS_ENDED = Finding(
    "proxy-expired",
    "The job's credentials had ended when the compute element needed them to copy files.",
    Advice(
        "Make proxies that last longer than jobs wait and run (PROXY_VALIDITY_PERIOD), or give them a new lifetime "
        "in time with {renew}; then resubmit the job."
    ),
)
_NOT_HANDED_OVER = r"submission to LRMS failed|failed (?:initiating|running) job submission|not\* submitted"
_REFUSED = (
    r"(memory specification can not be satisfied|requested node configuration is not available|"
    r"time limit is invalid|more processors requested|violates accounting|QOSMax\w*|PartitionTimeLimit|"
    r"cpu count per node can not be satisfied|node count specification invalid)"
)
_NOT_ALLOWED = (
    r"invalid (?:account|qos)\b[^\n]*|please specify an account|"
    r"(?:account|qos|group) not permitted to use this partition"
)


def _wall_time(facts: Facts) -> Finding | None:
    if not facts.says(
        r"job timeout|due to time limit|time limit exceeded|wall-?time limit|exceeded .{0,20}wall|its time limit"
    ):
        return None
    queue = facts.queue
    most = (
        f", within the {duration(queue.max_wall_time)} that the queue allows" if queue and queue.max_wall_time else ""
    )
    advice = Advice("Ask for more with {wall_time}{most}, or give each job less to do.", most=most)
    return Finding("wall-time", f"The job was killed because it ran longer than {_time_limit(facts)}.", advice)


def _time_limit(facts: Facts) -> str:
    job = facts.description
    if job is not None and job.wall_time:
        return f"the wall time that it had asked for, {duration(job.wall_time)}"
    if job is not None and job.cpu_time:
        return f"the CPU time that it had asked for, {duration(job.cpu_time)}"
    return "the queue allows jobs that ask for no wall_time" if job is not None else "its time limit"


def _memory(facts: Facts) -> Finding | None:
    told = facts.says(r"out.of.memory|oom.?kill|(?<!without )memory limit|exceeded .{0,40}memory") or re.search(
        r"oom.?kill|MemoryError|bad_alloc|cannot allocate memory|out of memory", facts.stderr, re.IGNORECASE
    )
    limit = facts.description.memory if facts.description is not None else None
    slots = facts.description.slots if facts.description is not None else 1
    was_full = limit is not None and (facts.info.memory or 0) >= 0.95 * limit * slots
    killed = facts.info.exit_code in (9, 137) or facts.says(r"killed from outside, with signal 9\b")
    if not told and not (was_full and killed):
        return None
    asked = f", of which it had asked for {limit / 2**20:.0f} MB per slot" if limit is not None else ""
    used = facts.says(r"exceeded memory limit \((?P<used>\d+) > (?P<most>\d+)\)")
    # Slurm counts bytes.
    parts = f": it used {int(used['used']) >> 20} MB, and may use {int(used['most']) >> 20} MB" if used else ""
    return Finding("memory", f"The job ran out of memory{asked}{parts}.", program.MORE_MEMORY)


def _cpu_time(facts: Facts) -> Finding | None:
    limit = facts.description.cpu_time if facts.description is not None else None
    used = facts.info.cpu_time
    # Where the system itself enforces the limit, nothing but the signal tells of it: SIGKILL or SIGXCPU.
    killed = facts.info.exit_code in (9, 137, 24, 152)
    if limit is None or used is None or used < 0.9 * limit or not killed:
        return None
    summary = f"The job was killed, most likely because it used the CPU time that it had asked for, {duration(limit)}."
    return Finding("wall-time", summary, Advice("Ask for more with {cpu_time}, or give each job less to do."))


def _module(facts: Facts) -> Finding | None:
    found = facts.says(r"the module '(?P<name>[^'\n]+)' could not be loaded")
    if found is None:
        return None
    advice = Advice(
        "Correct its name; {find_software} shows the modules that there are. The end of stderr may say more."
    )
    return Finding("runtime-environment", f"The module {excerpt(found['name'])} could not be loaded.", advice)


def _inputs_missing(facts: Facts) -> Finding | None:
    reasons = re.findall(r"User file: /?(.+?) - (.+)", facts.text)
    if not reasons:
        return None
    names = excerpt(", ".join(dict.fromkeys(name for name, _ in reasons)))
    summary = f"The upload of the job's input files never finished, so it did not start: {names}."
    advice = Advice("Submit the job again; {recover} settles what an interrupted submission left.")
    return Finding("inputs-missing", summary, advice)


def _output_missing(facts: Facts) -> Finding | None:
    missing = _search(r"source replica file:(?P<path>\S+): .*no such file|failed to list output dir", facts.verdict)
    if not missing:
        return None
    session = last_part(facts.info.id)
    path = missing["path"] or ""
    name = path.partition(f"/{session}/")[2] or path.rpartition("/")[2]
    named = f": {excerpt(name)}." if name else "."
    summary = f"The program reported success, but an output that was to be sent on is not there{named}"
    return Finding("output-missing", summary, NOT_MADE)


def output_not_sent(text: str) -> Finding | None:
    """An output could not be sent to the URL that it was to go to."""
    found = _search(r"writing to destination: *(?P<url>[a-z]\S+?)(?: *: (?P<why>.+))?$|data upload failed", text)
    if found is None:
        return None
    summary = f"An output could not be sent where it was to go{_where(found['url'], found['why'])}"
    advice = Advice("Check the address in {outputs}, and that you may write there.")
    return Finding("output-not-sent", summary, advice)


def input_url(text: str) -> Finding | None:
    """An input could not be fetched from its URL."""
    found = _search(
        r"(?:source replica|reading from source:|input URL(?: not found:)?) *(?P<url>[a-z]\w*://\S+?)"
        r"(?:: +(?P<why>.+)| \((?P<status>HTTP \d+)\))?$|data download failed",
        text,
    )
    if found is None:
        return None
    summary = f"An input could not be fetched{_where(found['url'], found['why'] or found['status'])}"
    return Finding(
        "input-url", summary, "Check the address, and that it can be read from there; then resubmit the job."
    )


def _search(pattern: str, text: str) -> re.Match[str] | None:
    return re.search(pattern, text, re.IGNORECASE | re.MULTILINE)


def _where(url: str | None, why: str | None) -> str:
    if not url:
        return "."
    # A-REX reports an error with all that it led to; the last part is where it began.
    return f": {excerpt(url)}" + (f" ({excerpt(why.rpartition(': ')[2])})." if why else ".")


def _not_allowed(facts: Facts) -> Finding | None:
    told = facts.says(_NOT_ALLOWED)
    if not told:
        return None
    summary = f"The account, the QoS or the queue of the job may not be used so: {excerpt(told[0])}."
    return Finding("not-allowed", summary, you_may_use(facts, "Submit it again"))


def _no_queue(facts: Facts) -> Finding | None:
    if not facts.says(r"invalid partition|no such queue|unknown queue|queue .{0,80}(does not exist|not found|unknown)"):
        return None
    queues = ", ".join(queue.name for queue in facts.site.queues) if facts.site else ""
    summary = f"There is no queue {facts.info.queue!r} there." if facts.info.queue else "There is no such queue."
    advice = f"Choose one of these: {queues}." if queues else Advice("See {site} for the queues.")
    return Finding("no-such-queue", summary, advice)


def _runtime_environment(facts: Facts) -> Finding | None:
    found = facts.says(r"Run ?Time ?Environment (?P<a>\S+) is missing|Runtime script (?P<b>\S+) .*failed")
    if not found:
        return None
    offered = ", ".join(facts.site.runtime_environments or ()) if facts.site else ""
    summary = f"The runtime environment {excerpt(found['a'] or found['b'])} is missing there, or does not work."
    advice = f"The site offers {offered}." if offered else "The site says that it offers none; its support can add it."
    return Finding("runtime-environment", summary, advice)


def _limits(facts: Facts) -> Finding | None:
    refused = facts.says(_REFUSED)
    over = facts.over_limits
    if not refused and not (over and facts.says(_NOT_HANDED_OVER)):
        return None
    reason = "; ".join(over) if over or refused is None else excerpt(refused[0])
    if over and facts.other_queue:
        advice = Advice("Submit it again with another queue ({queue}): {fits}.", fits=facts.other_queue)
    else:
        advice = Advice("Ask for less, or choose another queue; {site} shows what there is.")
    return Finding("over-limits", f"The job asks for more than the site has or allows: {reason}.", advice)


def _not_handed_over(facts: Facts) -> Finding | None:
    if not facts.says(_NOT_HANDED_OVER):
        return None
    told = facts.says(r"(?:sbatch|qsub|bsub|condor_submit)?:? error: (.+)|^ERROR: (.+)")
    reason = f": {excerpt(told[1] or told[2])}" if told else ""
    advice = "If this does not tell what to change in the job, show it to the site's support."
    return Finding("batch-system", f"The compute element could not hand the job to its batch system{reason}.", advice)


def explain_failed(facts: Facts) -> Finding:
    """Find the cause of a failure."""
    for rule in _RULES:
        if finding := rule(facts):
            return finding
    reasons = [*facts.info.errors, facts.info.reason]
    reason = next((excerpt(reason).rstrip(".") for reason in reasons if reason.strip()), "it is not said why")
    return Finding("batch-system", f"The job failed where it ran: {reason}.", AGAIN)


def _if_said(pattern: str, finding: Finding) -> Callable[[Facts], Finding | None]:
    return lambda facts: finding if facts.says(pattern) else None


_RULES: tuple[Callable[[Facts], Finding | None], ...] = (
    at_request,
    _wall_time,
    _memory,
    _cpu_time,
    ended_there,
    _module,
    program.input_not_sent,
    program.not_runnable,
    program.ended_by_signal,
    program.missing_module,
    program.exit_code,
    _inputs_missing,
    _if_said(r"(prox(y|ies)|credentials?|certificate)[^\n]{0,40}expired", _CREDENTIALS_ENDED),
    _output_missing,
    lambda facts: output_not_sent(facts.verdict),
    lambda facts: input_url(facts.verdict),
    _not_allowed,
    _no_queue,
    _runtime_environment,
    _limits,
    _not_handed_over,
)
