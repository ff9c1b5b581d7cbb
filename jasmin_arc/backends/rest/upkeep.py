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

_LONGEST_PAUSE = timedelta(minutes=10)
"""How long to wait before the server is asked again when the credentials of a job end"""
_MOST_KNOWN = 100_000


class Upkeep:
    """Renews delegations that end soon. Failures are logged. All names are the server's own. Threads may share it.

    :param least: a delegation that ends sooner is renewed
    """

    def __init__(self, api: Api, delegations: Delegations, least: timedelta, log: logging.Logger) -> None:
        self._api = api
        self._delegations = delegations
        self._least = least
        self._pause = min(_LONGEST_PAUSE, least / 3).total_seconds()
        self._log = log
        self._looked: dict[str, float] = {}

    def of_states(self, native: Mapping[str, str]) -> None:
        """Look after jobs of which only the states are known: now and then, ask when their credentials end."""
        due = self._due(name for name, state in native.items() if state not in ENDS)
        self._renew_ending(self._ask(due) if due else {})

    def of_infos(self, infos: Mapping[str, JobInfo]) -> None:
        """Look after jobs of which all is known."""
        due = self._due(name for name, info in infos.items() if not info.final)
        self._renew_ending({name: infos[name] for name in due})

    def _due(self, names: Iterable[str]) -> list[str]:
        last = time.monotonic() - self._pause
        due = [name for name in names if self._looked.get(name, last) <= last]
        if len(self._looked) > _MOST_KNOWN:
            self._looked.clear()
        # A failure counts as well: it must not make each question twice as long.
        self._looked.update(dict.fromkeys(due, time.monotonic()))
        return due

    def _ask(self, names: Sequence[str]) -> dict[str, JobInfo]:
        try:
            answers = self._api.ask("info", names)
        except JasminArcError as error:
            self._log.warning("cannot see when the credentials of %d jobs end: %s", len(names), error)
            return {}
        return {name: job_info("", answer.info) for name, answer in answers.items() if answer.info is not None}

    def _renew_ending(self, infos: Mapping[str, JobInfo]) -> None:
        """Renew what ends soon by what is published of the jobs, which is as old as the jobs themselves."""
        soon = datetime.now(timezone.utc) + self._least
        ending = [
            name
            for name, info in infos.items()
            if not info.final and info.proxy_expires is not None and info.proxy_expires < soon
        ]
        if not self._delegations.keep_alive(self._delegations_of(ending) if ending else ()):
            # The next question goes on with them.
            for name in ending:
                self._looked.pop(name, None)

    def _delegations_of(self, names: Sequence[str]) -> list[str]:
        try:
            answers = self._api.ask("delegations", names)
        except JasminArcError as error:
            self._log.warning("the credentials of %d jobs end soon: %s", len(names), error)
            return []
        return [delegation_id for answer in answers.values() for delegation_id in answer.delegations]
