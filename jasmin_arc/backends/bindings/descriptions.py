"""Texts to the bindings' own job descriptions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jasmin_arc.backends.bindings.log_capture import LogLine, reasons
from jasmin_arc.exceptions import InvalidJobDescription

_JSDL = re.compile(r"<(?:[\w.-]+:)?JobDefinition[\s>]")


def without_jsdl(text: str) -> str:
    """Return the text itself, or as ADL if it is JSDL, which ARC 6 and later do not parse.

    :raises InvalidJobDescription: if it is JSDL and not valid
    """
    if not isinstance(text, str) or "\0" in text:
        raise InvalidJobDescription(f"a job description must be a text in xRSL, ADL or JSDL, not {text!r:.80}")
    if not _JSDL.search(text):
        return text
    from jasmin_arc.description.formats.adl import to_adl
    from jasmin_arc.description.formats.jsdl import from_jsdl

    return to_adl(from_jsdl(text))


def not_a_description(text: str, why: str, lines: Sequence[LogLine]) -> InvalidJobDescription:
    """The error for a text that the library does not accept, with what it said."""
    said = "; ".join(dict.fromkeys(filter(None, (" ".join(why.split()), reasons(lines)))))
    return InvalidJobDescription(f"not a valid job description in xRSL, ADL or JSDL ({said}): {text.strip()[:60]!r}")
