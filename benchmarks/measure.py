"""Measurements, their medians, and the table that they end in."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path


def seconds(action: Callable[[], object], *, times: int = 1) -> float:
    """Return the median of the seconds that the action takes."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def in_turn(*actions: Callable[[], object], times: int, pause: float = 0.0) -> list[float]:
    """Return the medians of the seconds that actions take, which are done in turn: what disturbs one disturbs all.

    :param pause: the seconds before each
    """
    taken: list[list[float]] = [[] for _ in actions]
    for number in range(times + 1):
        for action, each in zip(actions, taken):
            time.sleep(pause)
            spent = seconds(action)
            if number:  # The first one may have to connect.
                each.append(spent)
    return [statistics.median(each) for each in taken]


@dataclass(frozen=True)
class Goal:
    """What a ratio is to reach."""

    text: str
    reached: bool


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    work: str
    who: str
    value: str
    ratio: str = ""
    goal: Goal | None = None


def at_least(ratio: float, least: float) -> Goal:
    """A ratio that must not be smaller."""
    return Goal(f">= {least:g}", ratio >= least)


def at_most(ratio: float, most: float) -> Goal:
    """A ratio that must not be larger."""
    return Goal(f"<= {most:g}", ratio <= most)


def table(rows: list[Row]) -> str:
    """Write the rows as a Markdown table."""
    lines = ["| work | who | median | ratio | goal | |", "|---|---|---|---|---|---|"]
    for row in rows:
        goal = row.goal.text if row.goal else ""
        verdict = ("reached" if row.goal.reached else "**missed**") if row.goal else ""
        lines.append(f"| {row.work} | {row.who} | {row.value} | {row.ratio} | {goal} | {verdict} |")
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Say what was measured on."""
    model = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text(encoding="utf-8").splitlines() if cpus.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {datetime.now(timezone.utc):%Y-%m-%d}"
    )
