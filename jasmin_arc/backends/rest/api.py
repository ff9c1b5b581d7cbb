"""The requests of the ARC REST interface, one method each."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from urllib.parse import quote, urlsplit

from urllib3 import BaseHTTPResponse

from jasmin_arc._support.text import printable
from jasmin_arc.backends.http.client import Client, Reply, Request
from jasmin_arc.backends.http.errors import AnswerLostError, RefusedError, ServerKind
from jasmin_arc.backends.rest.documents import (
    JobAnswer,
    delegation_types,
    is_native_id,
    job_answers,
    job_states,
    modified,
    versions,
)
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.credentials import Credentials
from jasmin_arc.exceptions import Advice, JasminArcError, JobNotFoundError, ServerError, SubmissionUnknownError

AREX = ServerKind(
    accept="text/xml",
    # A-REX answers 500 to everything, so its reason phrase has to tell what another attempt cannot change.
    final_500=re.compile(
        r"no more jobs|missing payload|payload is|can't be assigned|not implemented|wrong number|not allowed"
        r"|failed (accepting|deleting)|error (creating|seeking|writing)",
        re.IGNORECASE,
    ),
    # So ARC 7 answers somebody whom it does not know; 6.17 answers 403.
    refusing_500=re.compile("can't be assigned", re.IGNORECASE),
    address_option="ARC_SERVER",
    trust_option="CERTS_DIR",
)
_XML = {"Content-Type": "application/xml"}
_VERSIONS = ("1.1", "1.0")
"""The versions that we speak, the best one first"""
_BATCH_SIZE = 1000
"""How many jobs one request names: a server reads a list of ids up to 1 MiB and ignores the rest"""
_REACHABLE_SECONDS = 10.0
"""For how long after an answer nobody needs to ask whether the server is there"""


class Api:
    """Speaks the interface's newest version that the server has. Threads may share it.

    A job's native id is the server's own; the job id is the URL that has it as its last part.
    """

    def __init__(self, config: ConnectionConfig, credentials: Credentials, log: logging.Logger) -> None:
        self.client = Client(
            config.endpoint,
            certs_dir=config.CERTS_DIR,
            timeout=config.TIMEOUT,
            credentials=credentials,
            log=log,
            kind=AREX,
        )
        self._credentials = credentials
        self._root = urlsplit(config.endpoint).path + "/rest"
        self._lock = threading.Lock()
        self._base = ""

    def job_url(self, native_id: str) -> str:
        """Return the job id, with the version that ARC's own tools write."""
        return f"{self.client.endpoint}/rest/1.0/jobs/{native_id}"

    def native_id(self, job_id: str) -> str:
        """Return the server's own id of a job, or raise a JobNotFoundError if the job is not of this server."""
        usual = self.job_url("")
        found = job_id[len(usual) :] if job_id.startswith(usual) else _native_id_in(job_id, self.client.endpoint)
        if not is_native_id(found):
            raise JobNotFoundError(f"not a job of the compute element {self.client.endpoint}: {job_id}")
        return found

    def native_ids(self, job_ids: Iterable[str]) -> tuple[dict[str, str], dict[str, JasminArcError]]:
        """Return the native ids by job id, and errors for the ids of jobs that are not of this server."""
        found: dict[str, str] = {}
        foreign: dict[str, JasminArcError] = {}
        for job_id in job_ids:
            try:
                found[job_id] = self.native_id(job_id)
            except JobNotFoundError as error:
                foreign[job_id] = error
        return found, foreign

    def base(self) -> str:
        """Return the path of the interface's newest version that both sides know."""
        with self._lock:
            if not self._base:
                offered = versions(self._ask_root())
                common = [version for version in _VERSIONS if version in offered]
                if not common:
                    raise ServerError(
                        f"the server {self.client.endpoint} speaks the versions {offered or 'none'} of the ARC REST "
                        f"interface, but this library {' and '.join(_VERSIONS)}"
                    )
                self._base = f"{self._root}/{common[0]}"
            return self._base

    def check_reachable(self) -> None:
        """See that the server answers, if it has not done so a moment ago."""
        if time.monotonic() - self.client.answered > _REACHABLE_SECONDS:
            self._ask_root()

    def _ask_root(self) -> bytes:
        try:
            reply = self.client.read(Request("GET", self._root, allow={404}))
        except RefusedError as error:
            if not self._credentials.is_token:
                raise
            # A server that knows tokens tells its versions to everybody.
            raise ServerError(
                f"the compute element {self.client.endpoint} takes no tokens, as those before ARC 7 do not",
                status=error.status,
                advice="set AUTH to certificate, or ask the site for a compute element of ARC 7",
            ) from error
        if reply.status == 404:
            path = urlsplit(self.client.endpoint).path
            raise ServerError(
                f"the server {self.client.endpoint} has no ARC REST interface under {path}",
                status=404,
                advice="check the path in ARC_SERVER; mostly it is /arex",
            )
        return reply.body

    def jobs(self, states: Collection[str] = ()) -> dict[str, str]:
        """List all own jobs; with ``states``, those that are in one of them right now, with their state."""
        query = f"?state={','.join(states)}" if states else ""
        return job_states(self.client.read(Request("GET", f"{self.base()}/jobs{query}")).body)

    def query_jobs(self, action: str, native_ids: Iterable[str]) -> dict[str, JobAnswer]:
        """Ask something of many jobs: ``status``, ``info`` or ``delegations``. Each has an answer, by native id."""
        answers: dict[str, JobAnswer] = {}
        for batch in _batches(native_ids):
            answers.update(self._bulk(action, batch, self.client.read))
            for native_id in batch:
                if native_id not in answers:
                    raise ServerError(f"the server does not answer for the job {self.job_url(native_id)} ({action})")
        return answers

    def act_on_jobs(self, action: str, native_ids: Iterable[str]) -> dict[str, JobAnswer]:
        """Demand something of many jobs: ``kill``, ``clean`` or ``restart``. The answers are by native id.

        What has been done stays known when a later request fails: the jobs that are left have its error as an answer.
        """
        answers: dict[str, JobAnswer] = {}
        error: JasminArcError | None = None
        for batch in _batches(native_ids):
            asked = error is None
            try:
                if asked:
                    answers.update(self._bulk(action, batch, self.client.once))
                    continue
            except JasminArcError as caught:
                if not answers:
                    raise
                error = caught
            answers.update({job: JobAnswer(job, error=error, asked=asked) for job in batch})
        return answers

    def _bulk(self, action: str, native_ids: Sequence[str], send: Callable[[Request], Reply]) -> dict[str, JobAnswer]:
        body = "<jobs>" + "".join(f"<job><id>{native_id}</id></job>" for native_id in native_ids) + "</jobs>"
        reply = send(Request("POST", f"{self.base()}/jobs?action={action}", body.encode("ascii"), _XML))
        return {answer.native_id: answer for answer in job_answers(reply.body) if answer.native_id}

    def job_creator(self) -> Callable[[bytes], list[JobAnswer]]:
        """Return a function that creates the jobs of a document with their descriptions; see :meth:`Client.creator`.

        It raises :class:`~jasmin_arc.exceptions.SubmissionUnknownError` where it does not learn which jobs exist.
        """
        path = f"{self.base()}/jobs?action=new"
        post = self.client.creator()

        def create(document: bytes) -> list[JobAnswer]:
            try:
                reply = post(Request("POST", path, document, _XML))
            except AnswerLostError as error:
                raise _unknown(f"was lost: {error}") from error
            try:
                return job_answers(reply.body)
            except ServerError as error:
                raise _unknown(f"makes no sense: {error}") from error

        return create

    def diagnose(self, native_id: str, what: str, *, max_bytes: int = 1 << 20) -> str | None:
        """Read one of the files that the server keeps on a job; ``None`` if there is no such job or file."""
        path = f"{self.base()}/jobs/{native_id}/diagnose/{what}"
        reply = self.client.read(Request("GET", path, max_bytes=max_bytes, allow={404}))
        if reply.status == 404:
            return None
        if "html" in reply.headers.get("Content-Type", ""):
            raise ServerError(f"the server {self.client.endpoint} sends a web page in place of a job's {what}")
        return reply.body.decode("utf-8", "replace")

    def upload(self, native_id: str, path: str, pieces: bytes | Iterable[bytes], size: int) -> None:
        """Store a file in the job's session directory."""
        self.client.upload(self._session(native_id, path), pieces, size)

    def download(self, native_id: str, path: str, *, offset: int = 0) -> BaseHTTPResponse:
        """Begin to read a file or a directory's listing; 404 and 416 are returned as well."""
        return self.client.download(self._session(native_id, path), offset=offset, allow={404, 416})

    def has_file(self, native_id: str, path: str) -> bool:
        """Say whether a file is in the job's session directory. A failure is not tried again."""
        return self.client.once(Request("HEAD", self._session(native_id, path), allow={404})).status != 404

    def file_time(self, native_id: str, path: str) -> datetime | None:
        """Return when a file of the session directory was written last, aware and in UTC, by the clock of the place;
        ``None`` if it is not there, or the server does not tell. A failure is not tried again.
        """
        request = Request("PROPFIND", self._session(native_id, path), max_bytes=1 << 16, allow={404})
        reply = self.client.once(request)
        return None if reply.status == 404 else modified(reply.body)

    def _session(self, native_id: str, path: str) -> str:
        return f"{self.base()}/jobs/{native_id}/session/{quote(path, errors='surrogateescape')}".rstrip("/")

    def new_delegation(self) -> tuple[str, bytes]:
        """Begin a delegation: return its id and the certificate request."""
        reply = self.client.once(Request("POST", f"{self.base()}/delegations?action=new", b""))
        return self._begun(reply), reply.body

    def delegate_token(self, token: str) -> str:
        """Delegate a token as it is: return the delegation's id."""
        headers = {"X-Token-Delegation": token}
        return self._begun(
            self.client.once(Request("POST", f"{self.base()}/delegations?action=new&type=jwt", b"", headers))
        )

    def is_token(self, delegation_id: str) -> bool:
        """Say whether it is a token that was delegated, which renewing would destroy."""
        reply = self.client.read(Request("GET", f"{self.base()}/delegations"))
        return delegation_types(reply.body).get(delegation_id) == "jwt"

    def _begun(self, reply: Reply) -> str:
        location = reply.headers.get("Location", "")
        # 6.17 sends a path alone, and puts the query into it as well, before the id.
        delegation_id = location.rpartition("/")[2]
        if re.match(r"(\w+:)?//", location) and not _same_host(location, self.client.endpoint):
            raise ServerError(
                f"the server {self.client.endpoint} begins a delegation at another server, which is refused: "
                f"{printable(location)}"
            )
        if not is_native_id(delegation_id):
            raise ServerError(f"the server {self.client.endpoint} begins a delegation but does not name it")
        return delegation_id

    def renew_delegation(self, delegation_id: str) -> bytes:
        """Begin to renew a delegation: return the certificate request."""
        return self.client.once(Request("POST", f"{self.base()}/delegations/{delegation_id}?action=renew", b"")).body

    def held_delegation(self, delegation_id: str) -> bytes:
        """Return the certificates of a delegation, as the server holds them."""
        return self.client.read(Request("POST", f"{self.base()}/delegations/{delegation_id}?action=get", b"")).body

    def sign_delegation(self, delegation_id: str, chain: bytes) -> None:
        """Complete a delegation, new or renewed."""
        headers = {"Content-Type": "application/x-pem-file"}
        self.client.once(Request("PUT", f"{self.base()}/delegations/{delegation_id}", chain, headers))

    def info(self) -> bytes:
        """Return the server's description of itself, in GLUE2."""
        return self.client.read(Request("GET", f"{self.base()}/info")).body


def _batches(native_ids: Iterable[str]) -> Iterator[list[str]]:
    wanted = list(dict.fromkeys(native_ids))
    return (wanted[first : first + _BATCH_SIZE] for first in range(0, len(wanted), _BATCH_SIZE))


def _unknown(what: str) -> SubmissionUnknownError:
    return SubmissionUnknownError(
        f"the answer to a submission {what}. Its jobs may exist, but do not run",
        advice=Advice("{recover} finds and settles them"),
    )


def _native_id_in(job_id: str, endpoint: str) -> str:
    """Find the native id in a job id that is written in another way: another version, or without the usual port."""
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
