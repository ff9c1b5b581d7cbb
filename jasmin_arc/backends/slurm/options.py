"""From a job description to the options of sbatch."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from jasmin_arc.backends.slurm.cluster import Facts
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.description import JobDescription
from jasmin_arc.description.run_script import run_script
from jasmin_arc.exceptions import InvalidJobDescription, JobSubmissionError

DEFAULT_MEMORY = 1024
"""MB for each slot, where neither the job nor the cluster says how much"""
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
_OWN = frozenset(
    [
        "array",
        "batch",
        "chdir",
        "cluster",
        "clusters",
        "comment",
        "error",
        "export",
        "export-file",
        "get-user-env",
        "gid",
        "help",
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
        "wait",
        "wait-all-nodes",
        "wrap",
    ]
)
"""Options that this library sets itself, or that would change how sbatch answers"""


@dataclass(frozen=True)
class Defaults:
    """What is sent for jobs that do not say it themselves."""

    account: str
    partition: str
    qos: str

    @classmethod
    def of(cls, config: ConnectionConfig) -> Defaults:
        return cls(config.SLURM_ACCOUNT, config.SLURM_PARTITION, config.SLURM_QOS)


def resources(description: JobDescription, defaults: Defaults, facts: Facts) -> tuple[str, ...]:
    """Return the options of sbatch that say what a job needs. Jobs for which they are the same can be one array.

    :raises JobSubmissionError: if the job wants something that Slurm does not do
    :raises InvalidJobDescription: if a native option is one that the library sets itself
    """
    _refuse_impossible(description)
    partition = description.queue or defaults.partition
    memory = _megabytes(description) or facts.default_memory(partition) or DEFAULT_MEMORY
    values: dict[str, str | None] = {
        "account": description.account or defaults.account,
        "partition": partition,
        "qos": defaults.qos,
        "time": _minutes(description),
        "mem-per-cpu": f"{memory}M",
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
        if name in _OWN:
            raise InvalidJobDescription(
                f"native: {name}: the library itself sets this option, or needs that it is not set"
            )
    for name in description.url_inputs:
        raise JobSubmissionError(
            f"Slurm cannot run the job {description.name!r}: the input {name!r} is a URL, and Slurm fetches no files",
            advice="give a path, or let the job fetch it",
        )
    for name, target in (description.outputs or {}).items():
        if target is not None:
            raise JobSubmissionError(
                f"Slurm cannot run the job {description.name!r}: the output {name!r} is to be sent to a URL, "
                "and Slurm sends no files; outputs can only be kept for download"
            )


def _megabytes(description: JobDescription) -> int | None:
    return None if description.memory is None else max(1, -(-description.memory // 2**20))


def _minutes(description: JobDescription) -> str:
    limit = description.wall_time
    if limit is None and description.cpu_time is not None:
        limit = description.cpu_time / description.slots
    return "" if limit is None else str(max(1, -(-limit // timedelta(minutes=1))))


def make_script(description: JobDescription, executables: Iterable[str]) -> bytes:
    """Return the run script. Where the job needs modules, a login shell loads them first: others do not know how."""
    core = run_script(description, executables)
    if not description.runtime_environments:
        return core
    lines = ["#!/bin/bash -l"]
    for name in map(shlex.quote, description.runtime_environments):
        failure = f"printf '%s\\n' {name} >../module; echo the module {name} could not be loaded >&2; exit 1"
        lines.append(f"module load {name} || {{ {failure}; }}")
    return "\n".join(lines).encode() + b"\n" + core.partition(b"\n")[2]
