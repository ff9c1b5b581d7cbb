"""What a job runs, as its description says it: for people, and for JSON. No value of a variable is shown, and no secret
of a URL."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jasmin_arc._support.quantities import duration, size
from jasmin_arc._support.text import home_short, without_secrets_of_urls
from jasmin_arc.description import JobDescription

_AS_THEY_ARE = ("queue", "account", "slots", "slots_per_host", "memory", "wall_time", "cpu_time", "rerun")


def for_json(job: JobDescription) -> dict[str, Any]:
    """Return what was asked for, without what is empty; of the environment, the names of the variables."""
    values: dict[str, Any] = {
        "commands": _commands(job),
        "inputs": {name: _source(source) for name, source in job.inputs.items()},
        "outputs": {name: target and without_secrets_of_urls(target) for name, target in (job.outputs or {}).items()},
        "environment": sorted(job.environment),
        "stdin": None if job.stdin is None else _source(job.stdin),
        "runtime_environments": job.runtime_environments,
        "native": dict(job.native),
        **{field: getattr(job, field) for field in _AS_THEY_ARE},
    }
    return {field: value for field, value in values.items() if value not in (None, "", (), [], {}, 0)}


def for_people(job: JobDescription) -> dict[str, Any]:
    """Return the same as texts: a command can be copied into a shell."""
    inputs = [_input(name, _source(source)) for name, source in job.inputs.items()]
    outputs = [
        f"{name} to {without_secrets_of_urls(url)}" if url else name for name, url in (job.outputs or {}).items()
    ]
    commands = [shlex.join(command) for command in _commands(job)]
    steps = {f"step_{number}": command for number, command in enumerate(commands, start=1)}
    return {
        **(steps if len(commands) > 1 else {"command": commands[0]}),
        "inputs": inputs or None,
        "outputs": outputs or None,
        "environment": sorted(job.environment) or None,
        "stdin": None if job.stdin is None else _source(job.stdin),
        "asked_for": list(_asked_for(job)) or None,
    }


def _commands(job: JobDescription) -> list[list[str]]:
    return [[without_secrets_of_urls(word) for word in command] for command in job.commands]


def _source(source: str | Path | bytes) -> str:
    if isinstance(source, bytes):
        return f"{len(source)} bytes given in Python"
    return without_secrets_of_urls(source) if isinstance(source, str) else home_short(str(source))


def _input(name: str, source: str) -> str:
    return source if source.rpartition("/")[2] == name else f"{name}={source}"


def _asked_for(job: JobDescription) -> Iterator[str]:
    if job.wall_time:
        yield f"wall time {duration(job.wall_time)}"
    if job.cpu_time:
        yield f"CPU time {duration(job.cpu_time)}"
    if job.memory:
        yield f"memory {size(job.memory)}"
    if job.slots > 1:
        yield f"{job.slots} slots" + (f", {job.slots_per_host} on each host" if job.slots_per_host else "")
    for value, what in ((job.queue, "queue"), (job.account, "account")):
        if value:
            yield f"{what} {value}"
    yield from job.runtime_environments
    yield from (f"--{name}={value}" if value else f"--{name}" for name, value in job.native.items())
