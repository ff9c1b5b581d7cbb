"""Jobs on an ARC compute element, by its REST interface alone: nothing of ARC has to be installed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO, ClassVar

from jasmin_arc._support.bulk import not_found
from jasmin_arc._support.parallel import run_all
from jasmin_arc.backends import base
from jasmin_arc.backends.rest.api import Api
from jasmin_arc.backends.rest.delegations import Delegations
from jasmin_arc.backends.rest.documents import JobAnswer
from jasmin_arc.backends.rest.files import list_files, open_file
from jasmin_arc.backends.rest.glue2 import general_state, site_info, stream_names
from jasmin_arc.backends.rest.recovery import Recovery
from jasmin_arc.backends.rest.states import ENDS, States
from jasmin_arc.backends.rest.submission import Submitter
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
from jasmin_arc.job_list.journal import Journal
from jasmin_arc.site_info import SiteInfo
from jasmin_arc.staging.session_tree import list_tree

# The server's own files on a job
_LOGS = ("failed", "errors", "diag", "comment", "status", "description", "local", "input_status", "output_status")


class RestBackend(base.Backend):
    """A compute element with an ARC REST interface. Nothing is sent before the first call that needs an answer."""

    name: ClassVar[str] = "rest"
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {base.INPUT_URLS, base.OUTPUT_URLS, base.QUEUES, base.RUNTIME_ENVIRONMENTS, base.RENEW, base.RESTART}
    )

    def __init__(self, config: ConnectionConfig, services: base.Services) -> None:
        self._log = log = services.log
        self._credentials = services.credentials()
        self._api = Api(config, self._credentials, log)
        self._client = self._api.client
        min_left = timedelta(seconds=config.PROXY_RENEWAL_THRESHOLD)
        self._delegations = Delegations(self._api, self._credentials, min_left, log)
        self._states = States(self._api)
        self._journal = Journal(services.job_list, log)
        self._submitter = Submitter(self._api, self._credentials, self._delegations, self._journal)
        self._told_of: set[str] = set()
        self._recovery = Recovery(self._api, self._credentials, services.job_list, log)

    @property
    def endpoint(self) -> str:
        return self._client.endpoint

    def owns(self, job_id: str) -> bool:
        return bool(self._api.native_ids([job_id])[0])

    def authenticate(self) -> None:
        self._credentials.ensure()

    def submit(
        self, jobs: Sequence[JobDescription], *, progress: Callable[[int], object] | None = None
    ) -> list[str | JasminArcError]:
        return self._submitter.submit(jobs, progress)

    def query(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        infos = self._delegations.without_false_ends(self._states.infos(self._own(job_ids)))
        self._delegations.renew_for_infos(infos.values())
        self._tell_of_others(job_ids, infos)
        return infos

    def states(self, job_ids: Sequence[str]) -> dict[str, JobState | JasminArcError]:
        native_ids = self._own(job_ids)
        live = self._states.live_states(list(dict.fromkeys(native_ids.values())))
        self._delegations.renew_for_states(live)
        answers = {
            native_id: general_state(state) if isinstance(state, str) else state for native_id, state in live.items()
        }
        found = {job_id: answers[native_id] for job_id, native_id in native_ids.items() if native_id in answers}
        self._tell_of_others(job_ids, found)
        return found

    def hidden(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        if not job_ids:
            return {}
        owner = self._credentials.owner()
        return {
            job_id: OperationNotPossibleError(
                f"{job_id} was submitted as {record.identity}, and you are {owner} now",
                advice="use the credentials that it was submitted with (AUTH)",
            )
            for job_id, record in self._journal.job_list.get(job_ids).items()
            if record.identity not in ("", owner)
        }

    def list_jobs(self) -> list[str]:
        return [self._api.job_url(native_id) for native_id in self._api.jobs()]

    def cancel(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        native_ids, failures = self._api.native_ids(job_ids)
        failures.update(self._act("kill", "cancelled", native_ids))
        self._states.note_cancelled(native_id for job_id, native_id in native_ids.items() if job_id not in failures)
        return failures

    def clean(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        native_ids, failures = self._api.native_ids(job_ids)
        states = self._states.live_states(list(native_ids.values()))
        missing = [job_id for job_id, native_id in native_ids.items() if native_id not in states]
        failures.update(self.hidden(missing))
        for job_id, native_id in native_ids.items():
            state = states.get(native_id, "WIPED")
            if isinstance(state, JasminArcError):
                failures[job_id] = state
            elif state not in ENDS:
                # A-REX would erase a job that runs as soon as it has ended.
                failures[job_id] = OperationNotPossibleError(f"{job_id} has not ended", advice="cancel it first")
        ended = {job_id: native_id for job_id, native_id in native_ids.items() if job_id not in failures}
        failures.update(self._act("clean", "erased", ended, missing_ok=True))
        self._states.discard(ended.values())
        return failures

    def restart(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        # The server allows it only for failed jobs whose descriptions allow reruns.
        native_ids, failures = self._api.native_ids(job_ids)
        failures.update(self._act("restart", "restarted", native_ids))
        restarted = [native_id for job_id, native_id in native_ids.items() if job_id not in failures]
        self._states.discard(restarted)
        try:
            # Until it begins, the old end would be taken for that of the new run.
            late = self._states.wait_for_another_run(restarted)
        except JasminArcError as error:
            self._log.warning("the jobs will run again, but it is not known whether they have begun: %s", error)
            return failures
        for native_id in late:
            self._log.warning("%s will run again, but has not begun yet", self._api.job_url(native_id))
        return failures

    def renew(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        native_ids, failures = self._api.native_ids(job_ids)
        answers = self._api.query_jobs("delegations", native_ids.values())
        failed: dict[str, JasminArcError] = {}
        for delegation_id in dict.fromkeys(one for answer in answers.values() for one in answer.delegations):
            try:
                self._delegations.renew(delegation_id)
            except JasminArcError as error:
                failed[delegation_id] = error
        for job_id, native_id in native_ids.items():
            answer = answers[native_id]
            # A job that needs no credentials has no delegation.
            errors = [failed[delegation_id] for delegation_id in answer.delegations if delegation_id in failed]
            if errors or not answer.done:
                failures[job_id] = errors[0] if answer.done else _failure(job_id, answer, "renewed")
        return failures

    def list_files(self, job_id: str, path: str = "", *, recursive: bool = False) -> list[RemoteFile]:
        list_folder = partial(list_files, self._api)
        with self._telling_of_others(job_id):
            return list_tree(list_folder, job_id, path) if recursive else list_folder(job_id, path)

    def open(self, job_id: str, path: str, offset: int = 0) -> BinaryIO:
        with self._telling_of_others(job_id):
            return self._open(job_id, path, offset)

    def _open(self, job_id: str, path: str, offset: int) -> BinaryIO:
        try:
            return open_file(self._api, job_id, path, offset)
        except JobNotFoundError:
            # Jobs of other tools may call their standard output and error as they like.
            name = self.streams(job_id).get(path, path) if path in (STDOUT_NAME, STDERR_NAME) else path
            if name == path:
                raise
        return open_file(self._api, job_id, name, offset)

    def streams(self, job_id: str) -> dict[str, str]:
        # The server may take a minute until it publishes them.
        native_id = self._api.native_id(job_id)
        info = self._api.query_jobs("info", [native_id])[native_id].info
        return stream_names(info) if info is not None else {}

    def evidence(self, job_id: str) -> dict[str, str]:
        native_id = self._api.native_id(job_id)
        # In this thread, which may ask for a passphrase.
        self.authenticate()
        texts = run_all(partial(self._api.diagnose, native_id), _LOGS, workers=4)
        error = next((text for text in texts if isinstance(text, JasminArcError)), None)
        if error is not None or all(text is None for text in texts):
            raise error or not_found(job_id)
        return {log: text for log, text in zip(_LOGS, texts) if text and isinstance(text, str)}

    def description(self, job_id: str) -> JobDescription:
        text = self._api.diagnose(self._api.native_id(job_id), "description")
        if text is None:
            raise not_found(job_id)
        found = submitted_description(text)
        # A server must not choose files of this machine.
        files = [name for name, source in found.inputs.items() if isinstance(source, Path)]
        if files or isinstance(found.stdin, Path):
            raise OperationNotPossibleError(
                f"{job_id} was submitted elsewhere, with files from there ({', '.join(files) or 'stdin'})",
                advice="submit it as a new job that names them here",
            )
        return found

    def site(self) -> SiteInfo:
        return site_info(self.endpoint, self._api.info())

    def recover(self) -> dict[str, JobInfo | None]:
        settled = self._recovery.settle()
        infos: dict[str, JobInfo] = {}
        with contextlib.suppress(ServerError):  # What was settled must be told in any case.
            infos = self.query([job_id for job_id, kept in settled.items() if kept])
        return {
            job_id: infos.get(job_id, JobInfo(id=job_id, state=JobState.UNDEFINED)) if kept else None
            for job_id, kept in settled.items()
        }

    def close(self) -> None:
        self._client.close()

    def _tell_of_others(self, asked: Sequence[str], found: Collection[str]) -> None:
        """Say once of each job why it is not found, if that is because of the credentials."""
        missing = [job_id for job_id in asked if job_id not in found and job_id not in self._told_of]
        self._told_of.update(missing)
        try:
            for error in self.hidden(missing).values():
                self._log.warning("%s", error)
        except JasminArcError as error:
            self._log.debug("%s", error)

    @contextlib.contextmanager
    def _telling_of_others(self, job_id: str) -> Iterator[None]:
        try:
            yield
        except JobNotFoundError:
            self._tell_of_others([job_id], ())
            raise

    def _own(self, job_ids: Iterable[str]) -> dict[str, str]:
        native_ids, foreign = self._api.native_ids(job_ids)
        for error in foreign.values():
            self._log.warning("%s", error)
        return native_ids

    def _act(
        self, action: str, done: str, native_ids: Mapping[str, str], *, missing_ok: bool = False
    ) -> dict[str, JasminArcError]:
        answers = self._api.act_on_jobs(action, native_ids.values())
        return {
            job_id: _failure(job_id, answer, done)
            for job_id, native_id in native_ids.items()
            if (answer := answers.get(native_id)) is None or not (answer.done or (missing_ok and answer.code == 404))
        }


def _failure(job_id: str, answer: JobAnswer | None, done: str) -> JasminArcError:
    if answer is None:
        return ServerError(f"the compute element does not say whether the job was {done}: {job_id}")
    if answer.error is not None:
        what = f"it is not known whether the job was {done}" if answer.asked else f"the job was not {done}"
        kind = ServerUnavailableError if isinstance(answer.error, ServerUnavailableError) else ServerError
        error = kind(f"{what} ({answer.error}): {job_id}")
        error.__cause__ = answer.error
        return error
    if answer.code == 404:
        return not_found(job_id)
    if answer.code == 505:
        return OperationNotPossibleError(f"the job cannot be {done} now ({answer.reason}): {job_id}")
    return ServerError(f"the job was not {done} ({answer.code} {answer.reason}): {job_id}", status=answer.code)
