"""Jobs on an ARC compute element, by NorduGrid's own library."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from jasmin_arc._support.bulk import not_found
from jasmin_arc.backends.base import ARC_OBJECTS, Services
from jasmin_arc.backends.bindings import submission
from jasmin_arc.backends.bindings.log_capture import LogLine, reasons
from jasmin_arc.backends.bindings.runtime import get_runtime
from jasmin_arc.backends.bindings.translate import REST_INTERFACE, JobAddress, make_arc_job, site_info
from jasmin_arc.backends.http.connection import check_identity, make_context
from jasmin_arc.backends.http.errors import RefusedError
from jasmin_arc.backends.rest.api import AREX
from jasmin_arc.backends.rest.backend import RestBackend
from jasmin_arc.backends.rest.submission import PendingJob
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.description import JobDescription
from jasmin_arc.description.formats.adl import submission_adl
from jasmin_arc.exceptions import (
    BindingsNotFoundError,
    InvalidJobDescription,
    JasminArcError,
    JobNotFoundError,
    JobSubmissionError,
    NoTargetsAvailableError,
    OperationNotPossibleError,
    ServerError,
    ServerUnavailableError,
    SubmissionUnknownError,
)
from jasmin_arc.job_list.journal import Batch
from jasmin_arc.site_info import SiteInfo

_SITE_SECONDS = 600.0
"""For how long the answer of a discovery is used again"""
_ANSWER = re.compile(r"Failed to process job: (\S+) - (\d{3})\b ?(.*)", re.DOTALL)


class BindingsBackend(RestBackend):
    """Jobs on an ARC compute element, by NorduGrid's own library.

    The library describes the place, submits or cancels a single job, lists the jobs, and makes the objects of its own.
    The REST interface of the same compute element does all else: the library cannot do it, or not well.

    The library does one thing at a time and cannot be interrupted: Ctrl-C takes effect when the present call has
    ended, which ``TIMEOUT`` bounds for a server that says nothing.

    The library does not check that a server's certificate is valid for the server's name, so any host with a
    certificate of the same authority could take the credentials and jobs. So before each call that it sends to a
    server, this backend checks, and raises :class:`~jasmin_arc.exceptions.ServerError` if it is not.

    :raises BindingsNotFoundError: if the library cannot be loaded, or there is a token to show; the message says what
        to do
    """

    name: ClassVar[str] = "bindings"
    capabilities: ClassVar[frozenset[str]] = RestBackend.capabilities | {ARC_OBJECTS}

    def __init__(self, config: ConnectionConfig, services: Services) -> None:
        if services.credentials().is_token:
            raise BindingsNotFoundError("the ARC bindings take no tokens", advice="set BACKEND to rest or auto")
        self._runtime = get_runtime()
        self._arc = self._runtime.arc
        super().__init__(config, services)
        self._config = config
        self._lock = threading.Lock()
        self._user_config: tuple[str, Any] | None = None
        self._site: tuple[float, SiteInfo] | None = None

    # --- The library's own objects, for users who want them ---

    def create_user_config(self) -> Any:
        """Create a new ``arc.UserConfig`` with the proxy, the trusted certificates and the timeout."""
        kind = self._arc.initializeCredentialsType
        config = self._arc.UserConfig(kind(kind.SkipCredentials))
        config.ProxyPath(str(self._credentials.client_certificate()))
        config.CACertificatesDirectory(self._config.CERTS_DIR)
        config.Timeout(self._config.TIMEOUT)
        self._runtime.kept.append(config)
        return config

    def user_config(self) -> Any:
        """Return the ``arc.UserConfig`` in use; its proxy is renewed when it ends soon."""
        path = str(self._credentials.client_certificate())
        with self._lock:
            if self._user_config is None or self._user_config[0] != path:
                self._user_config = path, self.create_user_config()
            return self._user_config[1]

    def arc_job(self, job_id: str) -> Any:
        """Return the ``arc.Job`` with this id, updated."""
        address = _address(job_id)
        user_config = self._checked_config(address.endpoint)
        with self._library() as lines:
            supervisor = self._arc.JobSupervisor(user_config, [])
            supervisor.AddJob(make_arc_job(self._arc, address))
            supervisor.Update()
            answered = set(supervisor.GetIDsProcessed())
            # Copies, as the supervisor's own vanish with it.
            jobs = [self._arc.Job(job) for job in supervisor.GetAllJobs()]
            found = next((job for job in jobs if str(job.JobID) in answered and job.State), None)
        if found is None:
            raise _failure(address, "asked about", lines)
        return found

    def parse_descriptions(self, text: str) -> Any:
        """Return the ``arc.JobDescriptionList`` of a text in xRSL, ADL or JSDL."""
        readable = submission.without_jsdl(text)
        with self._library() as lines:
            found, why = submission.parse(self._arc, readable)
        if not len(found):
            said = "; ".join(dict.fromkeys(filter(None, (" ".join(why.split()), reasons(lines)))))
            raise InvalidJobDescription(
                f"not a valid job description in xRSL, ADL or JSDL ({said}): {text.strip()[:60]!r}"
            )
        return found

    # --- Submitting ---

    def submit(
        self, jobs: Sequence[JobDescription], *, progress: Callable[[int], object] | None = None
    ) -> list[str | JasminArcError]:
        # Several jobs in one call are broken in ARC.
        if len(jobs) != 1:
            return super().submit(jobs, progress=progress)
        job = self._submitter.plan(jobs[0])
        if job.outcome is None:
            self._submit_one(job)
        if progress is not None:
            progress(1)
        return [job.outcome or JobSubmissionError("the job was not submitted")]

    def _submit_one(self, job: PendingJob) -> None:
        # Nothing may be asked between the submission and the reading of its outcome: a failure would hide it.
        queues = [queue.name for queue in self._fresh_site().queues]
        self._submitter.name_owner([job])
        with self._journal.submitting([job.entry]) as batch:
            try:
                self._send(job, batch, queues)
            except SubmissionUnknownError as error:
                job.outcome = error
            except JasminArcError as error:
                job.outcome = error
                batch.drop([job.entry.token])
        if isinstance(job.outcome, NoTargetsAvailableError):
            # The next call looks anew.
            self._site = None

    def _send(self, job: PendingJob, batch: Batch, queues: Sequence[str]) -> None:
        description, endpoint = job.entry.description, self.endpoint
        with submission.staged(job.inputs) as placed:
            text = submission_adl(description, placed, token=job.entry.token)
            user_config = self._submission_config()
            with self._library() as lines:
                job_id = submission.send(self._arc, user_config, endpoint, text)
            orphan = None if job_id else submission.forgotten_job(lines, endpoint, placed)
            if not job_id and orphan is None:
                refusal = submission.refusal(lines, description.name, endpoint, queues=queues)
                raise self._in_other_words(refusal)
            why = submission.upload_failure(lines, placed)
        try:
            job.native_id = self._api.native_id(job_id or orphan or "")
        except JobNotFoundError as error:
            raise SubmissionUnknownError(f"the job was submitted under an id that makes no sense: {error}") from error
        self._submitter.write_ids([job], batch)
        if orphan is not None:
            name = description.name
            self._submitter.give_up({job: JobSubmissionError(f"job {name!r} was not submitted: {why}")}, batch)
        elif job.outcome is None:
            self._submitter.commit([job], batch)

    def _in_other_words(self, refusal: JasminArcError) -> JasminArcError:
        """Let REST say why no job was sent, if it is the credentials."""
        if isinstance(refusal, submission.NotSentError):
            try:
                self._api.jobs(["ACCEPTING"])
            except RefusedError as error:
                return JobSubmissionError(f"the job was not submitted: {error.message}", advice=error.advice)
            except JasminArcError as error:
                self._log.debug("%s", error)
        return refusal

    # --- Asking and acting ---

    def list_jobs(self) -> list[str]:
        user_config = self._checked_config(self.endpoint)
        arc = self._arc
        with self._library() as lines:
            found = arc.JobContainer()
            retriever = arc.JobListRetriever(user_config)
            retriever.addConsumer(found)
            place = arc.Endpoint(self.endpoint, arc.Endpoint.JOBLIST, REST_INTERFACE)
            retriever.addEndpoint(place)
            retriever.wait()
            succeeded = retriever.getStatusOfEndpoint(place).getStatus() == arc.EndpointQueryingStatus.SUCCESSFUL
            retriever.removeConsumer(found)
            job_ids = [str(job.JobID) for job in found]
        if succeeded:
            return job_ids
        if why := reasons(lines):
            raise ServerUnavailableError(f"{self.endpoint} does not list its jobs: {why}")
        # REST says why, or does better.
        return super().list_jobs()

    def cancel(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        if len(job_ids) != 1:
            return super().cancel(job_ids)
        try:
            address = _address(job_ids[0])
        except JobNotFoundError as error:
            return {job_ids[0]: error}
        user_config = self._checked_config(address.endpoint)
        with self._library() as lines:
            # The supervisor would cancel it only in the states that it knows of.
            job = make_arc_job(self._arc, address)
            done = job.PrepareHandler(user_config) and job.Cancel()
        if done:
            self._states.note_cancelled([address.native_id])
            return {}
        failure = _failure(address, "cancelled", lines)
        if isinstance(failure, ServerUnavailableError):
            raise failure
        return {address.id: failure}

    # --- The place ---

    def site(self) -> SiteInfo:
        # Always a new discovery.
        self._site = None
        return self._fresh_site()

    def known_site(self) -> SiteInfo | None:
        known = self._site
        return known[1] if known is not None else None

    def close(self) -> None:
        with self._lock:
            self._user_config = self._site = None
        super().close()

    def _fresh_site(self) -> SiteInfo:
        """Return what the compute element offers, and ask only now and then."""
        known = self._site
        if known is not None and time.monotonic() - known[0] < _SITE_SECONDS:
            return known[1]
        user_config = self._submission_config()
        with self._library() as lines:
            place = self._arc.Endpoint(self.endpoint, self._arc.Endpoint.COMPUTINGINFO, REST_INTERFACE)
            retriever = self._arc.ComputingServiceRetriever(user_config, [place])
            retriever.wait()
            # The targets are windows into the retriever's memory.
            found = site_info(list(retriever.GetExecutionTargets()), self.endpoint)
        if REST_INTERFACE not in found.interfaces or not found.queues:
            raise self._nothing_offered(reasons(lines))
        self._site = time.monotonic(), found
        return found

    def _nothing_offered(self, reason: str) -> NoTargetsAvailableError:
        """Say why there is nothing to submit to. The library seldom does; a question by REST mostly tells."""
        try:
            self._api.base()
        except JasminArcError as error:
            return _no_target(error)
        why = reason or "it answers, but offers no queue to submit to"
        return NoTargetsAvailableError(f"nothing to submit to at {self.endpoint}: {why}")

    def _submission_config(self) -> Any:
        """Do as :meth:`_checked_config` does, for a submission and the discovery before it."""
        try:
            return self._checked_config(self.endpoint)
        except ServerUnavailableError as error:
            raise _no_target(error) from error

    def _checked_config(self, endpoint: str) -> Any:
        """Return the ``arc.UserConfig`` for a call to a server that has just shown a certificate for its name.

        Each call of the library opens new connections, so an older check says nothing about them. A check takes about
        15 ms, and the library's call 500 ms or more.
        """
        context = make_context(self._config.CERTS_DIR, self._credentials.client_certificate(), AREX)
        check_identity(endpoint, context, timeout=self._config.TIMEOUT, kind=AREX)
        return self.user_config()

    def _library(self) -> AbstractContextManager[list[LogLine]]:
        return self._runtime.call(self._log)


def _no_target(error: JasminArcError) -> NoTargetsAvailableError:
    return NoTargetsAvailableError(f"nothing to submit to: {error.message}", advice=error.advice)


def _address(job_id: str) -> JobAddress:
    address = JobAddress.parse(job_id)
    if address is None:
        raise not_found(job_id)
    return address


def _failure(address: JobAddress, done: str, lines: Sequence[LogLine]) -> JasminArcError:
    """Translate a question or an action that failed."""
    found = filter(None, (_ANSWER.fullmatch(line.text) for line in lines))
    answers = {match[1]: (int(match[2]), match[3]) for match in found}
    code, reason = answers.get(address.native_id, (0, ""))
    if code == 404:
        return not_found(address.id)
    if code == 505:
        return OperationNotPossibleError(f"the job cannot be {done} now ({reason}): {address.id}")
    why = reasons(lines) or "no reason was given"
    if code:
        return ServerError(f"{address.endpoint} answered with an error about {address.id}: {why}", status=code)
    return ServerUnavailableError(f"{address.endpoint} does not answer for {address.id}: {why}")
