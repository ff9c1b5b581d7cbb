"""What the cluster offers: partitions, nodes, and what the accounting lets the user choose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from jasmin_arc._support.text import printable
from jasmin_arc.backends.slurm.cluster import Defaults, Facts, read_partitions
from jasmin_arc.description.quantities import duration_in, size_in
from jasmin_arc.site_info import QosInfo, QueueInfo, SiteInfo

_BUSY = ("alloc", "mix", "comp")
_IDLE = ("idle",)


def known_site(facts: Facts, defaults: Defaults, endpoint: str) -> SiteInfo:
    """What is known from the configuration of the cluster alone."""
    queues = tuple(_queue(name, values, ()) for name, values in facts.partitions.items())
    return SiteInfo(
        endpoint,
        facts.name,
        queues,
        None,
        interfaces=("slurm",),
        default_queue=defaults.partition or facts.default_partition,
        default_account=defaults.account,
        default_qos=defaults.qos,
    )


def site(told: str, facts: Facts, defaults: Defaults, endpoint: str) -> SiteInfo:
    """Read what ``remote/site.sh`` prints."""
    parts = _parts(told)
    nodes = [line.split("|") for line in parts.get("nodes", ()) if line.count("|") == 5]
    partitions = read_partitions(told) or facts.partitions
    associations = [line.split("|") for line in parts.get("associations", ()) if line.count("|") == 3]
    allowed = {name for row in associations for name in row[2].split(",") if name}
    qos = [line.split("|") for line in parts.get("qos", ()) if line.count("|") == 6]
    return replace(
        known_site(facts, defaults, endpoint),
        queues=tuple(
            _queue(name, values, [row for row in nodes if row[0] == name]) for name, values in partitions.items()
        ),
        accounts=tuple(dict.fromkeys(printable(row[0]) for row in associations if row[0])),
        qos=tuple(_qos(row, associations) for row in qos if row[0] in allowed),
        default_account=defaults.account or next(iter(parts.get("default", ())), ""),
        default_qos=defaults.qos or next((row[3] for row in associations if row[3]), ""),
    )


def _parts(told: str) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {}
    current: list[str] = []
    for line in told.splitlines():
        if line in ("nodes", "partitions", "associations", "default", "qos", "end"):
            current = parts.setdefault(line, [])
        elif line:
            current.append(line)
    return parts


def _queue(name: str, values: Mapping[str, str], nodes: Iterable[list[str]]) -> QueueInfo:
    rows = list(nodes)
    processors = [[int(part) for part in row[3].split("/")] for row in rows if re.fullmatch(r"\d+(/\d+){3}", row[3])]
    return QueueInfo(
        printable(name),
        max_wall_time=duration_in(values.get("MaxTime", "")),
        max_slots=_count(values.get("TotalCPUs", "")),
        max_memory=_memory(values.get("MaxMemPerCPU", "")),
        total_slots=_count(values.get("TotalCPUs", "")),
        free_slots=sum(row[1] for row in processors) if processors else None,
        nodes_idle=_nodes(rows, _IDLE) if rows else None,
        nodes_busy=_nodes(rows, _BUSY) if rows else None,
        accounts=_allowed(values.get("AllowAccounts", "")),
        qos=_allowed(values.get("AllowQos", "")),
    )


def _allowed(text: str) -> tuple[str, ...]:
    return () if text in ("", "ALL", "N/A") else tuple(map(printable, text.split(",")))


def _nodes(rows: Iterable[list[str]], states: tuple[str, ...]) -> int:
    return sum(_count(row[2]) or 0 for row in rows if row[1].startswith(states))


def _qos(row: list[str], associations: Iterable[list[str]]) -> QosInfo:
    name, wall, each, all_jobs, submitted, _running, flags = row
    limits = {**_tres(all_jobs), **_tres(each)}
    accounts = {printable(account): name in names.split(",") for account, _, names, _ in associations if account}
    return QosInfo(
        printable(name),
        max_wall_time=duration_in(wall),
        max_slots=_count(limits.get("cpu", "")),
        max_memory=_memory(limits.get("mem", "")),
        max_jobs=_count(submitted),
        overrides_wall_time="PartitionTimeLimit" in flags.split(","),
        accounts=() if all(accounts.values()) else tuple(account for account, may in accounts.items() if may),
    )


def _tres(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 15 else None


def _memory(text: str) -> int | None:
    return size_in(f"{text}M" if text.isdecimal() else text)
