#!/usr/bin/env python3
"""Run one job from beginning to end. The last line is what the job printed.

Usage: basic.py [CONFIG]
"""

import sys
from pathlib import Path

from jasmin_arc import ArcInterface, JobStatuses

config_path = sys.argv[1] if len(sys.argv) > 1 else None

with ArcInterface(config_path) as arc:
    job_id = arc.submit_job("/bin/bash", ["-c", "echo This job is running on $(hostname)"])
    print(f"Submitted {job_id}")

    (status,) = arc.wait([job_id])
    print(f"The job has ended: {status.value}")
    if status is not JobStatuses.COMPLETED:
        sys.exit(str(arc.explain(job_id)))

    out_dir = arc.save_job_outputs(job_id)

if out_dir is None:
    sys.exit(f"{job_id} left nothing to save")
print(f"Saved its outputs to {out_dir}; its stdout was:")
print(Path(out_dir, "stdout.txt").read_text(), end="")
