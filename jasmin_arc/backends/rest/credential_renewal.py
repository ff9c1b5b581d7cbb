"""Keeps the credentials of jobs alive for as long as somebody asks for the jobs, whichever process submitted them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from jasmin_arc.backends.rest.glue2 import job_info
from jasmin_arc.backends.rest.states import ENDS
from jasmin_arc.exceptions import JasminArcError
from jasmin_arc.job_info import JobInfo

if TYPE_CHECKING:
    from jasmin_arc.backends.rest.api import Api
    from jasmin_arc.backends.rest.delegations import Delegations
    from jasmin_arc.backends.rest.states import Answer

_MAX_INTERVAL = timedelta(minutes=10)
"""How long to wait before the server is asked again when the credentials of a job end"""
_MAX_KNOWN = 100_000


class CredentialRenewal:
    """Renews delegations that end soon. Failures are logged. Threads may share it.

    :param min_left: a delegation that ends sooner is renewed
    """

    def __init__(self, api: Api, delegations: Delegations, min_left: timedelta, log: logging.Logger) -> None:
        self._api = api
        self._delegations = delegations
        self._min_left = min_left
        self._interval = min(_MAX_INTERVAL, min_left / 3).total_seconds()
        self._log = log
        self._checked: dict[str, float] = {}

    def renew_for_states(self, states: Mapping[str, Answer]) -> None:
        """Look after jobs of which only the native states are known: now and then, ask when their credentials end."""
        due = self._due(job for job, state in states.items() if isinstance(state, str) and state not in ENDS)
        try:
            answers = self._api.query_jobs("info", due)
        except JasminArcError as error:
            self._log.warning("cannot see when the credentials of %d jobs end: %s", len(due), error)
            return
        self._renew_ending([job_info(answer.info, job) for job, answer in answers.items() if answer.info is not None])

    def renew_for_infos(self, infos: Iterable[JobInfo]) -> None:
        """Look after jobs of which all is known."""
        live = {info.native_id: info for info in infos if not info.final}
        self._renew_ending([live[native_id] for native_id in self._due(live)])

    def _due(self, native_ids: Iterable[str]) -> list[str]:
        last = time.monotonic() - self._interval
        due = [native_id for native_id in native_ids if self._checked.get(native_id, last) <= last]
        if len(self._checked) > _MAX_KNOWN:
            self._checked.clear()
        # A failure counts as well: it must not make each question twice as long.
        self._checked.update(dict.fromkeys(due, time.monotonic()))
        return due

    def _renew_ending(self, infos: Sequence[JobInfo]) -> None:
        """Renew what ends soon by what is published of the jobs, which is as old as the jobs themselves."""
        soon = datetime.now(timezone.utc) + self._min_left
        ending = [
            info.native_id
            for info in infos
            if not info.final and info.proxy_expires is not None and info.proxy_expires < soon
        ]
        if not self._delegations.keep_alive(self._delegations_of(ending)):
            # The next question goes on with them.
            for native_id in ending:
                self._checked.pop(native_id, None)

    def _delegations_of(self, native_ids: Sequence[str]) -> list[str]:
        try:
            answers = self._api.query_jobs("delegations", native_ids)
        except JasminArcError as error:
            self._log.warning("the credentials of %d jobs end soon: %s", len(native_ids), error)
            return []
        return [delegation_id for answer in answers.values() for delegation_id in answer.delegations]
