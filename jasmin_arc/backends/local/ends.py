"""Ends that nobody but the record can tell of."""

from __future__ import annotations

import json
import time
from typing import Any

from jasmin_arc.backends.local.layout import Layout, boot_id
from jasmin_arc.backends.local.store import Store
from jasmin_arc.backends.local.tidy import tidy

CANCELLED = "User requested to cancel the job"
"""In A-REX's words"""


def failed(error: str) -> dict[str, Any]:
    """The end of a job that failed without an exit code."""
    return {"state": "FAILED", "ended": time.time(), "errors": [error]}


def killed() -> dict[str, Any]:
    """The end of a job that was cancelled before it ran."""
    return {"state": "KILLED", "ended": time.time(), "errors": [CANCELLED]}


def end_former(store: Store, layout: Layout) -> None:
    """End the jobs of this host that had not ended when it last went down."""
    rows = store.of_former_boots(layout.host, boot_id())
    for row in rows:
        tidy(layout.session(row["key"]), json.loads(row["plan"]))
    with store.transaction():
        for row in rows:
            moment = "while the job ran" if row["state"] == "RUNNING" else "before the job had started"
            store.end(row["key"], failed(f"the machine {layout.host} was restarted {moment}"))
