"""Unit tests do not wait for the disk, and share a certificate authority and a compute element that is not real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.https_server import Certificates
from faults.rest_setup import Setup, rest_setup

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


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def setup(tmp_path: Path, certificates: Certificates) -> Iterator[Setup]:
    with rest_setup(tmp_path, certificates) as made:
        yield made
