"""From facts to an explanation; a pure function."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jasmin_arc._support.quantities import duration
from jasmin_arc._support.text import excerpt, last_part, printable, utc
from jasmin_arc.constants import STDERR_NAME, JobState
from jasmin_arc.explain import Explanation
from jasmin_arc.explain.facts import Facts
from jasmin_arc.explain.program import without_run_script
from jasmin_arc.explain.rules_failed import explain_failed
from jasmin_arc.explain.rules_not_failed import explain_other

_ALIKE = 80
"""Lines that begin with the same so many characters say the same"""
_TELLING = re.compile(r"\berror\b|\bfailed\b|denied|exceeded|expired|TIME LIMIT", re.IGNORECASE)
_STDERR_LINES = 5
_MOST_STDERR_LINES = 12
"""An indented line belongs to those before it, as in a traceback, so there may be more lines than those"""
_MOST_INDENT = 40
_EMPTY_WORDS = re.compile(
    r"Job state change|next replica|No more \w+ replicas|Permanent failure|DataStagingDelivery exited|"
    r"got error code from|^Failed to initialize|resource accounting",
    re.IGNORECASE,
)
_PREFIX = re.compile(r"^(?:\[[^]]*\] )*(?:DTR \S+: )?")


def explain(facts: Facts) -> Explanation:
    """Return why the job failed, or why it has not ended yet."""
    finding = explain_failed(facts) if facts.info.state is JobState.FAILED else explain_other(facts)
    return Explanation(facts.info.id, *finding, evidence=tuple(_evidence(facts)), name=printable(facts.info.name))


def _evidence(facts: Facts) -> Iterator[str]:
    info = facts.info
    words = ", ".join(excerpt(word) for word in (info.native_state, info.reason) if word)
    native = f" ({words})" if words else ""
    yield f"state: {excerpt(info.state)}{native}"
    if info.exit_code is not None:
        yield f"exit code: {info.exit_code}"
    reported = list(dict.fromkeys(excerpt(error) for error in info.errors if error.strip()))
    yield from (f"reported: {error}" for error in reported)
    if info.state is not JobState.FINISHED:
        yield from (f"log: {line}" for line in _log_lines(facts, reported))
    yield from _used(facts)
    # A compute element tells an end also for jobs without credentials.
    if facts.copies and info.proxy_expires is not None and info.proxy_expires <= facts.now:
        yield f"the job's credentials ended at {utc(info.proxy_expires)}"
    yield from (
        f"{STDERR_NAME}: {line}" for line in _stderr_lines(_in_session(without_run_script(facts.stderr), info.id))
    )


def _in_session(stderr: str, job_id: str) -> str:
    """Write paths below the session directory as seen from there: the rest says nothing, and takes the whole line."""
    last = re.escape(last_part(job_id))
    return re.sub(rf"/[^\s'\":]*?/{last}/(?:session/)?(?=\S)", "", stderr) if last else stderr


def _stderr_lines(stderr: str) -> list[str]:
    lines = [line.expandtabs(4) for line in stderr.splitlines() if line.strip()]
    count = min(_STDERR_LINES, len(lines))
    while count < min(_MOST_STDERR_LINES, len(lines)) and lines[-count].startswith(" "):
        count += 1
    return [" " * min(len(line) - len(line.lstrip()), _MOST_INDENT) + excerpt(line) for line in lines[-count:] if count]


def _log_lines(facts: Facts, reported: list[str]) -> list[str]:
    lines = [excerpt(_PREFIX.sub("", line)) for line in facts.text.splitlines() if _TELLING.search(line)]
    lines = [line for line in lines if not any(line[:_ALIKE] in error for error in reported)]
    return list(dict.fromkeys(line for line in lines if not _EMPTY_WORDS.search(line)))[-3:]


def _used(facts: Facts) -> Iterator[str]:
    info, job = facts.info, facts.description
    if info.wall_time:
        limit = f" of {duration(job.wall_time)}" if job and job.wall_time else ""
        yield f"wall time used: {duration(info.wall_time)}{limit}"
    if info.memory is not None:
        limit = f" of {job.memory * job.slots / 2**20:.0f} MB" if job and job.memory else ""
        yield f"memory used: {info.memory / 2**20:.0f} MB{limit}"
