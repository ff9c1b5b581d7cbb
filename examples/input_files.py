#!/usr/bin/env python3
"""Send two files along with a job, which reads them.

Usage: input_files.py [CONFIG]
"""

import sys
import tempfile
from pathlib import Path

from jasmin_arc import ArcInterface

config_path = sys.argv[1] if len(sys.argv) > 1 else None

folder = Path(tempfile.mkdtemp())
january = folder / "january.txt"
january.write_text("2.5 3.1 4.0\n")
february = folder / "february.txt"
february.write_text("3.3 2.9 5.2\n")

with ArcInterface(config_path) as arc:
    # The files are copied to the directory that the job runs in, under their own names.
    job = arc.submit("/bin/bash", ["-c", "cat *.txt"], inputs=[january, february])
    # With `check`, a job that failed is an error that says why.
    job.wait(check=True)
    print("The job read:")
    print(job.stdout(), end="")
