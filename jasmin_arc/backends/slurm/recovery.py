"""Settling what earlier processes left in the middle of a submission.

For each batch it is decided once whether it runs. If it is not decided yet, recover() decides that it never will, and
erases its jobs; if it is, the jobs are kept, and released in case that was not done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from jasmin_arc.backends.slurm.cluster import Cluster, Place
from jasmin_arc.backends.slurm.states import Look, States, read_ids, silence
from jasmin_arc.job_list import JobList, JobRecord

_STILL_ON_ITS_WAY = timedelta(minutes=15)
"""For how long after a submission a request of it may still reach Slurm"""
_PATIENCE = 5.0
"""Seconds to wait for the answer to a request that is under way"""


class Recovery:
    def __init__(self, cluster: Cluster, states: States, job_list: JobList, log: logging.Logger) -> None:
        self._cluster = cluster
        self._states = states
        self._job_list = job_list
        self._log = log

    def settle(self) -> dict[str, bool]:
        """Return by job id whether the job was kept, or else erased. What cannot be settled yet stays."""
        left: dict[str, list[tuple[Place, JobRecord]]] = {}
        for record in self._job_list.unfinished(f"slurm://{self._cluster.facts.name}"):
            place = self._cluster.place(record.id or "")
            if record.abandoned and place is not None:
                left.setdefault(place.batch, []).append((place, record))
        if not left:
            return {}
        told = [line.split(" ") for line in self._cluster.run("recover", ["stop", *left]).splitlines()]
        fates = {words[1]: words[2] for words in told if words[0] == "fate"}
        withdrawn = {(words[1], int(words[2])) for words in told if words[0] == "withdrawn"}
        open_requests = self._wait_for_answers(list(left))
        look = self._states.look([Place(batch, "") for batch in left], age="0")
        if look.silent:
            raise silence(look)
        settled: dict[str, bool] = {}
        for batch, jobs in left.items():
            is_kept = fates.get(batch) == "committed"
            keep = [job for job in jobs if is_kept and (batch, job[0].offset) not in withdrawn]
            erase = [job for job in jobs if job not in keep]
            settled.update(self._erase(batch, erase, look, open_requests))
            settled.update(self._keep(batch, keep, look))
        return settled

    def _wait_for_answers(self, batches: Sequence[str]) -> set[tuple[str, int]]:
        """Wait a little for requests to which there is no answer yet, and return those that are left."""
        until = time.monotonic() + _PATIENCE
        while True:
            told = self._cluster.ask("ids", ["ids", *batches])
            lines = [line.split(" ") for line in told.splitlines()]
            answered = {tuple(words[:2]) for words in lines if len(words) > 2}
            left = {(words[0], int(words[1])) for words in lines if len(words) == 2 and tuple(words) not in answered}
            if not left or time.monotonic() > until:
                return left
            time.sleep(0.5)

    def _keep(self, batch: str, jobs: Sequence[tuple[Place, JobRecord]], look: Look) -> dict[str, bool]:
        if not jobs:
            return {}
        numbers = read_ids(self._cluster.ask("ids", ["ids", batch]))
        taken = [(place, record) for place, record in jobs if (batch, place.offset) in numbers]
        held = {
            numbers[(batch, place.offset)][0]
            for place, _ in taken
            if (row := look.seen(place).row) is not None and row.is_held
        }
        if held:
            self._cluster.insist("commit", ["commit", batch, ",".join(sorted(held))])
        self._job_list.commit(record.id for _, record in taken if record.id)
        gone = [record for place, record in jobs if (batch, place.offset) not in numbers]
        self._job_list.drop(record.token for record in gone)
        return {**{r.id: True for _, r in taken if r.id}, **{r.id: False for r in gone if r.id}}

    def _erase(
        self, batch: str, jobs: Sequence[tuple[Place, JobRecord]], look: Look, open_requests: set[tuple[str, int]]
    ) -> dict[str, bool]:
        now = datetime.now(timezone.utc)
        waiting = [
            record
            for place, record in jobs
            if (batch, place.offset) in open_requests
            and look.seen(place).row is None
            and now - record.submitted < _STILL_ON_ITS_WAY
        ]
        if waiting:
            self._log.warning("%d jobs may still be on their way to Slurm; recover again later", len(waiting))
        erased = [(place, record) for place, record in jobs if record not in waiting]
        rows = [row for place, _ in erased if (row := look.seen(place).row) is not None]
        numbers = sorted({row.native_id.partition("_")[0] for row in rows if not row.general.final})
        if erased:
            folders = [place.folder for place, _ in erased]
            self._cluster.run("recover", ["undo", batch, " ".join(numbers), *folders])
            self._job_list.drop(record.token for _, record in erased)
        return {record.id: False for _, record in erased if record.id}
