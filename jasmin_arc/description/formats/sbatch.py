"""Options of Slurm's sbatch from a job description, and the run script of a job that loads modules."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import timedelta

from jasmin_arc.description import JobDescription
from jasmin_arc.description.run_script import run_script
from jasmin_arc.exceptions import InvalidJobDescription, JobSubmissionError

_FIELDS = {
    "account": "account",
    "partition": "queue",
    "time": "wall_time",
    "mem": "memory",
    "mem-per-cpu": "memory",
    "ntasks": "slots",
    "ntasks-per-node": "slots_per_host",
    "job-name": "name",
    "requeue": "rerun",
    "no-requeue": "rerun",
    "input": "stdin",
}
"""Options that are fields of a description"""
_OWN = (
    *(
        "array",
        "batch",
        "chdir",
        "clusters",
        "comment",
        "error",
        "export",
        "export-file",
        "get-user-env",
        "gid",
        "help",
    ),
    *(
        "hold",
        "ignore-pbs",
        "open-mode",
        "output",
        "parsable",
        "quiet",
        "test-only",
        "uid",
        "usage",
        "verbose",
        "version",
    ),
    *("wait", "wait-all-nodes", "wrap"),
)
"""Options that the library sets itself, or that would change how sbatch answers"""


def sbatch_options(
    description: JobDescription, *, account: str, partition: str, qos: str, memory: int
) -> tuple[str, ...]:
    """Return the options that say what a job needs. Jobs for which they are the same can be one array.

    :param account: for jobs that name none; empty for Slurm's own choice, as are the next two
    :param memory: the MB for each slot, for jobs that name none
    :raises JobSubmissionError: if the job wants something that Slurm does not do
    :raises InvalidJobDescription: if a native option is one that the library sets itself
    """
    _refuse_impossible(description)
    values: dict[str, str | None] = {
        "account": description.account or account,
        "partition": description.queue or partition,
        "qos": qos,
        "time": _minutes(description),
        "mem-per-cpu": f"{-(-description.memory // 2**20) if description.memory else memory}M",
        "ntasks": str(description.slots),
        "ntasks-per-node": str(description.slots_per_host or ""),
        **{name: value or None for name, value in description.native.items()},
    }
    options = [f"--{name}" if value is None else f"--{name}={value}" for name, value in values.items() if value != ""]
    return (*options, "--requeue" if description.rerun else "--no-requeue")


def _refuse_impossible(description: JobDescription) -> None:
    for name in description.native:
        if name in _FIELDS:
            raise InvalidJobDescription(f"native: {name}: give it as the field {_FIELDS[name]}")
        # sbatch takes the beginning of a name for the name.
        if any(own.startswith(name) for own in (*_OWN, *_FIELDS)):
            raise InvalidJobDescription(f"native: {name}: the library sets this option itself, or needs it as it is")
    refusal = f"Slurm cannot run the job {description.name!r}"
    for name in description.url_inputs:
        problem = f"{refusal}: the input {name!r} is a URL, and Slurm fetches no files"
        raise JobSubmissionError(problem, advice="give a path, or let the job fetch it")
    for name, target in (description.outputs or {}).items():
        if target is not None:
            problem = f"{refusal}: the output {name!r} is to be sent to a URL, and Slurm sends no files"
            raise JobSubmissionError(problem, advice="keep it for download, or let the job send it")


def _minutes(description: JobDescription) -> str:
    limit = description.wall_time
    if limit is None and description.cpu_time is not None:
        limit = description.cpu_time / description.slots
    return "" if limit is None else str(max(1, -(-limit // timedelta(minutes=1))))


def script_with_modules(description: JobDescription, executables: Iterable[str] = ()) -> bytes:
    """Return the run script. Runtime environments are modules; a login shell loads them, as no other knows how."""
    core = run_script(description, executables)
    if not description.runtime_environments:
        return core
    lines = ["#!/bin/bash -l"]
    for name in map(shlex.quote, description.runtime_environments):
        failure = f"printf '%s\\n' {name} >../module; echo the module {name} could not be loaded >&2; exit 1"
        lines.append(f"module load {name} || {{ {failure}; }}")
    return "\n".join(lines).encode() + b"\n" + core.partition(b"\n")[2]
