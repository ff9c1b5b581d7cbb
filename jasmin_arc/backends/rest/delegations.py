"""Credentials that the compute element holds for jobs: one delegation for many jobs, renewed in time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from jasmin_arc.exceptions import JasminArcError

if TYPE_CHECKING:
    from jasmin_arc.backends.rest.api import Api
    from jasmin_arc.proxy import ProxyManager

_PAUSE = timedelta(minutes=5)
"""How long to wait before a delegation that could not be made to last longer is renewed again"""


class Delegations:
    """The delegations that this process has made or renewed. Threads may share it.

    :param least: a delegation that ends sooner is renewed
    """

    def __init__(self, api: Api, proxy: ProxyManager, least: timedelta, log: logging.Logger) -> None:
        self._api = api
        self._proxy = proxy
        self._least = least
        self._log = log
        self._lock = threading.Lock()
        self._ends: dict[str, datetime] = {}
        self._tried: dict[str, datetime] = {}
        self._current = ""

    def current(self) -> str:
        """Return the id of a delegation that lasts for a while."""
        with self._lock:
            if self._current and self._ends_soon(self._current):
                self._renew_if_due(self._current)
            if not self._current or self._ends[self._current] <= _now() + _PAUSE:
                delegation_id, request = self._api.new_delegation()
                self._sign(delegation_id, request)
                self._current = delegation_id
            return self._current

    def renew(self, delegation_id: str) -> None:
        """Give a delegation a new lifetime, and with it all jobs that use it."""
        with self._lock:
            self._renew(delegation_id)

    def keep_alive(self, others: Iterable[str] = ()) -> None:
        """Renew what ends soon: this process's own delegations, and others that are known to. Failures are logged."""
        with self._lock:
            for delegation_id in dict.fromkeys([*self._ends, *others]):
                if delegation_id not in self._ends or self._ends_soon(delegation_id):
                    self._renew_if_due(delegation_id)

    def _ends_soon(self, delegation_id: str) -> bool:
        return self._ends[delegation_id] < _now() + self._least

    def _renew_if_due(self, delegation_id: str) -> None:
        if _now() - self._tried.get(delegation_id, datetime.min.replace(tzinfo=timezone.utc)) < _PAUSE:
            return
        try:
            self._renew(delegation_id)
        except JasminArcError as error:
            self._log.warning("the credentials of jobs (delegation %s) end soon: %s", delegation_id, error)

    def _renew(self, delegation_id: str) -> None:
        self._tried[delegation_id] = _now()
        self._sign(delegation_id, self._api.renew_delegation(delegation_id))

    def _sign(self, delegation_id: str, request: bytes) -> None:
        from jasmin_arc.backends.rest.delegation import sign_request
        from jasmin_arc.proxy import read_proxy

        path = self._proxy.path()
        self._api.sign_delegation(delegation_id, sign_request(request, path.read_bytes()))
        self._ends[delegation_id] = read_proxy(path).expires


def _now() -> datetime:
    return datetime.now(timezone.utc)
