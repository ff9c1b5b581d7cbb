"""Which word was meant, where one is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


def nearest(word: str, known: Iterable[str], others: Mapping[str, str] | None = None) -> str:
    """Return the known word that is most like this one, or an empty text.

    :param others: words that other programs use, and what they are called here
    """
    known = list(known)
    meant = (others or {}).get(word.lower(), "")
    if meant in known:
        return meant
    in_lower = {entry.lower(): entry for entry in reversed(known)}
    return next((in_lower[name] for name in difflib.get_close_matches(word.lower(), in_lower, 1)), "")


def unknown_keyword(function: str, word: str, known: Iterable[str], others: Mapping[str, str] | None = None) -> str:
    """Say that a function does not take a keyword, and which one may be meant."""
    known = list(known)
    meant = nearest(word, known, others)
    hint = f"did you mean {meant!r}?" if meant else f"it takes {', '.join(known)}"
    return f"{function}() has no keyword {word!r}; {hint}"
