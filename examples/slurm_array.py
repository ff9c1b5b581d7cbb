#!/usr/bin/env python3
"""Run an ensemble of 20 members as one job array of Slurm, and print how far the members have spread.

The configuration says where: {"BACKEND": "slurm", "SLURM_ACCOUNT": "mygws", "SLURM_QOS": "short"}. With one line more,
"SLURM_HOST": "sci", the same runs from a laptop, over SSH.

Usage: slurm_array.py [CONFIG]
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path

from jasmin_arc import ArcInterface, JobDescription

config_path = sys.argv[1] if len(sys.argv) > 1 else None

MODEL = """
import json, sys

member, x = int(sys.argv[1]), 0.3
x += member * 1e-9  # each member begins at a slightly different state
states = []
for step in range(60):
    x = 3.9 * x * (1 - x)
    states.append(x)
with open("states.json", "w") as file:
    json.dump(states, file)
"""

# Jobs that ask for the same things become one array. Account and QoS are in the configuration.
member = JobDescription(executable="python3", outputs=["states.json"], wall_time="10m", memory="200 MB")
ensemble = [
    member.replace(name=f"member-{number:02}", arguments=["model.py", number], inputs={"model.py": MODEL.encode()})
    for number in range(20)
]

with ArcInterface(config_path) as arc:
    # What stands in the way of one stands in the way of all. Slurm would let some of it wait for ever.
    problems = arc.check(ensemble[0])
    if problems:
        sys.exit("\n".join(problems))

    jobs = arc.submit(ensemble)
    jobs.wait(check=True)
    folders = jobs.outputs(tempfile.mkdtemp())
    print("Slurm called them", ", ".join(info.native_id for info in jobs.infos()[:3]), "...")
    jobs.clean()

runs = [json.loads(Path(folder, "states.json").read_text()) for folder in folders if folder]
print("step spread")
for step in (0, 20, 40, 59):
    print(step, f"{statistics.stdev(run[step] for run in runs):.1e}")
