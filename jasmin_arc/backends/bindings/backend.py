"""Jobs on an ARC compute element, by NorduGrid's own library."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from jasmin_arc.backends import base
from jasmin_arc.backends.bindings import control, descriptions, submission, transfers
from jasmin_arc.backends.bindings.log_capture import LogLine, reasons
from jasmin_arc.backends.bindings.runtime import get_runtime
from jasmin_arc.backends.bindings.submitter import Submitter
from jasmin_arc.backends.bindings.translate import REST_INTERFACE, JobAddress, site_info
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
    from jasmin_arc.description import JobDescription
    from jasmin_arc.job_list import JobList
    from jasmin_arc.proxy import ProxyManager
    from jasmin_arc.staging import StagedInput

SITE_LIFETIME = 600.0
"""For how many seconds the answer of a discovery is used again"""

_QUERY_AT_ONCE = 2000
_EVIDENCE = ("failed", "errors", "comment", "status", "local", "diag", "statistics", "description")
_LONGEST_EVIDENCE = 2**20


class BindingsBackend(base.Backend):
    """Jobs on an ARC compute element, by NorduGrid's own library.

    The library does one thing at a time, downloads excepted, and cannot be interrupted: Ctrl-C takes effect when the
    present call has ended, which ``TIMEOUT`` bounds for a server that says nothing.

    :raises BindingsNotFoundError: if the library cannot be loaded; the message says what to do
    """

    name: ClassVar[str] = "bindings"
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {base.INPUT_URLS, base.OUTPUT_URLS, base.QUEUES, base.RUNTIME_ENVIRONMENTS, base.RENEW, base.RESTART}
    )

    def __init__(self, config: ConnectionConfig, proxy: ProxyManager, job_list: JobList, log: logging.Logger) -> None:
        self._runtime = get_runtime()
        self._arc = self._runtime.arc
        self._config = config
        self._proxy = proxy
        self._job_list = job_list
        self._log = log
        self._lock = threading.Lock()
        self._user_config: tuple[str, Any] | None = None
        self._site: tuple[float, SiteInfo] | None = None
        self._rest: RestBackend | None = None
        self._submitter = Submitter(self._runtime, self.user_config, job_list, log, config.endpoint, self._erase)

    @property
    def endpoint(self) -> str:
        """The URL of the compute element."""
        return self._config.endpoint

    @property
    def rest(self) -> RestBackend:
        """The REST interface of the same compute element, for what the library cannot do."""
        with self._lock:
            if self._rest is None:
                from jasmin_arc.backends.rest.backend import RestBackend

                self._rest = RestBackend(self._config, self._proxy, self._job_list, self._log)
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
        """See the contract. Jobs go one by one, as more of them in one call are broken in ARC."""
        plans = [_planned(description) for description in jobs]
        if all(isinstance(plan, JasminArcError) for plan in plans):
            return [plan for plan in plans if isinstance(plan, JasminArcError)]
        queues = [queue.name for queue in self._fresh_site().queues]
        results: list[str | JasminArcError] = []
        out_of_reach: NoTargetsAvailableError | None = None
        for description, plan in zip(jobs, plans):
            if isinstance(plan, JasminArcError):
                result: str | JasminArcError = plan
            else:
                result = out_of_reach or self._submitter.submit(description, plan, queues=queues)
            if isinstance(result, NoTargetsAvailableError):
                # The next call looks anew; the rest of this one would only wait for timeouts.
                self._site, out_of_reach = None, result
            results.append(result)
            if progress is not None:
                progress(1)
        return results

    # --- Asking and acting ---

    def query(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """See the contract.

        What the library tells of a job that goes on, or is not there, may be a minute old, so REST is asked as well.
        """
        addresses = [address for address in map(JobAddress.parse, dict.fromkeys(job_ids)) if address is not None]
        records = self._job_list.get([address.id for address in addresses]) if addresses else {}
        names = {job_id: record.name for job_id, record in records.items()}
        found: dict[str, JobInfo] = {}
        for start in range(0, len(addresses), _QUERY_AT_ONCE):
            found.update(control.infos(self._updated(addresses[start : start + _QUERY_AT_ONCE]), names))
        doubtful = [address.id for address in addresses if address.id not in found or not found[address.id].final]
        return {**found, **self.rest.query(doubtful)} if doubtful else found

    def states(self, job_ids: Sequence[str]) -> dict[str, str]:
        """See the contract. The library's states may be a minute old, so they come from the REST interface."""
        return self.rest.states(job_ids)

    def _updated(self, addresses: Sequence[JobAddress]) -> dict[str, Any]:
        user_config = self.user_config()
        with self._library() as lines:
            jobs = control.updated_jobs(self._arc, user_config, addresses)
        control.check_unanswered([address for address in addresses if address.id not in jobs], lines)
        return jobs

    def list_jobs(self) -> list[str]:
        """See the contract."""
        user_config = self.user_config()
        with self._library() as lines:
            found = control.job_ids(self._arc, user_config, self.endpoint)
        if found is None:
            why = reasons(lines) or "no reason was given"
            raise ServerUnavailableError(f"{self.endpoint} does not list its jobs: {why}")
        return found

    def cancel(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        """See the contract."""
        return self._act(job_ids, "Cancel")

    def clean(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        """See the contract."""
        failures = self._act(job_ids, "Clean")
        return {job_id: error for job_id, error in failures.items() if not isinstance(error, JobNotFoundError)}

    def _act(self, job_ids: Sequence[str], action: str) -> dict[str, JasminArcError]:
        user_config = self.user_config()
        failures: dict[str, JasminArcError] = {}
        out_of_reach: ServerUnavailableError | None = None
        for number, job_id in enumerate(dict.fromkeys(job_ids)):
            error = out_of_reach or self._act_on_one(user_config, job_id, action)
            if isinstance(error, ServerUnavailableError):
                if number == 0:
                    raise error
                # The others are not tried: each would wait for a timeout of its own.
                out_of_reach = error
            if error is not None:
                failures[job_id] = error
        return failures

    def _act_on_one(self, user_config: Any, job_id: str, action: str) -> JasminArcError | None:
        try:
            address = _address(job_id)
        except JobNotFoundError as error:
            return error
        with self._library() as lines:
            done = control.act(self._arc, user_config, address, action)
        return None if done else control.failure(address, action, lines)

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
            failures = self.cancel([address.id])
            if address.id not in failures:
                failures = self.clean([address.id])
        except JasminArcError as error:
            return error
        left = failures.get(address.id)
        return None if isinstance(left, JobNotFoundError) else left

    # --- Files ---

    def list_files(self, job_id: str, path: str = "") -> list[RemoteFile]:
        """See the contract."""
        address, folder = _address(job_id), _inside(job_id, path)
        mover = transfers.Transfers(self._arc, self.user_config())
        with self._library() as lines:
            found = mover.list_directory(address, folder)
        if isinstance(found, list):
            return found
        if found != transfers.NOT_A_DIRECTORY:
            # The library does not tell a directory that is missing from a server that is; a download does.
            with self._runtime.transfer(self._log):
                mover.check_exists(address, f"session/{folder}".rstrip("/"))
        raise transfers.listing_error(address, folder, found, lines)

    def open(self, job_id: str, path: str, offset: int = 0) -> BinaryIO:
        """See the contract."""
        address, name = _address(job_id), _inside(job_id, path)
        if offset:
            # The library can only read a file from its beginning.
            return self.rest.open(job_id, name, offset)
        mover = transfers.Transfers(self._arc, self.user_config())
        with self._runtime.transfer(self._log):
            return mover.download(address, f"session/{name}")

    def evidence(self, job_id: str) -> dict[str, str]:
        """See the contract."""
        address = _address(job_id)
        mover = transfers.Transfers(self._arc, self.user_config())
        found = {}
        for name in _EVIDENCE:
            try:
                with self._runtime.transfer(self._log), mover.download(address, f"diagnose/{name}") as file:
                    found[name] = file.read(_LONGEST_EVIDENCE).decode("utf-8", "replace")
            except JobNotFoundError:
                continue
        if not found:
            raise JobNotFoundError(f"no job with the id {job_id} is known there")
        return {name: text for name, text in found.items() if text.strip()}

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
        user_config = self.user_config()
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

    def _library(self) -> AbstractContextManager[list[LogLine]]:
        return self._runtime.call(self._log)

    def _new_user_config(self, proxy_path: str) -> Any:
        kind = self._arc.initializeCredentialsType
        config = self._arc.UserConfig(kind(kind.SkipCredentials))
        config.ProxyPath(proxy_path)
        config.CACertificatesDirectory(self._config.CERTS_DIR)
        config.Timeout(self._config.TIMEOUT)
        return self._runtime.keep(config)


def _planned(description: JobDescription) -> tuple[StagedInput, ...] | JasminArcError:
    from jasmin_arc.staging import plan_inputs

    try:
        return plan_inputs(description)
    except JasminArcError as error:
        return error


def _address(job_id: str) -> JobAddress:
    address = JobAddress.parse(job_id)
    if address is None:
        raise JobNotFoundError(f"not the id of a job on an ARC compute element: {job_id!r}")
    return address


def _inside(job_id: str, path: str) -> str:
    name = transfers.inside(path)
    if name is None:
        raise JobNotFoundError(f"{path!r} is not inside the files of {job_id}")
    return name
