"""Ends that nobody but the record can tell of."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any

from jasmin_arc._support.machine import boot_id
from jasmin_arc.backends.local.layout import Layout
from jasmin_arc.backends.local.store import Store
from jasmin_arc.backends.posix.clean_session import clean_session, drop_output_list
from jasmin_arc.backends.posix.files import read_json

CANCELLED = "User requested to cancel the job"
"""In A-REX's words"""


def end(state: str, error: str) -> dict[str, Any]:
    """The end of a job that has no exit code."""
    return {"state": state, "ended": time.time(), "errors": [error]}


def left_behind(layout: Layout, row: sqlite3.Row, otherwise: str) -> dict[str, Any]:
    """The end of a job whose supervisor is gone: what that has written down, or else the error given.

    The session folder is cleaned, unless it was.
    """
    key = row["key"]
    record: dict[str, Any] | None = _read(layout.job(key, "done"))
    if record is None:
        clean_up(layout, key, row["plan"])
        record = _read(layout.job(key, "exit"))
    return record or end("FAILED", otherwise)


def clean_up(layout: Layout, key: str, recorded: str) -> None:
    """Clean the session folder of a job that has ended, for good.

    :param recorded: its specification, as the record has it
    """
    session, spec = layout.session(key), json.loads(recorded)
    clean_session(session, spec["outputs"], spec["output_list"])
    drop_output_list(session, spec["output_list"])


def _read(path: str) -> Any:
    try:
        return read_json(path)
    except ValueError:
        return None  # Cut short when the machine went down.


def end_former(store: Store, layout: Layout) -> None:
    """End the jobs of this host that had not ended when it last went down."""
    ends = {}
    for row in store.unended(layout.host, "boot <> ?", boot_id()):
        moment = "while the job ran" if row["state"] == "RUNNING" else "before the job had started"
        ends[row["key"]] = left_behind(layout, row, f"the machine {row['host']} was restarted {moment}")
    with store.transaction():
        for key, record in ends.items():
            store.end(key, record)
