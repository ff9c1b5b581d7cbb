#!/usr/bin/env python3
"""Keep a file that a job wrote, and see that the others are gone.

Usage: download_outputs.py [CONFIG]
"""

import sys
import tempfile
from pathlib import Path

from jasmin_arc import ArcInterface

config_path = sys.argv[1] if len(sys.argv) > 1 else None
folder = Path(tempfile.mkdtemp(), "results")

SCRIPT = """
echo 'This is lost when the job ends' > scratch.txt
echo 'This is kept' > result.txt
ls
"""

with ArcInterface(config_path) as arc:
    # Without `outputs` the job keeps what the option OUTPUT_FILE names.
    job = arc.submit("/bin/bash", ["-c", SCRIPT], outputs=["result.txt"])
    # With `check`, a job that failed is an error that says why.
    job.wait(check=True)
    job.outputs(folder)

for path in sorted(folder.iterdir()):
    print(f"{path.name}:")
    print(path.read_text(), end="")
