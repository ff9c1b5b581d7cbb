"""Reads the XML that a compute element sends. Whatever is not as it should be is a :class:`ServerError`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from xml.etree.ElementTree import Element

from jasmin_arc._support.text import printable
from jasmin_arc._support.xml import all_of, first_text, name_of, parse, texts
from jasmin_arc.exceptions import JasminArcError, OutputError, ServerError
from jasmin_arc.job_info import RemoteFile

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,254}\Z")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True)
class JobAnswer:
    """What a bulk request says of one job."""

    native_id: str
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


def read_xml(document: bytes, *, root: str = "") -> Element:
    """Read a document of the server. A web page is well-formed too, so the name of its root is checked."""

    def unreadable(reason: str) -> ServerError:
        told = f"the server sends XML that cannot be used: {printable(reason)}"
        return ServerError(told, advice="does ARC_SERVER name a compute element?")

    return parse(document, unreadable, root=root)


def is_native_id(text: str) -> bool:
    """Say whether a text may be the server's id of a job or delegation; it becomes a part of paths and URLs."""
    return bool(_ID.match(text))


def number(written: str) -> int | None:
    """Read a whole number of sane length."""
    digits = written[1:] if written.startswith("-") else written
    return int(written) if digits.isdecimal() and digits.isascii() and len(digits) < 16 else None


def versions(document: bytes) -> list[str]:
    """Read the versions of the REST interface that a server speaks."""
    return texts(read_xml(document, root="versions"), "version")


def job_answers(document: bytes) -> list[JobAnswer]:
    """Read the answer to a bulk request, or a list of jobs."""
    return [_job_answer(job) for job in all_of(read_xml(document, root="jobs"), "job")]


def job_states(document: bytes) -> dict[str, str]:
    """Read a list of jobs: their states by native id; empty where the list has none."""
    states = {}
    for job in all_of(read_xml(document, root="jobs"), "job"):
        # Lists are long, and findtext() is the quickest; first_text() takes namespaces too.
        native_id = job.findtext("id") or first_text(job, "id")
        state = job.findtext("state") or first_text(job, "state")
        if is_native_id(native_id):
            states[native_id] = state if state.isalpha() else ""
    return states


def delegation_types(document: bytes) -> dict[str, str]:
    """Read a list of delegations: their types by id, ``x509`` or ``jwt``; servers before ARC 7 tell none."""
    delegations = all_of(read_xml(document, root="delegations"), "delegation")
    return {first_text(delegation, "id"): first_text(delegation, "type") for delegation in delegations}


def modified(document: bytes) -> datetime | None:
    """Read when a file was written last, from the answer to a PROPFIND; ``None`` if it is not there or has no time."""
    element: Element | None = read_xml(document, root="multistatus")
    for name in ("response", "propstat", "prop"):
        element = next(iter(all_of(element, name)), None)
    try:
        written = datetime.fromisoformat(first_text(element, "getlastmodified")) if element is not None else None
        return written.astimezone(timezone.utc) if written is not None and written.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _job_answer(job: Element) -> JobAnswer:
    native_id = first_text(job, "id")
    infos = [info for document in all_of(job, "info_document") for info in all_of(document, "ComputingActivity")]
    return JobAnswer(
        code=max(0, number(first_text(job, "status-code")) or 0),
        reason=printable(first_text(job, "reason")),
        native_id=native_id if is_native_id(native_id) else "",
        state=printable(first_text(job, "state"), max_length=50),
        delegations=tuple(filter(is_native_id, texts(job, "delegation_id"))),
        info=infos[0] if infos else None,
    )


def listing(document: bytes, folder: str) -> list[RemoteFile]:
    """Read the listing of a directory, given by its path inside the session directory."""
    files = []
    # 6.17 sends control characters as they are, which XML does not have. One such name must not hide all others.
    for entry in read_xml(_CONTROL.sub(b"?", document), root="list"):
        name, kind = entry.text or "", name_of(entry)
        if kind not in ("file", "dir"):
            continue
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise OutputError(f"the server lists a file with an impossible name: {printable(repr(name))}")
        size = number(entry.get("size", ""))
        known = kind == "file" and size is not None and size >= 0
        path = f"{folder}/{name}" if folder else name
        files.append(RemoteFile(path, size=size if known else None, is_dir=kind == "dir"))
    return files
