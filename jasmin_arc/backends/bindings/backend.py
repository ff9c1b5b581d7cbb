"""Jobs on an ARC compute element, by NorduGrid's own library."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, cast

from jasmin_arc.backends import base
from jasmin_arc.backends.bindings import control, descriptions, submission
from jasmin_arc.backends.bindings.log_capture import LogLine, reasons
from jasmin_arc.backends.bindings.runtime import get_runtime
from jasmin_arc.backends.bindings.submitter import Submitter
from jasmin_arc.backends.bindings.translate import REST_INTERFACE, JobAddress, site_info
from jasmin_arc.constants import JobState
from jasmin_arc.exceptions import (
    JasminArcError,
    JobNotFoundError,
    NoTargetsAvailableError,
    ServerUnavailableError,
)
from jasmin_arc.job_info import JobInfo, RemoteFile
from jasmin_arc.site_info import SiteInfo

if TYPE_CHECKING:
    from jasmin_arc.backends.rest.backend import RestBackend
    from jasmin_arc.config import ConnectionConfig
    from jasmin_arc.credentials.proxy import ProxyManager
    from jasmin_arc.description import JobDescription

SITE_LIFETIME = 600.0
"""For how many seconds the answer of a discovery is used again"""

_QUERY_AT_ONCE = 2000


class BindingsBackend(base.Backend):
    """Jobs on an ARC compute element, by NorduGrid's own library.

    The library describes the place, submits or cancels a single job, lists the jobs, tells of those that have ended,
    and makes the objects of its own. The REST interface of the same compute element does what the library cannot do, or
    not well: several jobs in one call, live states, the job's files, logs and description, erasing, restarting,
    renewing and recovering.

    The library does one thing at a time and cannot be interrupted: Ctrl-C takes effect when the present call has
    ended, which ``TIMEOUT`` bounds for a server that says nothing.

    The library does not check that a server's certificate is valid for the server's name. So before each call that
    it sends to a server, this backend does, and raises :class:`~jasmin_arc.exceptions.ServerError` if it is not.

    :raises BindingsNotFoundError: if the library cannot be loaded; the message says what to do
    """

    name: ClassVar[str] = "bindings"
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {base.INPUT_URLS, base.OUTPUT_URLS, base.QUEUES, base.RUNTIME_ENVIRONMENTS, base.RENEW, base.RESTART}
    )

    def __init__(self, config: ConnectionConfig, services: base.Services) -> None:
        log, job_list = services.log, services.job_list
        self._services, proxy = services, cast("ProxyManager", services.credentials())
        self._runtime = get_runtime()
        self._arc = self._runtime.arc
        self._config = config
        self._proxy = proxy
        self._log = log
        self._lock = threading.Lock()
        self._user_config: tuple[str, Any] | None = None
        self._site: tuple[float, SiteInfo] | None = None
        self._rest: RestBackend | None = None
        self._submitter = Submitter(self._runtime, self._submission_config, job_list, log, config.endpoint, self._erase)

    @property
    def endpoint(self) -> str:
        """The URL of the compute element."""
        return self._config.endpoint

    def authenticate(self) -> None:
        """See the contract."""
        self._proxy.path()

    @property
    def rest(self) -> RestBackend:
        """The REST interface of the same compute element, for what the library cannot do."""
        with self._lock:
            if self._rest is None:
                from jasmin_arc.backends.rest.backend import RestBackend

                self._rest = RestBackend(self._config, self._services)
            return self._rest

    # --- The library's own objects, for users who want them ---

    def create_user_config(self) -> Any:
        """Create a new ``arc.UserConfig`` with the proxy, the trusted certificates and the timeout."""
        return self._new_user_config(str(self._proxy.path()))

    def user_config(self) -> Any:
        """Return the ``arc.UserConfig`` in use; its proxy is renewed when it ends soon."""
        path = str(self._proxy.path())
        with self._lock:
            if self._user_config is None or self._user_config[0] != path:
                self._user_config = path, self._new_user_config(path)
            return self._user_config[1]

    def arc_job(self, job_id: str) -> Any:
        """Return the ``arc.Job`` with this id, updated.

        :raises JobNotFoundError: if there is no such job
        """
        found = self._updated([_address(job_id)])
        if job_id not in found:
            raise JobNotFoundError(f"no job with the id {job_id} is known there")
        return found[job_id]

    def parse_descriptions(self, text: str) -> Any:
        """Return the ``arc.JobDescriptionList`` of a text in xRSL, ADL or JSDL.

        :raises InvalidJobDescription: if it is none of these; the message says why
        """
        readable = descriptions.without_jsdl(text)
        with self._library() as lines:
            found, why = submission.parse(self._arc, readable)
        if not len(found):
            raise descriptions.not_a_description(text, why, lines)
        return found

    # --- Submitting ---

    def submit(
        self, jobs: Sequence[JobDescription], *, progress: Callable[[int], object] | None = None
    ) -> list[str | JasminArcError]:
        """See the contract. The library submits a single job, as several in one call are broken in ARC."""
        if len(jobs) != 1:
            return self.rest.submit(jobs, progress=progress)
        result = self._submit_one(jobs[0])
        if progress is not None:
            progress(1)
        return [result]

    def _submit_one(self, description: JobDescription) -> str | JasminArcError:
        from jasmin_arc.staging import plan_inputs

        try:
            inputs = plan_inputs(description)
        except JasminArcError as error:
            return error
        queues = [queue.name for queue in self._fresh_site().queues]
        result = self._submitter.submit(description, inputs, queues=queues)
        if isinstance(result, NoTargetsAvailableError):
            # The next call looks anew.
            self._site = None
        return result

    # --- Asking and acting ---

    def query(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """See the contract.

        What the library tells may be a minute old: of a job that goes on, is not there, or was restarted after its
        end. So REST is asked as well.
        """
        addresses = [address for address in map(JobAddress.parse, dict.fromkeys(job_ids)) if address is not None]
        found: dict[str, JobInfo] = {}
        for start in range(0, len(addresses), _QUERY_AT_ONCE):
            found.update(control.infos(self._updated(addresses[start : start + _QUERY_AT_ONCE])))
        ended: dict[str, JobState | JasminArcError] = {
            job_id: info.state for job_id, info in found.items() if _is_end(info)
        }
        # Those that REST does not know have gone since.
        live = {**ended, **self.states(list(ended))} if ended else {}
        doubtful = [
            address.id for address in addresses if address.id not in ended or live[address.id] != ended[address.id]
        ]
        return {**found, **self.rest.query(doubtful)} if doubtful else found

    def states(self, job_ids: Sequence[str]) -> dict[str, JobState | JasminArcError]:
        """See the contract. The library's states may be a minute old, so they come from the REST interface."""
        return self.rest.states(job_ids)

    def _updated(self, addresses: Sequence[JobAddress]) -> dict[str, Any]:
        user_config = self._checked_config(address.endpoint for address in addresses)
        with self._library() as lines:
            jobs = control.updated_jobs(self._arc, user_config, addresses)
        control.check_unanswered([address for address in addresses if address.id not in jobs], lines)
        return jobs

    def list_jobs(self) -> list[str]:
        """See the contract."""
        user_config = self._checked_config([self.endpoint])
        with self._library() as lines:
            found = control.job_ids(self._arc, user_config, self.endpoint)
        if found is None:
            why = reasons(lines) or "no reason was given"
            raise ServerUnavailableError(f"{self.endpoint} does not list its jobs: {why}")
        return found

    def cancel(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        """See the contract."""
        if len(job_ids) != 1:
            return self.rest.cancel(job_ids)
        error = self._act(job_ids[0], "Cancel")
        if error is not None:
            return {job_ids[0]: error}
        self.rest.note_cancelled(job_ids)
        return {}

    def clean(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        """See the contract. The library would let a job that runs go on, and REST go on telling of it."""
        return self.rest.clean(job_ids)

    def _act(self, job_id: str, action: str) -> JasminArcError | None:
        try:
            address = _address(job_id)
        except JobNotFoundError as error:
            return error
        user_config = self._checked_config([address.endpoint])
        with self._library() as lines:
            done = control.act(self._arc, user_config, address, action)
        failure = None if done else control.failure(address, action, lines)
        if isinstance(failure, ServerUnavailableError):
            raise failure
        return failure

    def restart(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        """See the contract."""
        return self.rest.restart(job_ids)

    def renew(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        """See the contract."""
        return self.rest.renew(job_ids)

    def recover(self) -> dict[str, JobInfo | None]:
        """See the contract."""
        return self.rest.recover()

    def _erase(self, address: JobAddress) -> JasminArcError | None:
        """Cancel and erase a job, and return why that failed, if it did."""
        try:
            error = self._act(address.id, "Cancel") or self._act(address.id, "Clean")
        except JasminArcError as caught:
            error = caught
        return None if isinstance(error, JobNotFoundError) else error

    # --- What the job left ---

    def list_files(self, job_id: str, path: str = "", *, recursive: bool = False) -> list[RemoteFile]:  # noqa: ARG002
        return self.rest.list_files(job_id, path)

    def open(self, job_id: str, path: str, offset: int = 0) -> BinaryIO:
        """See the contract."""
        return self.rest.open(job_id, path, offset)

    def streams(self, job_id: str) -> dict[str, str]:
        """See the contract."""
        return self.rest.streams(job_id)

    def evidence(self, job_id: str) -> dict[str, str]:
        """See the contract."""
        return self.rest.evidence(job_id)

    def description(self, job_id: str) -> JobDescription:
        """See the contract."""
        return self.rest.description(job_id)

    # --- The place ---

    def site(self) -> SiteInfo:
        """See the contract. Always a new discovery.

        :raises NoTargetsAvailableError: if the compute element cannot be reached, or offers nothing to submit to
        """
        self._site = None
        return self._fresh_site()

    def close(self) -> None:
        """See the contract."""
        with self._lock:
            rest, self._rest = self._rest, None
            self._user_config = self._site = None
        if rest is not None:
            rest.close()

    def _fresh_site(self) -> SiteInfo:
        """Return what the compute element offers; asked for again only after :data:`SITE_LIFETIME`."""
        known = self._site
        if known is not None and time.monotonic() - known[0] < SITE_LIFETIME:
            return known[1]
        user_config = self._submission_config()
        with self._library() as lines:
            place = self._arc.Endpoint(self.endpoint, self._arc.Endpoint.COMPUTINGINFO, REST_INTERFACE)
            retriever = self._arc.ComputingServiceRetriever(user_config, [place])
            retriever.wait()
            # The targets are windows into the retriever's memory.
            targets = retriever.GetExecutionTargets()
            found = site_info(list(targets), self.endpoint)
        if REST_INTERFACE not in found.interfaces or not found.queues:
            why = reasons(lines) or "it answers, but offers no queue to submit to"
            raise NoTargetsAvailableError(f"nothing to submit to at {self.endpoint}: {why}")
        self._site = time.monotonic(), found
        return found

    def _submission_config(self) -> Any:
        """Do as :meth:`_checked_config` does, for a submission and the discovery before it."""
        try:
            return self._checked_config([self.endpoint])
        except ServerUnavailableError as error:
            raise NoTargetsAvailableError(f"nothing to submit to at {self.endpoint}: {error}") from error

    def _checked_config(self, endpoints: Iterable[str]) -> Any:
        """Return the ``arc.UserConfig`` for a call to these servers, once each has shown a certificate for its name."""
        from jasmin_arc.backends.bindings.server_identity import check_server

        proxy, timeout = self._proxy.path(), self._config.TIMEOUT
        for endpoint in dict.fromkeys(endpoints):
            check_server(endpoint, certs_dir=self._config.CERTS_DIR, proxy=proxy, timeout=timeout)
        return self.user_config()

    def _library(self) -> AbstractContextManager[list[LogLine]]:
        return self._runtime.call(self._log)

    def _new_user_config(self, proxy_path: str) -> Any:
        kind = self._arc.initializeCredentialsType
        config = self._arc.UserConfig(kind(kind.SkipCredentials))
        config.ProxyPath(proxy_path)
        config.CACertificatesDirectory(self._config.CERTS_DIR)
        config.Timeout(self._config.TIMEOUT)
        return self._runtime.keep(config)


def _is_end(told: JobInfo) -> bool:
    # After a restart the library has no exit code any more, and REST finds it elsewhere.
    return told.final and told.exit_code is not None


def _address(job_id: str) -> JobAddress:
    address = JobAddress.parse(job_id)
    if address is None:
        raise JobNotFoundError(f"not the id of a job on an ARC compute element: {job_id!r}")
    return address
