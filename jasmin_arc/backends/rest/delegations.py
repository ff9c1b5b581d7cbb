"""Credentials that the compute element holds for jobs: one delegation for many jobs, renewed in time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from jasmin_arc.backends.rest.delegation_file import DelegationFile
from jasmin_arc.backends.rest.documents import is_native_id
from jasmin_arc.credentials.rfc3820 import holder, load_certificates
from jasmin_arc.exceptions import JasminArcError, OperationNotPossibleError, ServerError

if TYPE_CHECKING:
    from jasmin_arc.backends.rest.api import Api
    from jasmin_arc.credentials import Credentials

_RETRY_INTERVAL = timedelta(minutes=5)
"""How long to wait before a delegation that could not be made to last longer is renewed again"""
_MAX_SECONDS = 2.0
_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)
_NEVER = datetime.max.replace(tzinfo=timezone.utc)


class Delegations:
    """The delegations that this process has made, found or renewed. Threads may share it.

    A new delegation takes a compute element up to a second, so the processes of a user share one.

    :param min_left: a delegation that ends sooner is renewed
    """

    def __init__(self, api: Api, credentials: Credentials, min_left: timedelta, log: logging.Logger) -> None:
        self._api = api
        self._credentials = credentials
        self._min_left = min_left
        self._log = log
        self._lock = threading.Lock()
        self._ends: dict[str, datetime] = {}
        self._tried: dict[str, datetime] = {}
        self._current = ""

    def current(self) -> str:
        """Return the id of a delegation that lasts for a while."""
        with self._lock:
            if not self._current:
                self._find()
            if self._current and self._ends_soon(self._current):
                self._renew_if_due(self._current)
            if not self._current or self._ends[self._current] <= _now() + _RETRY_INTERVAL:
                delegation_id, request = self._api.new_delegation()
                self._sign(delegation_id, request)
                self._current = delegation_id
                self._share()
            return self._current

    def _share(self) -> None:
        DelegationFile(self._credentials).put(self._api.client.endpoint, self._current)

    def _find(self) -> None:
        """Take the delegation that another process has made with this proxy, if the server still holds it."""
        known = DelegationFile(self._credentials).get(self._api.client.endpoint)
        if not is_native_id(known):
            return
        try:
            self._ends[known] = self._end_of_held(known)
        except (ServerError, ValueError) as error:
            self._log.debug("the delegation of an earlier process is not used: %s", error)
            return
        self._current = known

    def renew(self, delegation_id: str) -> None:
        """Give a delegation a new lifetime, and with it all jobs that use it."""
        with self._lock:
            self._renew(delegation_id)

    def keep_alive(self, others: Iterable[str]) -> bool:
        """Renew what ends soon of this process's own delegation and of others. Failures are logged.

        Each may take the server half a second, so this stops after some time: it must not hold up who asks for states.

        :returns: whether it came to its end
        """
        until = time.monotonic() + _MAX_SECONDS
        for delegation_id in filter(None, dict.fromkeys([self._current, *others])):
            with self._lock:
                if delegation_id in self._ends and not self._ends_soon(delegation_id):
                    continue
                tried = self._renew_if_due(delegation_id)
            if tried and time.monotonic() > until:
                return False
        return True

    def _ends_soon(self, delegation_id: str) -> bool:
        return self._ends[delegation_id] < _now() + self._min_left

    def _renew_if_due(self, delegation_id: str) -> bool:
        """Say whether this asked the server at all: not, if it did so a moment ago."""
        if _now() - self._tried.get(delegation_id, _LONG_AGO) < _RETRY_INTERVAL:
            return False
        self._tried[delegation_id] = _now()
        try:
            # Another process may have renewed it, from a proxy that lasts longer than ours.
            self._ends[delegation_id] = self._held_until(delegation_id)
            if self._ends_soon(delegation_id) and self._ends[delegation_id] < self._own_end():
                self._renew(delegation_id)
        except JasminArcError as error:
            self._log.warning("the credentials of jobs (delegation %s) end soon: %s", delegation_id, error)
        return True

    def _own_end(self) -> datetime:
        self._credentials.ensure()
        return self._credentials.expires() or _NEVER

    def _held_until(self, delegation_id: str) -> datetime:
        try:
            return self._end_of_held(delegation_id)
        except (ServerError, ValueError):
            # Not every server tells; what the job list or the server says of the jobs is all there is then.
            return self._ends.get(delegation_id, _LONG_AGO)

    def _end_of_held(self, delegation_id: str) -> datetime:
        return min(cert.not_valid_after_utc for cert in load_certificates(self._api.held_delegation(delegation_id)))

    def _renew(self, delegation_id: str) -> None:
        self._sign(delegation_id, self._api.renew_delegation(delegation_id))
        if delegation_id == self._current:
            self._share()

    def _sign(self, delegation_id: str, request: bytes) -> None:
        chain = self._credentials.sign(request)
        if chain is None:
            raise OperationNotPossibleError("these credentials cannot be delegated to a compute element")
        self._api.sign_delegation(delegation_id, chain)
        self._ends[delegation_id] = min(cert.not_valid_after_utc for cert in holder(load_certificates(chain)))


def _now() -> datetime:
    return datetime.now(timezone.utc)
