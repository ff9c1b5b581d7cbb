"""What Snakemake, as the program of a job, writes around the words of the command that failed."""

from __future__ import annotations

import re

_BEGIN = re.compile(r"^Execute \d+ jobs\.\.\.\n", re.MULTILINE)
_END = re.compile(r"^Shutting down, this might take some time\.\n(?:Exiting because |Storing output )", re.MULTILINE)
_COMMAND = "RuleException:\nCalledProcessError in file "
_EXIT = re.compile(r"returned non-zero exit status \d+\.\s*\Z")


def without_snakemake(stderr: str) -> str:
    """Leave out what Snakemake says of itself after a rule has failed: the reason stands before it."""
    end = _END.search(stderr)
    if end is None:
        return stderr
    said = _BEGIN.split(stderr[: end.start()])[-1]
    by_command, _, of_command = said.rpartition(_COMMAND)
    # A command that was silent has nothing but its exit status to tell, and one that was killed has its signal.
    return by_command if by_command.strip() and _EXIT.search(of_command) else said
