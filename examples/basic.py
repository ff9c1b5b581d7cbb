#!/usr/bin/env python3
"""Run one job from beginning to end. The last line is what the job printed.

Usage: basic.py [CONFIG]
"""

import sys

from jasmin_arc import ArcInterface, JobStatuses

config_path = sys.argv[1] if len(sys.argv) > 1 else None

with ArcInterface(config_path) as arc:
    job = arc.submit("/bin/bash", ["-c", "echo This job is running on $(hostname)"])
    print(f"Submitted {job.id}")

    status = job.wait()
    print(f"The job has ended: {status.value}")
    if status is not JobStatuses.COMPLETED:
        sys.exit(str(job.explain()))

    print("The job printed:")
    print(job.stdout(), end="")
