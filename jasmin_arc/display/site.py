"""What a site offers, in rows and tables: of each kind of thing, what the user may choose, with the default marked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from jasmin_arc._support.quantities import duration, size
from jasmin_arc._support.text import one_line
from jasmin_arc.display.columns import Column, Row, if_known
from jasmin_arc.site_info import SiteInfo


def _marked(row: Row) -> str:
    return one_line(row["name"]) + (" (default)" if row.get("default") else "")


QUEUES = (
    Column("name", "QUEUE", words=_marked),
    Column("free_slots", "FREE", right=True),
    Column("total_slots", "SLOTS", right=True),
    Column("running", "RUNNING", right=True),
    Column("waiting", "WAITING", right=True),
    Column("max_wall_time", "MAX TIME", if_known(duration), right=True),
    Column("max_slots", "MAX SLOTS", right=True),
    Column("max_memory", "MAX MEMORY", if_known(size), right=True),
    Column("nodes_idle", "NODES IDLE", right=True),
    Column("nodes_busy", "NODES BUSY", right=True),
    Column("accounts", "ONLY FOR ACCOUNTS"),
    Column("qos", "ONLY WITH QOS"),
)
QOS = (
    Column("name", "QOS", words=_marked),
    Column("max_wall_time", "MAX TIME", if_known(duration), right=True),
    Column("max_slots", "MAX SLOTS", right=True),
    Column("max_memory", "MAX MEMORY OF A JOB", if_known(size), right=True),
    Column("max_jobs", "MAX JOBS", right=True),
    Column("accounts", "ONLY FOR ACCOUNTS"),
)
SOFTWARE = (Column("kind", "KIND", whole=True), Column("name", "NAME"))


def record(site: SiteInfo) -> dict[str, Any]:
    """Return what stands above the tables."""
    shown = {key: value for key, value in asdict(site).items() if key not in ("queues", "qos")}
    shown["accounts"] = [_marked(row) for row in accounts(site)]
    lists = {"default_queue": queues(site), "default_qos": qos(site), "default_account": accounts(site)}
    for key, rows in lists.items():
        if any(row["default"] for row in rows):
            del shown[key]
    return shown


def queues(site: SiteInfo) -> list[dict[str, Any]]:
    """Return a row for each queue."""
    return _rows(map(asdict, site.queues), site.default_queue)


def qos(site: SiteInfo) -> list[dict[str, Any]]:
    """Return a row for each quality of service."""
    return _rows(map(asdict, site.qos), site.default_qos)


def accounts(site: SiteInfo) -> list[dict[str, Any]]:
    """Return a row for each account."""
    return _rows(({"name": name} for name in site.accounts), site.default_account)


def software(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return a row for each program and module that was found."""
    return [{"kind": "program" if name.startswith("/") else "module", "name": name} for name in names]


def filled(columns: Sequence[Column], rows: Sequence[Row]) -> list[Column]:
    """Return the columns that have something to show."""
    return [column for column in columns if any(row.get(column.key) not in (None, ()) for row in rows)]


def _rows(entries: Iterable[dict[str, Any]], default: str) -> list[dict[str, Any]]:
    return [{**entry, "default": entry["name"] == default} for entry in entries]
