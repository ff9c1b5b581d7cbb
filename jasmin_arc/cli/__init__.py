"""The command line, ``jasmin-arc``: a command is parsed, makes one call of the library, and prints the answer."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code.

    :param args: the arguments (default: the process's own)
    """
    try:
        from jasmin_arc.cli.process import run

        code = run(sys.argv[1:] if args is None else args)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
