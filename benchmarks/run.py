"""Compare the library with its peers and with the bare protocol, in one run: ``make bench``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from functions import Functions
from local import importing, job_list, local, long_list
from measure import Row, machine, table
from remote import Remote, say
from slurm import Slurm

RESULTS = Path(__file__).parent / "results.md"
MEMORY = "/dev/shm"
MANY = 1000
"""How many jobs the goals, and so the results, are for"""


def rows(arguments: argparse.Namespace, folder: Path, memory: Path) -> Iterator[Row]:
    """Measure one thing after another.

    :param memory: a folder that is no disk's
    """
    yield from importing()
    remote = Remote(json.loads(Path(arguments.config).read_text()), arguments.jobs, folder, memory)
    remote.clear()
    for part in (
        remote.submitting_one,
        remote.first_of_a_process,
        remote.submitting,
        remote.asking,
        remote.failing,
        remote.cancelling,
        remote.outputs,
        remote.large,
    ):
        yield from part()
    yield from Slurm(Path(arguments.config).parent, arguments.jobs, folder, memory).rows()
    say("local jobs")
    yield from local(folder)
    yield from job_list(folder)
    yield from long_list(folder)


def function_rows(arguments: argparse.Namespace, folder: Path, memory: Path) -> Iterator[Row]:
    """Measure Python functions as jobs, on a grid that others may use."""
    yield from Functions(Path(arguments.config), arguments.jobs, folder, memory).rows()


SECTIONS = {"Jobs": rows, "Python functions": function_rows}


def report(measured: Mapping[str, list[Row]]) -> str:
    """Return the page with what has been measured, by section."""
    head = f"# Results\n\nMeasured by `make bench` on {machine()}; medians of one run.\n"
    return "\n".join([head, *(f"## {section}\n\n{table(found)}" for section, found in measured.items())])


def write(text: str) -> None:
    """Replace the results, all at once."""
    new = RESULTS.with_name(f"{RESULTS.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(RESULTS)


def main() -> int:
    """Run all, print the table, write it down if all was measured, and fail if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--jobs", type=int, default=MANY, help=f"how many jobs are many (default: {MANY}; others are not written down)"
    )
    parser.add_argument(
        "--config",
        default=str(Path(os.environ.get("GRID_DIR", "/tmp/jasmin-arc-grid")) / "config.json"),
        help="the configuration of a compute element whose jobs may ALL be erased (default: the test grid's)",
    )
    parser.add_argument(
        "--section",
        choices=SECTIONS,
        help="measure this alone, and write nothing down; 'Python functions' erases no jobs",
    )
    arguments = parser.parse_args()
    measured: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(dir=MEMORY) as memory:
        for section in [arguments.section] if arguments.section else SECTIONS:
            measured[section] = []
            for row in SECTIONS[section](arguments, Path(folder), Path(memory)):
                measured[section].append(row)
                say(f"  {row.who}: {row.value} {row.ratio}")
    text = report(measured)
    print(text)
    if arguments.jobs == MANY and not arguments.section:
        write(text)
    missed = [row for found in measured.values() for row in found if row.goal and not row.goal.reached]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
