"""The one place that makes texts of others fit to be shown: no control characters, no secrets, not too long."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import datetime, timezone

_PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")
_WORD = re.compile(r"\S+")


def printable(text: str, *, max_length: int = 500) -> str:
    """Return a text, such as one that a server sent, as one line; its end is cut if it is too long."""
    text = text.strip()
    shown = _without_controls(text[:max_length])
    return f"{shown}..." if len(text) > max_length else shown.strip()


def one_line(text: str) -> str:
    """Return the whole text as one line, with single spaces."""
    return " ".join(_without_controls(text).split())


def printable_lines(text: str) -> str:
    """Return a text of several lines, so that it can do nothing to a terminal."""
    return "\n".join(map(_without_controls, text.split("\n")))


def excerpt(text: str, *, max_length: int = 240) -> str:
    """Return what is worth quoting of a log: one short line without the passwords and signatures of URLs."""
    return printable(without_secrets_of_urls(" ".join(text.split())), max_length=max_length)


def without_secrets_of_urls(text: str) -> str:
    """Return the text without the passwords and signatures of the URLs in it."""
    return _WORD.sub(_without_signature, _PASSWORD.sub("...", text))


def _without_signature(word: re.Match[str]) -> str:
    """Cut a word at the query of the first URL in it: nobody can tell where a signature ends."""
    # A pattern for all of it would take minutes for a hostile text.
    start, slashes, rest = word[0].partition("://")
    path, _, query = rest.partition("?")
    return f"{start}{slashes}{path}?..." if query else word[0]


def first_few(texts: Sequence[str], most: int = 3) -> str:
    """Quote the first of several texts, and say how many more there are."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return excerpt(", ".join(texts[:most])) + more


SHORT_ID = 8
"""How many characters of the last part of a job id people are shown at least"""


def common_start(names: Sequence[str]) -> str:
    """One name for several: the beginning that they have in common, without the numbers at its end."""
    first, last = min(names), max(names)
    if first == last:
        return first
    same = next((place for place, pair in enumerate(zip(first, last)) if pair[0] != pair[1]), len(first))
    return first[:same].rstrip("0123456789-_. ") or names[0]


def last_part(job_id: object) -> str:
    """Return the last part of a job id: the rest of it is the same for all jobs of a place."""
    return one_line(str(job_id).rstrip("/").rpartition("/")[2])


def home_short(path: str) -> str:
    """Write a path below the home directory with ``~``, which is shorter and says less about its owner."""
    home = os.path.expanduser("~")  # noqa: PTH111
    return "~" + path[len(home) :] if home != "/" and (path == home or path.startswith(home + "/")) else path


def told(error: Exception) -> str:
    """Return what an error says, in the words of the operating system where it comes from there."""
    if not isinstance(error, OSError) or not error.strerror:
        return one_line(str(error))
    return one_line(f"{error.strerror}: {error.filename}" if error.filename else error.strerror)


def undoubled(text: str) -> str:
    """Return the text that was encoded as UTF-8 twice too often, as A-REX does; any other text as it is.

    No text that a person writes looks so by chance, save for one without other characters than ASCII, which stays.
    """
    try:
        return text.encode("latin-1").decode().encode("latin-1").decode()
    except UnicodeError:
        return text


def counted(number: int, word: str) -> str:
    """Write how many there are: ``1 job``, ``2 jobs``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def utc(moment: datetime) -> str:
    """Write a moment as all messages do, such as ``2026-11-18 13:46 UTC``."""
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def _without_controls(text: str) -> str:
    """Replace line ends, escape sequences, changes of the writing direction, and the like."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
