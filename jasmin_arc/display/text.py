"""Texts in lines that fit. A line ends between words; a word is broken only where it alone is too long."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_WORDS = re.compile(r"""\(?(?:'[^'\s][^']*'|"[^"\s][^"]*")\S*|\S+""")
"""A command in quotes counts as one word, so that it can be read and copied"""
_COMMAND = re.compile(" +[^- ]")
_GAP = re.compile(r"(?<=\S) {3,}")
_SIGNS = ("/", "-_.")
"""After which signs a long word is best broken, the best ones first"""


def width_of(text: str) -> int:
    """Return how many places of a terminal the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def wrap(text: str, width: int) -> str:
    """Break a message between its words. A word that alone is too long, such as a URL, is left whole, to be copied.

    Lines that are there already stay, and what continues a line is indented as that line is. An indented line is left
    as it is, as it is a command to be copied, unless a dash begins it. Parts of a hint, with three spaces between them,
    get lines of their own.
    """
    return "\n".join(
        line for given in text.split("\n") for part in _in_parts(given, width) for line in _wrapped(part, width)
    )


def _in_parts(line: str, width: int) -> list[str]:
    # What is indented may be a quotation, whose spaces say nothing.
    return [line] if width_of(line) <= width or line.startswith(" ") else _GAP.split(line)


def _wrapped(line: str, width: int) -> list[str]:
    if width_of(line) <= width or _COMMAND.match(line):
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
    pieces = _parts(word, width, _SIGNS)
    return [*pieces[:-1], pieces[-1] + " "]


def _parts(word: str, width: int, signs: Sequence[str]) -> list[str]:
    if width_of(word) <= width:
        return [word]
    if not signs:
        return list(word)
    found = re.findall(f"[^{signs[0]}]*[{signs[0]}]+|[^{signs[0]}]+", word)
    return [part for piece in found for part in _parts(piece, width, signs[1:])]


def _fill(pieces: Iterable[str], width: int) -> list[str]:
    """Put pieces on lines, as many on each as there is room for."""
    lines = [""]
    for piece in pieces:
        if lines[-1] and width_of(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]
