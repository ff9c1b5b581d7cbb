"""Credentials that the compute element holds for jobs: one delegation for many jobs, renewed in time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from jasmin_arc.backends.rest.documents import is_native_id
from jasmin_arc.credentials.proxy import DELEGATIONS_SUFFIX, read_own_file
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
        _SharedFile(self._credentials).put(self._api.client.endpoint, self._current)

    def _find(self) -> None:
        """Take the delegation that another process has made with this proxy, if the server still holds it."""
        known = _SharedFile(self._credentials).get(self._api.client.endpoint)
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


class _SharedFile:
    """Tells the processes of a user, beside a proxy, one delegation that was made with it for each compute element.

    It is a convenience: what cannot be read or written is taken for missing, and what it says must be checked with the
    server before it is used. Delegations that were made with another proxy are left out, for they have its attributes.
    """

    def __init__(self, credentials: Credentials) -> None:
        proxy = credentials.client_certificate() or Path(os.devnull)
        self._path = proxy.with_name(proxy.name + DELEGATIONS_SUFFIX)
        self._fingerprint = ""
        with contextlib.suppress(OSError, ValueError):
            (first, *_) = load_certificates(proxy.read_bytes())
            self._fingerprint = hashlib.sha256(first.tbs_certificate_bytes).hexdigest()

    def get(self, endpoint: str) -> str:
        """Return the id of the delegation there; empty where none is known."""
        return self._read().get(endpoint, "")

    def put(self, endpoint: str, delegation_id: str) -> None:
        """Remember a delegation."""
        if not self._fingerprint:
            return
        text = json.dumps({"proxy": self._fingerprint, "delegations": {**self._read(), endpoint: delegation_id}})
        with contextlib.suppress(OSError):
            descriptor, temporary = tempfile.mkstemp(prefix=f".{self._path.name}-", dir=self._path.parent)
            try:
                with os.fdopen(descriptor, "w", encoding="ascii") as file:
                    file.write(text)
                os.replace(temporary, self._path)  # noqa: PTH105
            except BaseException:
                # Ctrl-C may come just after the file got its name.
                Path(temporary).unlink(missing_ok=True)
                raise

    def _read(self) -> dict[str, str]:
        try:
            # The default folder of proxies is open to all users, so what is there may be anybody's.
            found = json.loads(read_own_file(self._path)[1])
            if not self._fingerprint or found["proxy"] != self._fingerprint:
                return {}
            return {str(endpoint): str(delegation) for endpoint, delegation in found["delegations"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


def _now() -> datetime:
    return datetime.now(timezone.utc)
