"""Settling what earlier processes left in the middle of a submission.

A job that was written down with its id either has its run script, and then it runs and is kept, or never will run, and
then it is erased. For one whose id was never learned, the server is searched for its token.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from jasmin_arc._support.parallel import run_all
from jasmin_arc._support.text import counted, printable
from jasmin_arc.backends.rest.api import Api
from jasmin_arc.backends.rest.documents import JobAnswer
from jasmin_arc.backends.rest.glue2 import job_info
from jasmin_arc.backends.rest.submission import erase, is_complete
from jasmin_arc.credentials import Credentials
from jasmin_arc.description.formats.adl import ANNOTATION_PREFIX
from jasmin_arc.exceptions import JasminArcError, ServerError
from jasmin_arc.job_list import JobList, JobRecord

_MAX_DESCRIPTION_BYTES = 16 << 20
"""Enough for a hundred thousand inputs"""
_STILL_ON_ITS_WAY = timedelta(minutes=15)
"""For how long after the intention its job may still come to be.

Many jobs are written down at once, and the requests for the last of them leave minutes later. Even one whose sender
died may then wait until the server deals with it.
"""
_CLOCKS_DIFFER = timedelta(hours=1)
"""By how much, at most, the server's clock and ours are taken to differ"""


class Recovery:
    """Settles the unfinished submissions of one job list at one compute element."""

    def __init__(self, api: Api, credentials: Credentials, job_list: JobList, log: logging.Logger) -> None:
        self._api = api
        self._credentials = credentials
        self._job_list = job_list
        self._log = log

    def settle(self) -> dict[str, bool]:
        """Return by job id whether the job was kept (or else erased).

        Where the server cannot be asked about one of them, or about a job that may be a lost one, the first error is
        raised at the end. What was not settled stays for the next time.
        """
        unfinished = self._mine(self._job_list.unfinished(self._api.client.endpoint))
        if unfinished:
            # In this thread, which may ask for a passphrase.
            self._api.base()
        abandoned = [record for record in unfinished if record.abandoned]
        created = [record for record in abandoned if record.id is not None]
        intended = [record for record in abandoned if record.id is None]
        failures: list[JasminArcError] = []
        settled = self._settle_created(created, failures)
        settled.update(self._settle_intended(intended, unfinished, failures))
        if failures:
            for job_id, kept in settled.items():
                self._log.info("%s was %s", job_id, "kept" if kept else "erased: it could never run")
            raise failures[0]
        return settled

    def _mine(self, records: Sequence[JobRecord]) -> list[JobRecord]:
        """Leave out what was submitted with other credentials: the server shows such jobs to nobody else."""
        if not records:
            return []
        owner = self._credentials.owner()
        mine = [record for record in records if record.identity in ("", owner)]
        others = Counter(record.identity for record in records if record.identity not in ("", owner))
        for identity, number in others.items():
            jobs = counted(number, "unfinished submission")
            self._log.warning("%s of %s can be settled with those credentials alone", jobs, printable(identity))
        return mine

    def _settle_created(self, records: Sequence[JobRecord], failures: list[JasminArcError]) -> dict[str, bool]:
        tokens = {record.id or "": record.token for record in records}
        native_ids, _ = self._api.native_ids(tokens)
        results = run_all(lambda job_id: is_complete(self._api, native_ids[job_id]), native_ids, workers=4)
        failures += [result for result in results if isinstance(result, JasminArcError)]
        kept = [job_id for job_id, complete in zip(native_ids, results) if complete is True]
        self._job_list.commit(kept)
        dead = [job_id for job_id, complete in zip(native_ids, results) if complete is False]
        erased: list[str] = []
        try:
            erased = self._erase({native_ids[job_id]: tokens[job_id] for job_id in dead})
        except ServerError as error:
            failures.append(error)
        return {**dict.fromkeys(kept, True), **dict.fromkeys(erased, False)}

    def _settle_intended(
        self, records: Sequence[JobRecord], unfinished: Sequence[JobRecord], failures: list[JasminArcError]
    ) -> dict[str, bool]:
        if not records:
            return {}
        try:
            found, unseen = self._search(records, {record.id for record in unfinished if record.id is not None})
        except ServerError as error:
            failures.append(error)
            return {}
        ids = {token: self._api.job_url(native_id) for native_id, token in found.items()}
        self._job_list.created(ids, missing_ok=True)
        settled = self._settle_created(
            [replace(record, id=ids[record.token]) for record in records if record.token in ids], failures
        )
        failures += unseen
        # A job that could not be looked at may be the one that was not found.
        if not unseen:
            long_ago = datetime.now(timezone.utc) - _STILL_ON_ITS_WAY
            self._job_list.drop({record.token for record in records if record.submitted < long_ago} - ids.keys())
        return settled

    def _search(
        self, records: Sequence[JobRecord], created: Collection[str]
    ) -> tuple[dict[str, str], list[JasminArcError]]:
        """Return the tokens of those that exist, by native id, and why other jobs could not be looked at."""
        known, _ = self._api.native_ids({*self._job_list.ids(self._api.client.endpoint), *created})
        strangers = sorted(set(self._api.jobs()) - set(known.values()))
        answers = self._api.query_jobs("info", self._with_credentials_of(strangers, records))
        times = _times(records)
        candidates = [native_id for native_id, answer in answers.items() if _may_be_sought(answer, times)]
        tokens = {record.token for record in records}
        results = run_all(self._token, candidates, workers=4)
        found = {job: token for job, token in zip(candidates, results) if isinstance(token, str) and token in tokens}
        return found, [result for result in results if isinstance(result, JasminArcError)]

    def _with_credentials_of(self, native_ids: Sequence[str], records: Sequence[JobRecord]) -> Sequence[str]:
        """Leave out jobs with other credentials. A job that has ended may have let go of its own."""
        delegations = {record.delegation_id for record in records}
        # The library of ARC makes its own delegations, which the job list does not know.
        if "" in delegations:
            return native_ids
        used = {job: answer.delegations for job, answer in self._api.query_jobs("delegations", native_ids).items()}
        return [job for job in native_ids if not used[job] or delegations.intersection(used[job])]

    def _token(self, native_id: str) -> str:
        description = self._api.diagnose(native_id, "description", max_bytes=_MAX_DESCRIPTION_BYTES) or ""
        return description.partition(ANNOTATION_PREFIX)[2].partition("<")[0].strip()

    def _erase(self, tokens: Mapping[str, str]) -> list[str]:
        """Erase jobs, given by native id, and drop them from the job list; return their job ids."""
        gone = erase(self._api, tokens)
        self._job_list.drop(tokens[native_id] for native_id in gone)
        for native_id in tokens.keys() - gone:
            self._log.warning("the job %s can never run, but cannot be erased now", self._api.job_url(native_id))
        return [self._api.job_url(native_id) for native_id in gone]


def _times(records: Sequence[JobRecord]) -> dict[str, list[datetime]]:
    """Return by name when the jobs of the records were written down."""
    times: dict[str, list[datetime]] = {}
    for record in records:
        times.setdefault(_plain(record.name), []).append(record.submitted)
    return times


def _may_be_sought(answer: JobAnswer, times: Mapping[str, list[datetime]]) -> bool:
    """Say whether a job may be one of those sought. Of a new one, the server may not know anything yet."""
    info = job_info(answer.info) if answer.info is not None else None
    if info is None or not info.name or info.submitted is None:
        return True
    written = times.get(_plain(info.name))
    if written is None:
        return False
    return min(written) - _CLOCKS_DIFFER <= info.submitted <= max(written) + _STILL_ON_ITS_WAY + _CLOCKS_DIFFER


def _plain(name: str) -> str:
    """Return what servers leave as it is: A-REX 6.17 encodes what is not ASCII twice."""
    return re.sub("[^A-Za-z0-9]", "", name)[:100]
