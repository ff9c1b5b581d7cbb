"""The command line, ``jasmin-arc``: a command is parsed, makes one call of the library, and prints the answer."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code.

    :param args: the arguments (default: the process's own)
    """
    # Clean up as well where another program ends this one, or the terminal is closed; not where that is ignored.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        from jasmin_arc.cli.process import ignore_errors_of_standard_error, run

        ignore_errors_of_standard_error()
        code = run(sys.argv[1:] if args is None else args)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
