#!/usr/bin/env python3
"""Send the log to a file, in full detail, or nowhere at all.

Usage: log_output.py [CONFIG]
"""

import sys
import tempfile
from pathlib import Path

from jasmin_arc import ArcInterface, LogLevels

config_path = sys.argv[1] if len(sys.argv) > 1 else None
log_path = Path(tempfile.mkdtemp(), "jasmin_arc.log")

# Without `log` the messages go to sys.stdout, without `log_level` those of LogLevels.INFO and above.
with log_path.open("w") as log, ArcInterface(config_path, log=log, log_level=LogLevels.DEBUG) as arc:
    arc.submit("/bin/true").wait()
print(f"{log_path} has {len(log_path.read_text().splitlines())} lines")

with ArcInterface(config_path, log=None) as arc:
    arc.submit("/bin/true").wait()
print("and nothing was logged about the second job")
