"""Jobs on an ARC compute element, by its REST interface alone: nothing of ARC has to be installed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar, cast

from jasmin_arc.backends.base import (
    INPUT_URLS,
    OUTPUT_URLS,
    QUEUES,
    RENEW,
    RESTART,
    RUNTIME_ENVIRONMENTS,
    Backend,
    Services,
)
from jasmin_arc.backends.http.client import Client
from jasmin_arc.backends.rest.api import Api
from jasmin_arc.backends.rest.delegations import Delegations
from jasmin_arc.backends.rest.documents import JobAnswer
from jasmin_arc.backends.rest.files import list_files, open_file
from jasmin_arc.backends.rest.glue2 import general_state, site_info, stream_names
from jasmin_arc.backends.rest.recovery import Recovery
from jasmin_arc.backends.rest.states import ENDS, States
from jasmin_arc.backends.rest.submission import Submitter
from jasmin_arc.backends.rest.upkeep import Upkeep
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.constants import STDERR_NAME, STDOUT_NAME, JobState
from jasmin_arc.description import JobDescription
from jasmin_arc.description.formats.adl import submitted_description
from jasmin_arc.exceptions import (
    JasminArcError,
    JobNotFoundError,
    OperationNotPossibleError,
    ServerError,
    ServerUnavailableError,
)
from jasmin_arc.job_info import JobInfo, RemoteFile
from jasmin_arc.site_info import SiteInfo
from jasmin_arc.staging.session_tree import list_tree

if TYPE_CHECKING:
    from jasmin_arc.credentials.proxy import ProxyManager

_LOGS = ("failed", "errors", "diag", "comment", "status", "description", "local", "input_status", "output_status")


class RestBackend(Backend):
    """A compute element with an ARC REST interface.

    Nothing is sent before the first call that needs an answer.
    """

    name: ClassVar[str] = "rest"
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {INPUT_URLS, OUTPUT_URLS, QUEUES, RUNTIME_ENVIRONMENTS, RENEW, RESTART}
    )

    def __init__(self, config: ConnectionConfig, services: Services) -> None:
        log, job_list, proxy = services.log, services.job_list, cast("ProxyManager", services.credentials())
        self._log = log
        self._client = Client(
            config.endpoint, certs_dir=config.CERTS_DIR, timeout=config.TIMEOUT, credentials=proxy.path, log=log
        )
        self._api = Api(self._client)
        least = timedelta(seconds=config.PROXY_RENEWAL_THRESHOLD)
        self._proxy = proxy
        self._delegations = Delegations(self._api, proxy, least, log)
        self._upkeep = Upkeep(self._api, self._delegations, least, log)
        self._states = States(self._api)
        self._submitter = Submitter(self._api, self._delegations, job_list, log)
        self._recovery = Recovery(self._api, job_list, log)

    @property
    def endpoint(self) -> str:
        """The URL of the compute element."""
        return self._client.endpoint

    def authenticate(self) -> None:
        """See the contract."""
        self._proxy.path()

    def submit(
        self, jobs: Sequence[JobDescription], *, progress: Callable[[int], object] | None = None
    ) -> list[str | JasminArcError]:
        """See the contract."""
        return self._submitter.submit(jobs, progress)

    def query(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """See the contract."""
        names = self._own(job_ids)
        infos = self._states.infos(names)
        self._upkeep.of_infos({names[job_id]: info for job_id, info in infos.items()})
        return infos

    def states(self, job_ids: Sequence[str]) -> dict[str, JobState | JasminArcError]:
        """See the contract."""
        names = self._own(job_ids)
        native = self._states.native(list(dict.fromkeys(names.values())))
        self._upkeep.of_states(native)
        return {job_id: general_state(native[name]) for job_id, name in names.items() if name in native}

    def list_jobs(self) -> list[str]:
        """See the contract."""
        return [self._api.job_url(name) for name in self._api.jobs()]

    def cancel(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        """See the contract."""
        failures = self._tell("kill", "cancelled", job_ids)
        self.note_cancelled([job_id for job_id in job_ids if job_id not in failures])
        return failures

    def note_cancelled(self, job_ids: Iterable[str]) -> None:
        """Note that jobs were told to end, so that :meth:`states` tells apart whether they were killed or failed."""
        names, _ = self._api.names(job_ids)
        self._states.told_to_end(names.values())

    def clean(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        """See the contract."""
        names, failures = self._api.names(job_ids)
        states = self._states.native(list(names.values())) if names else {}
        # A-REX would erase a job that runs as soon as it has ended.
        live = {job_id for job_id, name in names.items() if states.get(name, "WIPED") not in ENDS}
        failures.update(
            (job_id, OperationNotPossibleError(f"{job_id} has not ended; cancel it first")) for job_id in live
        )
        ended = {job_id: name for job_id, name in names.items() if job_id not in live}
        answers = self._api.tell("clean", list(ended.values())) if ended else {}
        self._states.forget(ended.values())
        return {**failures, **_failures(ended, answers, "erased", missing_ok=True)}

    def restart(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        """See the contract. The server allows it only for failed jobs whose descriptions allow reruns."""
        failures = self._tell("restart", "restarted", job_ids)
        names, _ = self._api.names(job_id for job_id in job_ids if job_id not in failures)
        self._states.forget(names.values())
        try:
            # Until it begins, the old end would be taken for that of the new run.
            late = self._states.wait_for_another_run(names.values())
        except JasminArcError as error:
            self._log.warning("whether jobs that were told to run again have begun to is not known: %s", error)
            return failures
        for name in late:
            self._log.warning("%s will run again, but has not begun to", self._api.job_url(name))
        return failures

    def renew(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        """See the contract."""
        names, failures = self._api.names(job_ids)
        answers = self._api.ask("delegations", list(names.values())) if names else {}
        outcomes: dict[str, JasminArcError | None] = {}
        for job_id, name in names.items():
            answer = answers.get(name)
            if answer is None or not answer.done:
                failures[job_id] = _failure(job_id, answer, "renewed")
            else:
                # A job that needs no credentials has none.
                error = next(filter(None, (self._renewed(entry, outcomes) for entry in answer.delegations)), None)
                if error is not None:
                    failures[job_id] = error
        return failures

    def _renewed(self, delegation_id: str, outcomes: dict[str, JasminArcError | None]) -> JasminArcError | None:
        if delegation_id not in outcomes:
            try:
                self._delegations.renew(delegation_id)
                outcomes[delegation_id] = None
            except JasminArcError as error:
                outcomes[delegation_id] = error
        return outcomes[delegation_id]

    def list_files(self, job_id: str, path: str = "", *, recursive: bool = False) -> list[RemoteFile]:
        list_folder = partial(list_files, self._api)
        return list_tree(list_folder, job_id, path) if recursive else list_folder(job_id, path)

    def open(self, job_id: str, path: str, offset: int = 0) -> BinaryIO:
        """See the contract."""
        try:
            return open_file(self._api, job_id, path, offset)
        except JobNotFoundError:
            # Jobs of other tools may call their standard output and error as they like.
            name = self.streams(job_id).get(path, path) if path in (STDOUT_NAME, STDERR_NAME) else path
            if name == path:
                raise
        return open_file(self._api, job_id, name, offset)

    def streams(self, job_id: str) -> dict[str, str]:
        """See the contract. The server may take a minute until it publishes them."""
        name = self._api.job_name(job_id)
        answer = self._api.ask("info", [name]).get(name)
        return stream_names(answer.info) if answer is not None and answer.info is not None else {}

    def evidence(self, job_id: str) -> dict[str, str]:
        """See the contract. The names are those of the server's own files on the job."""
        name = self._api.job_name(job_id)
        found = {log: self._api.diagnose(name, log) for log in _LOGS}
        if not any(text is not None for text in found.values()):
            raise JobNotFoundError(f"no job with this id could be found: {job_id}")
        return {log: text for log, text in found.items() if text}

    def description(self, job_id: str) -> JobDescription:
        """See the contract. Files of the machine that submitted it are refused: a server must not choose files here."""
        text = self._api.diagnose(self._api.job_name(job_id), "description")
        if text is None:
            raise JobNotFoundError(f"no job with this id could be found: {job_id}")
        found = submitted_description(text)
        files = [name for name, source in found.inputs.items() if isinstance(source, Path)]
        if files or isinstance(found.stdin, Path):
            raise OperationNotPossibleError(
                f"{job_id} was submitted elsewhere, with files from there ({', '.join(files) or 'stdin'}); "
                "submit it as a new job that names them here"
            )
        return found

    def site(self) -> SiteInfo:
        """See the contract."""
        return site_info(self.endpoint, self._api.info())

    def recover(self) -> dict[str, JobInfo | None]:
        """See the contract."""
        settled = self._recovery.settle()
        infos: dict[str, JobInfo] = {}
        with contextlib.suppress(ServerError):  # What was settled must be told in any case.
            infos = self.query([job_id for job_id, kept in settled.items() if kept])
        return {
            job_id: infos.get(job_id, JobInfo(id=job_id, state=JobState.UNDEFINED)) if kept else None
            for job_id, kept in settled.items()
        }

    def close(self) -> None:
        """See the contract."""
        self._client.close()

    def _own(self, job_ids: Iterable[str]) -> dict[str, str]:
        names, foreign = self._api.names(job_ids)
        for error in foreign.values():
            self._log.warning("%s", error)
        return names

    def _tell(self, action: str, done: str, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        names, foreign = self._api.names(job_ids)
        answers = self._api.tell(action, list(names.values())) if names else {}
        return {**foreign, **_failures(names, answers, done)}


def _failures(
    names: Mapping[str, str], answers: Mapping[str, JobAnswer], done: str, *, missing_ok: bool = False
) -> dict[str, JasminArcError]:
    failures = {}
    for job_id, name in names.items():
        answer = answers.get(name)
        if answer is None or not (answer.done or (missing_ok and answer.code == 404)):
            failures[job_id] = _failure(job_id, answer, done)
    return failures


def _failure(job_id: str, answer: JobAnswer | None, done: str) -> JasminArcError:
    if answer is None:
        return ServerError(f"the compute element does not say whether the job was {done}: {job_id}")
    if answer.error is not None:
        return _unanswered(
            job_id,
            answer.error,
            f"it is not known whether the job was {done}" if answer.asked else f"the job was not {done}",
        )
    if answer.code == 404:
        return JobNotFoundError(f"no job with this id could be found: {job_id}")
    if answer.code == 505:
        return OperationNotPossibleError(f"the job cannot be {done} now ({answer.reason}): {job_id}")
    return ServerError(f"the job was not {done} ({answer.code} {answer.reason}): {job_id}", status=answer.code)


def _unanswered(job_id: str, cause: JasminArcError, what: str) -> JasminArcError:
    kind = ServerUnavailableError if isinstance(cause, ServerUnavailableError) else ServerError
    error = kind(f"{what} ({cause}): {job_id}")
    error.__cause__ = cause
    return error
