"""Waking the runner, and starting one where there is none."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

from jasmin_arc.backends.local.layout import Layout
from jasmin_arc.backends.posix.files import private

_LOG_LIMIT = 1 << 20


def wake(layout: Layout) -> bool:
    """Wake the runner of this host, and return whether there is one."""
    try:
        descriptor = os.open(layout.wake, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):
            return False
        raise
    try:
        # Where the pipe is full, the runner has wake-ups pending already.
        with contextlib.suppress(BlockingIOError):
            os.write(descriptor, b".")
    except BrokenPipeError:
        return False
    finally:
        os.close(descriptor)
    return True


def command(layout: Layout, verb: str, *arguments: str) -> list[str]:
    """The command line of the runner (``run``), or of its helper for URL inputs (``fetch``)."""
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
    # The runner needs only the standard library; its helper needs urllib3, wherever that is installed.
    options = ["-X", "utf8", *(["-I", "-S"] if verb == "run" else [])]
    return [sys.executable, *options, program, verb, layout.root, layout.host, *arguments]


def start(layout: Layout) -> None:
    """Start a runner that has nothing to do with this process; one that finds another at work ends at once."""
    import subprocess

    if os.path.exists(layout.log) and os.path.getsize(layout.log) > _LOG_LIMIT:
        os.replace(layout.log, layout.log + ".old")
    with open(layout.log, "ab", opener=private) as log:
        # The shell ends at once, so that the runner is not a child of this process and leaves no zombie here.
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *command(layout, "run")],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
