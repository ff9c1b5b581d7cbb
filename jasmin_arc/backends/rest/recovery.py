"""Settling what earlier processes left in the middle of a submission.

A job that was written down with its id either has its run script, and then it runs and is kept, or never will run, and
then it is erased. For one whose id was never learned, the server is searched for its token.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from jasmin_arc._support.parallel import run_all
from jasmin_arc.backends.rest.glue2 import job_info
from jasmin_arc.backends.rest.submission import erase, is_complete
from jasmin_arc.description.formats.adl import ANNOTATION_PREFIX
from jasmin_arc.exceptions import JasminArcError, ServerError

if TYPE_CHECKING:
    from jasmin_arc.backends.rest.api import Api
    from jasmin_arc.backends.rest.documents import JobAnswer
    from jasmin_arc.job_list import JobList, JobRecord

_WORKERS = 4
_LONGEST_DESCRIPTION = 16 << 20
"""Enough for a hundred thousand inputs"""
_STILL_ON_ITS_WAY = timedelta(minutes=15)
"""For how long after the intention its job may still come to be.

Many jobs are written down at once, and the requests for the last of them leave minutes later, one after another. Even
one whose sender died may then wait until the server deals with it.
"""
_CLOCKS_DIFFER = timedelta(hours=1)
"""By how much, at most, the server's clock and ours are taken to differ"""


class Recovery:
    """Settles the unfinished submissions of one job list at one compute element."""

    def __init__(self, api: Api, job_list: JobList, log: logging.Logger) -> None:
        self._api = api
        self._job_list = job_list
        self._log = log

    def settle(self) -> dict[str, bool]:
        """Return by job id whether the job was kept (or else erased).

        :raises ServerError: if the server cannot be asked about one of them, or about a job that may be a lost one;
            what was not settled stays for the next time, and what was is logged
        """
        unfinished = self._job_list.unfinished(self._api.client.endpoint)
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

    def _settle_created(self, records: Sequence[JobRecord], failures: list[JasminArcError]) -> dict[str, bool]:
        names, _ = self._api.names(record.id or "" for record in records)
        known = list(names)
        results = run_all(lambda job_id: is_complete(self._api, names[job_id]), known, workers=_WORKERS)
        failures += [result for result in results if isinstance(result, JasminArcError)]
        answers = {job_id: result for job_id, result in zip(known, results) if not isinstance(result, JasminArcError)}
        kept = [job_id for job_id, complete in answers.items() if complete]
        self._job_list.commit(kept)
        tokens = {names[job_id]: record.token for record in records if (job_id := record.id or "") in answers}
        erased: list[str] = []
        try:
            erased = self._erase({name: token for name, token in tokens.items() if self._api.job_url(name) not in kept})
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
        ids = {token: self._api.job_url(name) for name, token in found.items()}
        self._job_list.created(ids, missing_ok=True)
        settled = self._settle_created(
            [replace(record, id=ids[record.token]) for record in records if record.token in ids], failures
        )
        failures += unseen
        # A job that could not be looked at may be the one that was not found.
        if not unseen:
            long_ago = datetime.now(timezone.utc) - _STILL_ON_ITS_WAY
            self._job_list.forget({record.token for record in records if record.submitted < long_ago} - ids.keys())
        return settled

    def _search(
        self, records: Sequence[JobRecord], created: Collection[str]
    ) -> tuple[dict[str, str], list[JasminArcError]]:
        """Return the tokens of those that exist, by name, and why other jobs could not be looked at."""
        known = {*self._job_list.ids(self._api.client.endpoint), *created}
        names, _ = self._api.names(known)
        strangers = sorted(set(self._api.jobs()) - set(names.values()))
        candidates = self._candidates(strangers, records)
        tokens = {record.token for record in records}
        results = run_all(self._token, candidates, workers=_WORKERS)
        found = {name: token for name, token in zip(candidates, results) if isinstance(token, str) and token in tokens}
        return found, [result for result in results if isinstance(result, JasminArcError)]

    def _candidates(self, names: Sequence[str], records: Sequence[JobRecord]) -> list[str]:
        """Leave out jobs that cannot be those of the records, as far as few questions tell."""
        left = self._with_credentials_of(names, {record.delegation_id for record in records})
        answers = self._api.ask("info", left) if left else {}
        sought = _sought(records)
        return [name for name in left if _may_be_sought(answers.get(name), sought)]

    def _with_credentials_of(self, names: Sequence[str], delegations: Collection[str]) -> Sequence[str]:
        """Leave out jobs with other credentials. A job that has ended may have let go of its own.

        The library of ARC makes its own delegations, which the job list does not know.
        """
        if "" in delegations or not names:
            return names
        answers = self._api.ask("delegations", names)
        used = {name: set(answer.delegations) for name, answer in answers.items()}
        return [name for name in names if not used.get(name) or used[name] & set(delegations)]

    def _token(self, name: str) -> str:
        description = self._api.diagnose(name, "description", most=_LONGEST_DESCRIPTION) or ""
        return description.partition(ANNOTATION_PREFIX)[2].partition("<")[0].strip()

    def _erase(self, tokens: Mapping[str, str]) -> list[str]:
        """Erase jobs and forget them, and return their ids."""
        if not tokens:
            return []
        gone = erase(self._api, list(tokens))
        self._job_list.forget(tokens[name] for name in gone)
        for name in tokens.keys() - gone:
            self._log.warning("the job %s can never run, but cannot be erased now", self._api.job_url(name))
        return [self._api.job_url(name) for name in gone]


def _sought(records: Sequence[JobRecord]) -> dict[str, tuple[datetime, datetime]]:
    """Return by name when the jobs of the records may have come to be."""
    times: dict[str, list[datetime]] = {}
    for record in records:
        times.setdefault(_plain(record.name), []).append(record.submitted)
    return {
        name: (min(found) - _CLOCKS_DIFFER, max(found) + _STILL_ON_ITS_WAY + _CLOCKS_DIFFER)
        for name, found in times.items()
    }


def _may_be_sought(answer: JobAnswer | None, sought: Mapping[str, tuple[datetime, datetime]]) -> bool:
    """Say whether a job may be one of those sought. Of a new one, the server may not know anything yet."""
    if answer is None or answer.info is None:
        return True
    info = job_info("", answer.info)
    if not info.name or info.submitted is None:
        return True
    if _plain(info.name) not in sought:
        return False
    begin, end = sought[_plain(info.name)]
    return begin <= info.submitted <= end


def _plain(name: str) -> str:
    """Return what servers leave as it is: A-REX 6.17 encodes what is not ASCII twice."""
    return re.sub("[^A-Za-z0-9]", "", name)[:100]
