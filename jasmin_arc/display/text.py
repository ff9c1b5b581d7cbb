"""Texts in lines that fit. A line ends between words; a word is broken only where it alone is too long."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORDS = re.compile(r"""\(?(?:'[^'\s][^']*'|"[^"\s][^"]*")\S*|\S+""")
"""A command in quotes counts as one word, so that it can be read and copied"""
_PARTS = re.compile(r"[^-_./]*[-_./]+|[^-_./]+")
"""Where a long name is best broken: after such a sign"""


def width_of(text: str) -> int:
    """Return how many places of a terminal the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def wrap(text: str, width: int) -> str:
    """Break a message between its words. A word that alone is too long, such as a URL, is left whole, to be copied.

    Lines that are there already stay, and what continues a line is indented as that line is.
    """
    return "\n".join(line for given in text.split("\n") for line in _wrapped(given, width))


def _wrapped(line: str, width: int) -> list[str]:
    if width_of(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    room = width - len(indent)
    words = [part for word in _WORDS.findall(line) for part in ([word] if width_of(word) <= room else word.split())]
    return [indent + filled for filled in _fill((f"{word} " for word in words), room)]


def fold(text: str, width: int) -> list[str]:
    """Break the text of a cell so that no line is wider than the cell. All of it is there."""
    if width_of(text) <= width:
        return [text]
    return _fill((piece for word in text.split() for piece in _pieces(word, width)), width)


def _pieces(word: str, width: int) -> list[str]:
    """Return the parts that a word may be broken into; the last one ends with a space."""
    pieces = [word]
    if width_of(word) > width:
        parts = _PARTS.findall(word)
        pieces = [piece for part in parts for piece in ([part] if width_of(part) <= width else part)]
    return [*pieces[:-1], pieces[-1] + " "]


def _fill(pieces: Iterable[str], width: int) -> list[str]:
    """Put pieces on lines, as many on each as there is room for."""
    lines = [""]
    for piece in pieces:
        if lines[-1] and width_of(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]
