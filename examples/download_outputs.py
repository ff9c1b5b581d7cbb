#!/usr/bin/env python3
"""Keep a file that a job wrote, and see that the others are gone.

Usage: download_outputs.py [CONFIG]
"""

import sys
from pathlib import Path

from jasmin_arc import ArcInterface, JobStatuses

config_path = sys.argv[1] if len(sys.argv) > 1 else None

SCRIPT = """
echo 'This is lost when the job ends' > scratch.txt
echo 'This is kept' > result.txt
ls
"""

with ArcInterface(config_path) as arc:
    # Without `outputs` the job keeps what the option OUTPUT_FILE names.
    job_id = arc.submit_job("/bin/bash", ["-c", SCRIPT], outputs=["result.txt"])
    (status,) = arc.wait([job_id])
    out_dir = arc.save_job_outputs(job_id)

if status is not JobStatuses.COMPLETED or out_dir is None:
    sys.exit(f"{job_id} failed")
for path in sorted(Path(out_dir).iterdir()):
    print(f"{path.name}:")
    print(path.read_text(), end="")
