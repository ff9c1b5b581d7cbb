"""XML, built and read by an XML library, and bounded. Elements are found by their names without a namespace."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from xml.etree import ElementTree

from jasmin_arc.exceptions import InvalidJobDescription, JasminArcError

MAX_LENGTH = 16 * 1024 * 1024
"""Of a document, in characters or bytes"""
_MAX_DEPTH = 64
_SPACE = " \t\r\n"
"""The white space of XML. Unicode has more, which may be a part of a text that was encoded too often."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def add(parent: ElementTree.Element, tag: str, text: str = "", *, field: str = "") -> ElementTree.Element:
    """Append an element with a text; an error message names the ``field`` that the text comes from."""
    if bad := _NOT_XML.search(text):
        raise InvalidJobDescription(
            f"{field or tag}: {text[:80]!r} holds the character U+{ord(bad[0]):04X}, which XML cannot carry"
        )
    element = ElementTree.SubElement(parent, tag)
    element.text = text
    return element


def to_text(root: ElementTree.Element, namespace: str) -> str:
    """Write the document down; names in ``namespace`` (``{URL}``) get no prefix."""
    text = ElementTree.tostring(root, encoding="unicode", default_namespace=namespace.strip("{}"))
    # Read back, a bare carriage return is a newline: XML's own rule, which the library leaves to its caller.
    return text.replace("\r", "&#13;")


def parse(document: str | bytes, error: Callable[[str], JasminArcError], *, root: str = "") -> ElementTree.Element:
    """Read a document and return its root. What is too long, not well-formed or built to do harm is an ``error``.

    :param root: what the root must be called: ``{namespace}name``, or ``name`` in any namespace
    """
    from defusedxml import ElementTree as SafeElementTree
    from defusedxml.common import DefusedXmlException

    if len(document) > MAX_LENGTH:
        raise error(f"the text is longer than {MAX_LENGTH} characters")
    try:
        found: ElementTree.Element = SafeElementTree.fromstring(document, forbid_dtd=True)
    except DefusedXmlException as caught:
        raise error(f"a document type and entities are not allowed: {caught!r}") from caught
    except (ElementTree.ParseError, ValueError, LookupError) as caught:
        raise error(f"the text is not well-formed XML: {caught}") from caught
    if root and root not in (found.tag, name_of(found)):
        raise error(f"the root must be {root}, not {found.tag[:100]}")
    level = [found]
    for _ in range(_MAX_DEPTH):
        level = [child for element in level for child in element]
    if level:
        raise error(f"its elements are nested more than {_MAX_DEPTH} deep")
    return found


def name_of(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def all_of(parent: ElementTree.Element | None, name: str) -> list[ElementTree.Element]:
    return [element for element in (parent if parent is not None else ()) if name_of(element) == name]


def texts(parent: ElementTree.Element, name: str) -> list[str]:
    """The texts of the children of that name, without those that are empty."""
    return [text for element in all_of(parent, name) if (text := (element.text or "").strip(_SPACE))]


def first_text(parent: ElementTree.Element, name: str) -> str:
    """The text of the first child of that name; empty where there is none."""
    # Without all_of: the listings of a site are long.
    return next(((one.text or "").strip(_SPACE) for one in parent if one.tag == name or name_of(one) == name), "")


def only(parent: ElementTree.Element | None, name: str) -> ElementTree.Element | None:
    """The child of that name, if there is one; several are an error."""
    found = all_of(parent, name)
    if parent is not None and len(found) > 1:
        raise InvalidJobDescription(f"{name_of(parent)}: only one {name} is possible, not {len(found)}")
    return found[0] if found else None


def text_of(parent: ElementTree.Element | None, name: str, default: str = "") -> str:
    element = only(parent, name)
    return default if element is None else element.text or ""


def is_true(parent: ElementTree.Element | None, name: str) -> bool:
    return text_of(parent, name, "false").strip() not in ("false", "0")


def number_of(parent: ElementTree.Element | None, name: str) -> int | None:
    """The whole number that the child of that name holds; ``None`` where there is none."""
    text = text_of(parent, name).strip()
    # Some writers give whole numbers a fraction of zero.
    if text and not re.fullmatch(r"\d{1,18}(\.0*)?", text, re.ASCII):
        raise InvalidJobDescription(f"{name}: must be a whole number, not {text[:80]!r}")
    return int(text.partition(".")[0]) if text else None


def check(parent: ElementTree.Element | None, known: Collection[str], ignored: Collection[str] = ()) -> None:
    """Refuse elements that are neither known nor ignored, so that no wish of the user is lost silently."""
    if parent is None:
        return
    for element in parent:
        name, place = name_of(element), name_of(parent)
        if name not in known and name not in ignored:
            raise InvalidJobDescription(f"{place}/{name} is not supported; {place} may have {', '.join(known)}")
