"""XML as the formats need it: built and read by an XML library, bounded, and never with anything left out silently."""

from __future__ import annotations

import re
from collections.abc import Collection
from xml.etree import ElementTree

from jasmin_arc.exceptions import InvalidJobDescription

LONGEST_TEXT = 16 * 1024 * 1024
"""The most characters of a job description that is read"""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def child(parent: ElementTree.Element, tag: str, text: str = "", *, field: str = "") -> ElementTree.Element:
    """Append an element with a text.

    :param field: the field of the job description that the text comes from, for the error message
    :raises InvalidJobDescription: if the text has a character that no XML document can hold
    """
    bad = _NOT_XML.search(text)
    if bad:
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


def parse(text: str, language: str) -> ElementTree.Element:
    """Read a document and return its root.

    :raises InvalidJobDescription: if it is too long, not well-formed, or brings entities of its own
    """
    from defusedxml import ElementTree as SafeElementTree
    from defusedxml.common import DefusedXmlException

    if len(text) > LONGEST_TEXT:
        raise InvalidJobDescription(f"{language}: the text is longer than {LONGEST_TEXT} characters")
    try:
        root: ElementTree.Element = SafeElementTree.fromstring(text, forbid_dtd=True)
    except DefusedXmlException as error:
        raise InvalidJobDescription(f"{language}: a document type and entities are not allowed: {error!r}") from error
    except (ElementTree.ParseError, ValueError) as error:
        raise InvalidJobDescription(f"{language}: the text is not well-formed XML: {error}") from error
    return root


def name_of(element: ElementTree.Element) -> str:
    """The element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def check_children(
    parent: ElementTree.Element, known: Collection[str], ignored: Collection[str], *, language: str
) -> None:
    """Refuse what cannot be carried over, so that no wish of the user is lost silently.

    :param known: the tags that are read
    :param ignored: the tags that change nothing in what the job does
    :raises InvalidJobDescription: naming the element, and what is possible in its place
    """
    for element in parent:
        if element.tag not in known and element.tag not in ignored:
            possible = ", ".join(tag.rpartition("}")[2] for tag in known)
            place = name_of(parent)
            raise InvalidJobDescription(
                f"{language}: {place}/{name_of(element)} is not supported; {place} may have {possible}"
            )
