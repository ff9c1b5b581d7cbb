"""What a rule finds, and how it shows texts of others."""

from __future__ import annotations

import re
from typing import NamedTuple

_LONGEST = 240
_SECRET = re.compile(r"(?<=://)[^/@\s]*@|(?<=\?)[^\s:]*=[^\s:]*")
"""Passwords and signatures in URLs"""


class Finding(NamedTuple):
    """A cause, its sentence and the advice."""

    cause: str
    summary: str
    advice: str


def plain(text: str, *, longest: int = _LONGEST) -> str:
    """Return a text of others as one short line, fit for a terminal and for a log."""
    line = _SECRET.sub("...", " ".join(text.split()))
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= longest else line[: longest - 3] + "..."
