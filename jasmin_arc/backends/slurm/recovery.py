"""Settling what earlier processes left in the middle of a submission.

For each batch it is decided once whether it runs. If it is not decided yet, recover() decides that it never will, and
erases its jobs; if it is, the jobs are kept, and released in case that was not done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone

from jasmin_arc.backends.slurm.cluster import Cluster, Place
from jasmin_arc.backends.slurm.states import Look, States, read_ids, silence
from jasmin_arc.job_list import JobList, JobRecord

_STILL_ON_ITS_WAY = timedelta(minutes=15)
"""For how long after a submission a request of it may still reach Slurm"""
_PATIENCE = 5.0
"""Seconds to wait for the answer to a request that is under way"""

_Job = tuple[Place, JobRecord]


class Recovery:
    def __init__(self, cluster: Cluster, states: States, job_list: JobList, log: logging.Logger) -> None:
        self._cluster = cluster
        self._states = states
        self._job_list = job_list
        self._log = log

    def settle(self) -> dict[str, bool]:
        """Return by job id whether the job was kept, or else erased. What cannot be settled yet stays."""
        left: dict[str, list[_Job]] = {}
        for record in self._job_list.unfinished(f"slurm://{self._cluster.facts.name}"):
            place = self._cluster.place(record.id or "")
            if record.abandoned and place is not None:
                left.setdefault(place.batch, []).append((place, record))
        if not left:
            return {}
        told = [line.split(" ") for line in self._cluster.run("recover", ["stop", *left]).splitlines()]
        committed = {words[1] for words in told if words[0] == "fate" and words[2] == "committed"}
        withdrawn = {(words[1], int(words[2])) for words in told if words[0] == "withdrawn"}
        told_ids = self._wait_for_answers(list(left))
        open_requests, numbers = _unanswered(told_ids), read_ids(told_ids)
        look = self._states.look([Place(batch, "") for batch in left], age="0")
        if look.silent:
            raise silence(look)
        settled: dict[str, bool] = {}
        for batch, jobs in left.items():
            natives = {offset: number for (name, offset), (number, _) in numbers.items() if name == batch}
            keep: list[_Job] = []
            erase: list[_Job] = []
            waiting: list[_Job] = []
            for place, record in jobs:
                request = (batch, place.offset)
                if batch in committed and place.offset in natives and request not in withdrawn:
                    keep.append((place, record))
                elif request in open_requests and look.row(place) is None and _may_arrive(record):
                    waiting.append((place, record))
                else:
                    erase.append((place, record))
            settled.update(self._keep(batch, keep, look, natives))
            # What is still awaited is written down in the batch.
            settled.update(self._erase(batch, erase, look, natives, whole=not (waiting or batch in committed)))
            if waiting:
                self._log.warning("%d jobs may still be on their way to Slurm; recover again later", len(waiting))
        return settled

    def _wait_for_answers(self, batches: Sequence[str]) -> str:
        """Return what sbatch answered, after a little wait if there are requests without an answer."""
        until = time.monotonic() + _PATIENCE
        while _unanswered(told := self._cluster.ask("ids", ["ids", *batches])) and time.monotonic() < until:
            time.sleep(0.5)
        return told

    def _keep(self, batch: str, jobs: Sequence[_Job], look: Look, natives: Mapping[int, str]) -> dict[str, bool]:
        rows = ((place, look.row(place)) for place, _ in jobs)
        held = {natives[place.offset] for place, row in rows if row is not None and row.is_held}
        if held and "said " in self._cluster.insist("commit", ["commit", batch, "", ",".join(sorted(held))]):
            look = self._states.look([Place(batch, "")], age="0")
            if look.silent or any(row.is_held for row in look.all_rows()):
                self._log.warning("%d jobs are still on hold in Slurm; recover again later", len(jobs))
                return {}
        ids = [record.id for _, record in jobs if record.id]
        self._job_list.commit(ids)
        return dict.fromkeys(ids, True)

    def _erase(
        self, batch: str, jobs: Sequence[_Job], look: Look, natives: Mapping[int, str], *, whole: bool
    ) -> dict[str, bool]:
        if not jobs:
            return {}
        rows = [row for place, _ in jobs if (row := look.row(place)) is not None]
        numbers = {row.native_id.partition("_")[0] for row in rows if not row.general.final}
        numbers |= {natives[place.offset] for place, _ in jobs if place.offset in natives}
        calls = [["undo", " ".join(sorted(numbers)), *(place.folder for place, _ in jobs)]]
        self._cluster.run("recover", *calls, *([["gone", batch]] if whole else []))
        self._job_list.drop(record.token for _, record in jobs)
        return {record.id: False for _, record in jobs if record.id}


def _unanswered(told: str) -> set[tuple[str, int]]:
    """The requests, by batch and offset, of which ``remote/ids.sh`` prints no answer."""
    lines = [line.split(" ") for line in told.splitlines()]
    answered = {tuple(words[:2]) for words in lines if len(words) > 2}
    return {(words[0], int(words[1])) for words in lines if len(words) == 2 and tuple(words) not in answered}


def _may_arrive(record: JobRecord) -> bool:
    return datetime.now(timezone.utc) - record.submitted < _STILL_ON_ITS_WAY
