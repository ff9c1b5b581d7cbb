"""Unit tests do not wait for the disk."""

from __future__ import annotations

import pytest

from jasmin_arc.job_list import sqlite


@pytest.fixture(autouse=True)
def durability(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SQLite in this process return before its data is on the disk. Tests of that have a fixture of their own."""
    make_durable = sqlite.make_durable

    def in_memory_first(database: sqlite.Database) -> None:
        make_durable(database)
        database.execute("PRAGMA synchronous = OFF")

    for user in ("jasmin_arc.job_list.tables", "jasmin_arc.backends.local.store"):
        monkeypatch.setattr(f"{user}.make_durable", in_memory_first)
