"""Gathering the facts about a job: what cannot be had is left out."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TypeVar

from jasmin_arc._support.bulk import not_found
from jasmin_arc.backends.base import Backend
from jasmin_arc.constants import RUN_SCRIPT_NAME, STDERR_NAME, JobState
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import JasminArcError, JobNotFoundError
from jasmin_arc.explain.facts import Facts
from jasmin_arc.explain.not_sent import not_sent
from jasmin_arc.explain.snakemake import without_snakemake
from jasmin_arc.job_info import JobInfo
from jasmin_arc.job_list import JobList
from jasmin_arc.job_list.record import SUBMITTED
from jasmin_arc.site_info import SiteInfo
from jasmin_arc.staging.missing import missing_outputs
from jasmin_arc.staging.reading import read_tail

_WITHOUT_SITE = (JobState.FINISHED, JobState.KILLED)
"""What the site offers explains nothing about jobs in these states"""

_Answer = TypeVar("_Answer")


def gather(
    backend: Backend,
    job_list: JobList,
    job_id: str,
    *,
    optional: Collection[str] = (),
    site: Callable[[], SiteInfo] | None = None,
) -> Facts:
    """Ask the place where the job runs, and the job list, for all that may explain it.

    :param optional: outputs that are asked for by default, so that nothing is wrong where they are missing
    :param site: asks the site what it offers, if not the backend does
    """
    record = job_list.get([job_id]).get(job_id)
    info = backend.query([job_id]).get(job_id)
    if info is None and record is None:
        raise not_found(job_id)
    if info is None and (hidden := backend.hidden([job_id])):
        raise hidden[job_id]
    known_end = record.final_state if record is not None else None
    description = None
    if record is not None and (text := record.description):
        description = _tried(lambda: JobDescription.from_json(text))
    elif info is not None:
        description = _tried(lambda: backend.description(job_id))
    # A server that is told a name does not give every letter back.
    name = record.name if record is not None and record.name else info.name if info is not None else ""
    info = replace(info or JobInfo(id=job_id, state=JobState.DELETED), name=name)
    if info.state is JobState.DELETED:
        return Facts(info, description=description, known_end=known_end)
    logs = _tried(lambda: backend.evidence(job_id)) or {}
    stderr = _tried(lambda: read_tail(backend, job_id, STDERR_NAME, 4096)) or b""
    # Only this library's jobs have a run script; some places do not tell how a job was described.
    has_run_script = RUN_SCRIPT_NAME in logs.get("description", RUN_SCRIPT_NAME)
    return Facts(
        info,
        logs=logs,
        stderr=without_snakemake(stderr.decode("utf-8", "replace")),
        description=description,
        site=None if info.state in _WITHOUT_SITE or info.exit_code else _tried(site or backend.site),
        not_sent=tuple(not_sent(description)) if description is not None and info.exit_code else (),
        not_uploaded=tuple(_not_uploaded(backend, info, description)) if has_run_script else (),
        missing_outputs=_missing(backend, info, description, optional),
        unfinished=record is not None and record.phase != SUBMITTED,
        known_end=known_end,
    )


def _tried(ask: Callable[[], _Answer]) -> _Answer | None:
    try:
        return ask()
    except JasminArcError:
        return None


def _missing(backend: Backend, info: JobInfo, job: JobDescription | None, optional: Collection[str]) -> tuple[str, ...]:
    if info.state is not JobState.FINISHED or job is None:
        return ()
    return _tried(lambda: missing_outputs(backend, info.id, job, optional)) or ()


def _not_uploaded(backend: Backend, info: JobInfo, description: JobDescription | None) -> list[str]:
    if info.state not in (JobState.ACCEPTED, JobState.PREPARING) or description is None:
        return []
    there = _tried(lambda: _names_there(backend, info.id))
    if there is None or RUN_SCRIPT_NAME in there:
        return []
    # The run script comes last, so what is there without it may still be incomplete.
    uploads = [name for name in description.inputs if name not in description.url_inputs]
    return [*(name for name in uploads if name.partition("/")[0] not in there), RUN_SCRIPT_NAME]


def _names_there(backend: Backend, job_id: str) -> set[str]:
    try:
        return {entry.name for entry in backend.list_files(job_id)}
    except JobNotFoundError:
        # Nothing has been uploaded yet.
        return set()
