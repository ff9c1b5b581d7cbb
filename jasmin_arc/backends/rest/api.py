"""The requests of the ARC REST interface, one method each."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from jasmin_arc._support.text import printable
from jasmin_arc.backends.http.client import Client, Reply
from jasmin_arc.backends.rest.documents import JobAnswer, is_job_id, job_answers, job_states, versions
from jasmin_arc.exceptions import JasminArcError, JobNotFoundError, ServerError, SubmissionUnknownError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_XML = {"Content-Type": "application/xml"}
_PEM = {"Content-Type": "application/x-pem-file"}
_VERSIONS = ("1.1", "1.0")
"""The versions that we speak, the best one first"""
_ID_VERSION = "1.0"
"""The version in the URLs that are job ids, as ARC's own tools write them"""
_IDS_AT_ONCE = 1000
"""A server reads a list of ids up to 1 MiB and ignores the rest"""
_LONGEST_LOG = 1 << 20
_MOMENT = 10.0
"""Seconds after an answer in which nobody needs to ask whether the server is there"""


class Api:
    """Speaks the interface's newest version that the server has. Threads may share it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._root = urlsplit(client.endpoint).path + "/rest"
        self._lock = threading.Lock()
        self._base = ""

    @property
    def client(self) -> Client:
        """The connections."""
        return self._client

    # --- Job ids ---

    def job_url(self, name: str) -> str:
        """Return the job id for the server's own name of a job."""
        return f"{self._client.endpoint}/rest/{_ID_VERSION}/jobs/{name}"

    def job_name(self, job_id: str) -> str:
        """Return the server's own name of a job.

        :raises JobNotFoundError: if the job is not of this server
        """
        usual = self.job_url("")
        name = job_id[len(usual) :] if job_id.startswith(usual) else _name_in(job_id, self._client.endpoint)
        if not is_job_id(name):
            raise JobNotFoundError(f"not a job of the compute element {self._client.endpoint}: {job_id}")
        return name

    def names(self, job_ids: Iterable[str]) -> tuple[dict[str, str], dict[str, JasminArcError]]:
        """Return the server's own names by job id, and errors for the ids of jobs that are not of this server."""
        names: dict[str, str] = {}
        foreign: dict[str, JasminArcError] = {}
        for job_id in job_ids:
            try:
                names[job_id] = self.job_name(job_id)
            except JobNotFoundError as error:
                foreign[job_id] = error
        return names, foreign

    # --- Requests ---

    def base(self) -> str:
        """Return the path of the interface's newest version that both sides know."""
        with self._lock:
            if not self._base:
                offered = versions(self._client.read("GET", self._root).body)
                common = next((version for version in _VERSIONS if version in offered), None)
                if common is None:
                    raise ServerError(
                        f"the server {self._client.endpoint} speaks the versions {offered or 'none'} of the ARC REST "
                        f"interface, but this library {' and '.join(_VERSIONS)}"
                    )
                self._base = f"{self._root}/{common}"
            return self._base

    def check_reachable(self) -> None:
        """See that the server answers, if it has not done so a moment ago.

        :raises ServerUnavailableError: if it does not
        """
        if self._client.seconds_since_answer() > _MOMENT:
            self._client.read("GET", self._root)

    def jobs(self, states: Collection[str] = ()) -> dict[str, str]:
        """List all own jobs; with ``states``, those that are in one of them right now, with their state."""
        query = f"?state={','.join(states)}" if states else ""
        return job_states(self._client.read("GET", f"{self.base()}/jobs{query}").body)

    def ask(self, action: str, names: Sequence[str]) -> dict[str, JobAnswer]:
        """Ask something of many jobs: ``status``, ``info`` or ``delegations``. The answers are by name.

        :raises ServerError: if the answer leaves out a job; of one that is not known, it says so
        """
        answers: dict[str, JobAnswer] = {}
        for chunk in _chunks(names):
            found = self._bulk(action, chunk, self._client.read)
            left_out = next((name for name in chunk if name not in found), None)
            if left_out is not None:
                raise ServerError(f"the server does not answer for the job {self.job_url(left_out)} ({action})")
            answers.update(found)
        return answers

    def tell(self, action: str, names: Sequence[str]) -> dict[str, JobAnswer]:
        """Demand something of many jobs: ``kill``, ``clean`` or ``restart``. The answers are by name.

        What has been done stays known when a later request fails: the jobs that are left have its error as an answer.
        """
        answers: dict[str, JobAnswer] = {}
        left = list(_chunks(names))
        while left:
            try:
                answers.update(self._bulk(action, left[0], self._client.once))
            except JasminArcError as error:
                if not answers:
                    raise
                for chunk in left:
                    answers.update({name: JobAnswer(name, error=error, asked=chunk is left[0]) for name in chunk})
                return answers
            del left[0]
        return answers

    def _bulk(self, action: str, names: Sequence[str], send: Callable[..., Reply]) -> dict[str, JobAnswer]:
        body = "<jobs>" + "".join(f"<job><id>{name}</id></job>" for name in names) + "</jobs>"
        reply = send("POST", f"{self.base()}/jobs?action={action}", body=body.encode("ascii"), headers=_XML)
        return {answer.id: answer for answer in job_answers(reply.body) if answer.id}

    @contextmanager
    def creating(self) -> Iterator[Callable[[bytes], list[JobAnswer]]]:
        """Give a function that creates jobs of a document with their descriptions; see :meth:`Client.creating`."""
        path = f"{self.base()}/jobs?action=new"
        with self._client.creating() as post:

            def create(document: bytes) -> list[JobAnswer]:
                reply = post(path, document)
                try:
                    return job_answers(reply.body)
                except ServerError as error:
                    raise SubmissionUnknownError(
                        f"the answer to a submission makes no sense: {error}. Its jobs may exist, but do not run; "
                        "recover() finds and settles them"
                    ) from error

            yield create

    def diagnose(self, name: str, what: str, *, most: int = _LONGEST_LOG) -> str | None:
        """Read one of the files that the server keeps on a job; ``None`` if there is no such job or file."""
        path = f"{self.base()}/jobs/{name}/diagnose/{what}"
        reply = self._client.read("GET", path, most=most, allow={404})
        if reply.status == 404:
            return None
        if "html" in reply.headers.get("Content-Type", ""):
            raise ServerError(f"the server {self._client.endpoint} sends a web page in place of a job's {what}")
        return reply.body.decode("utf-8", "replace")

    def upload(self, name: str, path: str, pieces: bytes | Iterable[bytes], size: int) -> None:
        """Store a file in the job's session directory."""
        self._client.upload(self._session(name, path), pieces, size)

    def download(self, name: str, path: str, *, offset: int = 0) -> BaseHTTPResponse:
        """Begin to read a file or a directory's listing; 404 and 416 are returned as well."""
        return self._client.download(self._session(name, path), offset=offset, allow={404, 416})

    def _session(self, name: str, path: str) -> str:
        return f"{self.base()}/jobs/{name}/session/{quote(path, errors='surrogateescape')}".rstrip("/")

    # --- Delegations ---

    def new_delegation(self) -> tuple[str, bytes]:
        """Begin a delegation: return its id and the certificate request."""
        reply = self._client.once("POST", f"{self.base()}/delegations?action=new", body=b"")
        location = reply.headers.get("Location", "")
        # 6.17 sends a path alone, and puts the query into it as well, before the id.
        delegation_id = location.rpartition("/")[2]
        if re.match(r"(\w+:)?//", location) and not _same_host(location, self._client.endpoint):
            raise ServerError(
                f"the server {self._client.endpoint} begins a delegation at another server, which is refused: "
                f"{printable(location)}"
            )
        if not is_job_id(delegation_id):
            raise ServerError(f"the server {self._client.endpoint} begins a delegation but does not name it")
        return delegation_id, reply.body

    def renew_delegation(self, delegation_id: str) -> bytes:
        """Begin to renew a delegation: return the certificate request."""
        return self._client.once("POST", f"{self.base()}/delegations/{delegation_id}?action=renew", body=b"").body

    def held_delegation(self, delegation_id: str) -> bytes:
        """Return the certificates of a delegation, as the server holds them."""
        return self._client.read("POST", f"{self.base()}/delegations/{delegation_id}?action=get", body=b"").body

    def sign_delegation(self, delegation_id: str, chain: bytes) -> None:
        """Complete a delegation, new or renewed."""
        self._client.once("PUT", f"{self.base()}/delegations/{delegation_id}", body=chain, headers=_PEM)

    def info(self) -> bytes:
        """Return the server's description of itself, in GLUE2."""
        return self._client.read("GET", f"{self.base()}/info").body


def _chunks(names: Sequence[str]) -> Iterator[list[str]]:
    wanted = list(dict.fromkeys(names))
    return (wanted[first : first + _IDS_AT_ONCE] for first in range(0, len(wanted), _IDS_AT_ONCE))


def _name_in(job_id: str, endpoint: str) -> str:
    """Find the name in an id that is written in another way, as with another version or without the usual port."""
    if not _same_host(job_id, endpoint):
        return ""
    there = urlsplit(job_id)
    match = re.fullmatch(re.escape(urlsplit(endpoint).path) + r"/rest/[0-9.]{1,10}/jobs/([^/]+)", there.path)
    return match[1] if match and not (there.query or there.fragment or there.username) else ""


def _same_host(url: str, endpoint: str) -> bool:
    try:
        here, there = urlsplit(endpoint), urlsplit(url)
        return (here.scheme, here.hostname, here.port or 443) == (there.scheme, there.hostname, there.port or 443)
    except ValueError:
        return False
