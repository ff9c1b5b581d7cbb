"""Reads the XML that a compute element sends. Whatever is not as it should be is a :class:`ServerError`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from jasmin_arc._support.text import printable
from jasmin_arc.exceptions import JasminArcError, OutputError, ServerError
from jasmin_arc.job_info import RemoteFile

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,254}\Z")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_DEEPEST = 64


@dataclass(frozen=True)
class JobAnswer:
    """What a bulk request says of one job."""

    id: str
    code: int = 0
    reason: str = ""
    state: str = ""
    delegations: tuple[str, ...] = ()
    info: Element | None = None
    """The GLUE2 document ``ComputingActivity``"""
    error: JasminArcError | None = None
    """Why the server says nothing of the job"""
    asked: bool = True
    """Whether the request was sent; not, if one before it failed"""

    @property
    def done(self) -> bool:
        """Say whether the request succeeded for this job."""
        return 200 <= self.code < 300


def parse(text: bytes, *, root: str = "") -> Element:
    """Parse a document without entities and without a document type.

    :param root: the name that its outermost element must have, as a web page is well-formed too
    :raises ServerError: if it is not well-formed, built to do harm, or another document
    """
    try:
        found: Element = fromstring(text, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise ServerError(f"the server sends XML that cannot be read: {printable(str(error))}") from error
    if root and local(found) != root:
        raise ServerError(
            f"the server sends another document than the expected <{root}>: <{printable(local(found), max_length=50)}>",
            advice="does ARC_SERVER name a compute element?",
        )
    _check_depth(found)
    return found


def _check_depth(root: Element) -> None:
    level, depth = [root], 0
    while level:
        level = [child for element in level for child in element]
        depth += 1
        if depth > _DEEPEST:
            raise ServerError("the server sends XML that is nested too deeply")


def local(element: Element) -> str:
    """Return an element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def children(element: Element, name: str) -> Iterator[Element]:
    """Yield the direct children of that name, whatever their namespace."""
    return (child for child in element if local(child) == name)


def texts(element: Element, name: str) -> list[str]:
    """Return the texts of the direct children of that name, without those that are empty."""
    found = ((child.text or "").strip() for child in children(element, name))
    return [text for text in found if text]


def text(element: Element, name: str) -> str:
    """Return the text of the first direct child of that name."""
    for child in element:
        if child.tag == name or local(child) == name:
            return (child.text or "").strip()
    return ""


def is_job_id(name: str) -> bool:
    """Say whether the text may be a job's id at a compute element; it becomes a part of paths and URLs."""
    return bool(_ID.match(name))


def versions(document: bytes) -> list[str]:
    """Read the versions of the REST interface that a server speaks."""
    return texts(parse(document, root="versions"), "version")


def job_answers(document: bytes) -> list[JobAnswer]:
    """Read the answer to a bulk request, or a list of jobs."""
    return [_job_answer(job) for job in children(parse(document, root="jobs"), "job")]


def job_states(document: bytes) -> dict[str, str]:
    """Read a list of jobs: their states by name; empty where the list has none."""
    states = {}
    for job in children(parse(document, root="jobs"), "job"):
        # Lists are long, and findtext() is the quickest; text() takes namespaces too.
        name = job.findtext("id") or text(job, "id")
        state = job.findtext("state") or text(job, "state")
        if is_job_id(name):
            states[name] = state if state.isalpha() else ""
    return states


def _job_answer(job: Element) -> JobAnswer:
    code, job_id = text(job, "status-code"), text(job, "id")
    document = next(children(job, "info_document"), None)
    return JobAnswer(
        code=int(code) if code.isdecimal() and code.isascii() and len(code) < 5 else 0,
        reason=printable(text(job, "reason")),
        id=job_id if is_job_id(job_id) else "",
        state=printable(text(job, "state"), max_length=50),
        delegations=tuple(filter(is_job_id, texts(job, "delegation_id"))),
        info=None if document is None else next(children(document, "ComputingActivity"), None),
    )


def listing(document: bytes, folder: str) -> list[RemoteFile]:
    """Read the listing of a directory.

    :param folder: its path inside the session directory
    :raises OutputError: if a name would lead out of the directory
    """
    files = []
    # 6.17 sends control characters as they are, which XML does not have. One such name must not hide all others.
    for entry in parse(_CONTROL.sub(b"?", document), root="list"):
        name, kind = entry.text or "", local(entry)
        if kind not in ("file", "dir"):
            continue
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise OutputError(f"the server lists a file with an impossible name: {printable(repr(name))}")
        size = entry.get("size", "")
        known = kind == "file" and size.isdecimal() and size.isascii() and len(size) < 19
        path = f"{folder}/{name}" if folder else name
        files.append(RemoteFile(path, size=int(size) if known else None, is_dir=kind == "dir"))
    return files
