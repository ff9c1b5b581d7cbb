"""What a rule finds, and how it shows texts of others."""

from __future__ import annotations

import re
from typing import NamedTuple

_LONGEST = 240
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")
_QUERY = re.compile(r"(://[^\s?]*\?)\S+")
"""Where URLs have their signatures; what follows without a space goes too, as nobody can tell where it ends"""


class Finding(NamedTuple):
    """A cause, its sentence and the advice."""

    cause: str
    summary: str
    advice: str


def plain(text: str, *, longest: int = _LONGEST) -> str:
    """Return a text of others as one short line, fit for a terminal and for a log."""
    line = _QUERY.sub(r"\1...", _PASSWORD.sub("...", " ".join(text.split())))
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= longest else line[: longest - 3] + "..."
