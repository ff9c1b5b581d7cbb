"""Makes the calls of a named sweep, until it is killed: python sweeping.py CONFIG FOLDER"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from jasmin_arc import ArcInterface

CALLS = 24


def main(config: str, folder: str) -> None:
    def call(number: int) -> int:
        tempfile.mkstemp(prefix=f"{number}-", dir=folder)
        time.sleep(0.5)
        return number * number

    with ArcInterface(config, log=None) as arc, arc.executor(name="sweep", chunk=2, max_in_flight=6) as executor:
        results = list(executor.map(call, range(CALLS)))
    Path(folder, "results").write_text(repr(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
