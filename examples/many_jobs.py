#!/usr/bin/env python3
"""Run 200 jobs, one for each of 200 input files, and gather their results in one table.

Each file has the daily temperatures of a weather station; its job computes the mean and the highest.

Usage: many_jobs.py [CONFIG [NUMBER_OF_JOBS]]
"""

import math
import sys
import tempfile
from pathlib import Path

from jasmin_arc import ArcInterface, JobDescription, LogLevels

config_path = sys.argv[1] if len(sys.argv) > 1 else None
number = int(sys.argv[2]) if len(sys.argv) > 2 else 200

AVERAGE = '{ sum += $2; if (NR == 1 || $2 > highest) highest = $2 } END { printf "%.2f %.2f\\n", sum / NR, highest }'


def write_inputs(folder: Path) -> list[Path]:
    """Make up a year of temperatures for each station."""
    paths = []
    for station in range(number):
        days = (f"{day} {10 + station / 20 - 12 * math.cos(day / 58.1):.2f}\n" for day in range(365))
        path = folder / f"station{station:03}.txt"
        path.write_text("".join(days))
        paths.append(path)
    return paths


def describe(path: Path) -> JobDescription:
    """The job for one file."""
    return JobDescription(name=path.stem, executable="awk", arguments=[AVERAGE, path.name], inputs=[path], outputs=[])


folder = Path(tempfile.mkdtemp())
descriptions = [describe(path) for path in write_inputs(folder)]

with ArcInterface(config_path, log=sys.stderr, log_level=LogLevels.WARNING) as arc:
    jobs = arc.submit(descriptions, progress=True)
    jobs.wait(progress=True)
    folders = jobs.outputs(folder / "results", progress=True)
    reasons = {job: job.explain().summary for job in jobs.failed}
    # What is here now, the server need not keep.
    arc.clean_jobs([job for job, out_dir in zip(jobs, folders) if out_dir])

print("station mean highest")
for job, out_dir in zip(jobs, folders):
    if job in reasons:
        print(job.name, "failed:", reasons[job])
    elif out_dir is not None:
        print(job.name, Path(out_dir, "stdout.txt").read_text().strip())
