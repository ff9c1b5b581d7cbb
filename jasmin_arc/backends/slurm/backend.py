"""The backend for Slurm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from jasmin_arc._support.ranges import compact
from jasmin_arc._support.text import excerpt, first_few
from jasmin_arc.backends.base import ACCOUNTS, QUEUES, RUNTIME_ENVIRONMENTS, Backend, Pace, Services
from jasmin_arc.backends.posix.session import list_folder, open_file
from jasmin_arc.backends.shell.session import RemoteSession
from jasmin_arc.backends.shell.shell import Shell
from jasmin_arc.backends.slurm.cluster import Cluster, Defaults, Place
from jasmin_arc.backends.slurm.infos import Infos
from jasmin_arc.backends.slurm.recovery import Recovery
from jasmin_arc.backends.slurm.site import known_site, site
from jasmin_arc.backends.slurm.states import Look, States, silence
from jasmin_arc.backends.slurm.submission import SETTLED, Submitter
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.constants import JobState
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import JasminArcError, JobNotFoundError, OperationNotPossibleError, ServerError
from jasmin_arc.job_info import JobInfo, RemoteFile
from jasmin_arc.job_list.journal import Journal
from jasmin_arc.site_info import SiteInfo

_RESTART = "the slurm backend cannot restart a job: Slurm runs one again only from its beginning; resubmit it"
_RENEW = "the slurm backend cannot renew a job's credentials: jobs on Slurm have none"


class SlurmBackend(Backend):
    """Jobs on a cluster with Slurm, whose commands run on this machine or over SSH."""

    name = "slurm"
    capabilities = frozenset({ACCOUNTS, QUEUES, RUNTIME_ENVIRONMENTS})
    # A question is a listing of some folders: Slurm itself is asked far more rarely.
    pace = Pace(fastest=0.2, slowest=1.5, share=0.1, view=30.0)

    def __init__(self, config: ConnectionConfig, services: Services) -> None:
        self._job_list = services.job_list
        self._log = services.log
        self._shell = Shell(config.SLURM_HOST, timeout=config.TIMEOUT)
        self._cluster = Cluster(self._shell, folder=config.SLURM_DIR, binaries=config.SLURM_BIN)
        self._states = States(self._cluster)
        self._infos = Infos(self._cluster, self._states)
        self._defaults = Defaults.of(config)
        self._submitter = Submitter(
            self._cluster,
            Journal(services.job_list, services.log),
            self._defaults,
            choices=self._choices,
            is_held=self._is_held,
            log=services.log,
        )

    @property
    def endpoint(self) -> str:
        """The first part of the ids of this cluster's jobs."""
        return f"slurm://{self._cluster.facts.name}"

    def submit(
        self, jobs: Sequence[JobDescription], *, progress: Callable[[int], object] | None = None
    ) -> list[str | JasminArcError]:
        return self._submitter.submit(jobs, progress)

    def _is_held(self, batch: str) -> bool:
        look = self._states.look([Place(batch, "")], age="0")
        return bool(look.silent) or any(row.is_held for row in look.all_rows())

    def _choices(self, refusal: str) -> str:
        """What the user may choose, after Slurm has refused a job for what it names."""
        try:
            offered = self.site()
        except ServerError:
            return ""
        account = offered.default_account
        choices = {
            "account": offered.accounts,
            "qos": [qos.name for qos in offered.qos if not (account and qos.accounts) or account in qos.accounts],
            "partition": [queue.name for queue in offered.queues],
        }
        named = next((word for word, names in choices.items() if names and word in refusal.lower()), "")
        what = {"account": "your accounts", "qos": "these QoS", "partition": "these partitions"}
        return f"choose one of {what[named]}: {first_few(choices[named], 20)}" if named else ""

    def query(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        places = self._places(job_ids)
        return self._infos.infos(places) if places else {}

    def states(self, job_ids: Sequence[str]) -> dict[str, JobState | JasminArcError]:
        places = self._places(job_ids)
        return self._states.states(places) if places else {}

    def watched_states(self, job_ids: Sequence[str]) -> dict[str, JobState | JasminArcError]:
        places = self._places(job_ids)
        return self._states.states(places, watching=True) if places else {}

    def list_jobs(self) -> list[str]:
        """Return the ids of all jobs in SLURM_DIR."""
        folders = self._cluster.ask("details", ["jobs_there"]).split()
        return [f"{self.endpoint}/{folder}" for folder in folders if self.owns(f"{self.endpoint}/{folder}")]

    def owns(self, job_id: str) -> bool:
        return job_id.startswith("slurm://") and self._cluster.place(job_id) is not None

    def cancel(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        places, look, failures = self._look(job_ids)
        if look.silent:
            return {**failures, **dict.fromkeys(places, silence(look))}
        states = {job_id: look.seen(place).state for job_id, place in places.items()}
        left = {job_id: place for job_id, place in places.items() if not ((state := states[job_id]) and state.final)}
        natives = self._states.native_ids(left.values())
        taken = [place for place in left.values() if place in natives]
        for job_id in (job_id for job_id, place in left.items() if place not in natives):
            problem = f"it is not known whether Slurm has the job {job_id}, as its submission was not finished"
            failures[job_id] = OperationNotPossibleError(problem, advice=SETTLED)
        if taken:
            numbers = " ".join(compact([natives[place] for place in taken]))
            self._cluster.insist("cancel", ["cancel", numbers, *(place.folder for place in taken)])
        return failures

    def clean(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        places, look, failures = self._look(job_ids)
        failures = {job_id: error for job_id, error in failures.items() if not self.owns(job_id)}
        erase: dict[str, str] = {}
        for job_id, place in places.items():
            state = look.seen(place).state
            if state is None and look.silent:
                failures[job_id] = silence(look)
            elif state is not None and not state.final:
                unended = f"the job {job_id} has not ended"
                failures[job_id] = OperationNotPossibleError(unended, advice="cancel it before it is erased")
            else:
                erase[place.folder] = job_id
        for line in self._cluster.insist("clean", ["clean", *erase]).splitlines() if erase else ():
            _, folder, why = line.split(" ", 2)
            failures[erase[folder]] = ServerError(f"the files of {erase[folder]} cannot be erased: {excerpt(why)}")
        return failures

    def list_files(self, job_id: str, path: str = "", *, recursive: bool = False) -> list[RemoteFile]:
        if self._shell.host:
            return self._remote_session(job_id).list(path, recursive=recursive)
        return list_folder(self._session(job_id), path, job_id, recursive=recursive)

    def open(self, job_id: str, path: str, offset: int = 0) -> BinaryIO:
        if self._shell.host:
            return self._remote_session(job_id).open(path, offset)
        return open_file(self._session(job_id), path, offset, job_id)

    def fetch(self, job_id: str, names: Sequence[str]) -> Iterator[tuple[str, BinaryIO]]:
        return self._remote_session(job_id).fetch(names) if self._shell.host else super().fetch(job_id, names)

    def _remote_session(self, job_id: str) -> RemoteSession:
        return RemoteSession(self._shell, f"{self._cluster.facts.dir}/{self._place(job_id).folder}/session", job_id)

    def _session(self, job_id: str) -> Path:
        folder = Path(self._cluster.facts.dir, self._place(job_id).folder, "session")
        if not folder.is_dir():
            raise self._not_found(job_id)
        return folder

    def evidence(self, job_id: str) -> dict[str, str]:
        """What Slurm says of the job now, and what it has written about it."""
        place = self._place(job_id)
        look = self._states.look([place])
        if place not in look:
            raise self._not_found(job_id)
        row = look.seen(place).row
        log = self._cluster.ask("details", ["log", place.batch, str(place.offset), str(place.index)])
        status = "\n".join(f"{name}={value}" for name, value in row._asdict().items()) if row else ""
        return {name: text for name, text in (("status", status), ("errors", log)) if text}

    def description(self, job_id: str) -> JobDescription:
        text = self._cluster.ask("details", ["description", self._place(job_id).folder])
        if not text:
            raise self._not_found(job_id)
        return JobDescription.from_json(text)

    def site(self) -> SiteInfo:
        facts = self._cluster.facts
        return site(self._cluster.ask("site"), facts, self._defaults, self.endpoint)

    def known_site(self) -> SiteInfo:
        return known_site(self._cluster.facts, self._defaults, self.endpoint)

    def find_software(self, name: str) -> list[str]:
        told = self._cluster.ask("find", ["find_software", name]).splitlines()
        return [line.partition(" ")[2] for line in told if line.partition(" ")[0] in ("program", "module")]

    def restart(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        return {job_id: OperationNotPossibleError(f"{_RESTART}: {job_id}") for job_id in job_ids}

    def renew(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        return {job_id: OperationNotPossibleError(f"{_RENEW}: {job_id}") for job_id in job_ids}

    def recover(self) -> dict[str, JobInfo | None]:
        settled = Recovery(self._cluster, self._states, self._job_list, self._log).settle()
        kept = self.query([job_id for job_id, is_kept in settled.items() if is_kept])
        return {job_id: kept.get(job_id) for job_id in settled}

    def close(self) -> None:
        self._shell.close()

    def _places(self, job_ids: Sequence[str]) -> dict[str, Place]:
        return {job_id: place for job_id in job_ids if (place := self._cluster.place(job_id))}

    def _look(self, job_ids: Sequence[str]) -> tuple[dict[str, Place], Look, dict[str, JasminArcError]]:
        """Look at jobs now: those that are there, what is seen, and the errors for the others."""
        places = self._places(job_ids)
        look = self._states.look(places.values()) if places else Look()
        there = {job_id: place for job_id, place in places.items() if place in look}
        return there, look, {job_id: self._not_found(job_id) for job_id in job_ids if job_id not in there}

    def _place(self, job_id: str) -> Place:
        place = self._cluster.place(job_id)
        if place is None:
            raise self._not_found(job_id)
        return place

    def _not_found(self, job_id: str) -> JobNotFoundError:
        where = f"in SLURM_DIR, {self._cluster.facts.dir}, of the cluster {self._cluster.facts.name}"
        return JobNotFoundError(f"there is no job {job_id} {where}")
