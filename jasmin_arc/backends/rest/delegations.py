"""The credentials that the compute element holds for jobs: one delegation for many jobs, renewed in time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from jasmin_arc._support.text import counted
from jasmin_arc._support.whole_file import write_whole
from jasmin_arc.backends.rest.api import Api
from jasmin_arc.backends.rest.documents import is_native_id
from jasmin_arc.backends.rest.glue2 import job_info
from jasmin_arc.backends.rest.states import ENDS, Answer
from jasmin_arc.credentials import Credentials
from jasmin_arc.credentials.proxy import DELEGATIONS_SUFFIX
from jasmin_arc.credentials.proxy_file import read_own_file
from jasmin_arc.credentials.rfc3820 import holder, load_certificates
from jasmin_arc.exceptions import JasminArcError, OperationNotPossibleError, ServerError
from jasmin_arc.job_info import JobInfo

_RETRY_INTERVAL = timedelta(minutes=5)
"""How long to wait before a delegation that could not be made to last longer is renewed again"""
_MAX_INTERVAL = timedelta(minutes=10)
"""How long to wait before the server is asked again when the credentials of a job end"""
_MAX_SECONDS = 2.0
_MAX_KNOWN = 100_000
_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)
_NEVER = datetime.max.replace(tzinfo=timezone.utc)


class Delegations:
    """The delegations that this process has made, found or renewed. Threads may share it.

    A new delegation takes a compute element up to a second, so the processes of a user share one. Those of jobs are
    renewed for as long as somebody asks for the jobs, whichever process submitted them.

    :param min_left: a delegation that ends sooner is renewed
    """

    def __init__(self, api: Api, credentials: Credentials, min_left: timedelta, log: logging.Logger) -> None:
        self._api = api
        self._credentials = credentials
        self._min_left = min_left
        self._interval = min(_MAX_INTERVAL, min_left / 3).total_seconds()
        self._log = log
        self._lock = threading.Lock()
        self._ends: dict[str, datetime] = {}
        self._tried: dict[str, datetime] = {}
        self._checked: dict[str, float] = {}
        self._has_some: dict[str, bool] = {}
        self._current = ""
        self._signed_by = ""
        """The fingerprint of the proxy that signed the current one"""

    def current(self) -> str:
        """Return the id of a delegation that lasts for a while; with a token, as long as the token, and of its own for
        each call."""
        token = self._credentials.token()
        if token is not None:
            return self._api.delegate_token(token)
        with self._lock:
            fingerprint = self._shared_file()[1]
            if not self._current or self._signed_by != fingerprint:
                # A new proxy may have other attributes, which the jobs of the one before must not get.
                self._current, self._signed_by = "", fingerprint
                self._find()
            if self._current and self._ends_soon(self._current):
                self._renew_if_due(self._current)
            if not self._current or self._ends[self._current] <= _now() + _RETRY_INTERVAL:
                delegation_id, request = self._api.new_delegation()
                self._sign(delegation_id, request)
                self._current = delegation_id
                self._share()
            return self._current

    def _find(self) -> None:
        """Take the delegation that another process has made with this proxy, if the server still holds it."""
        known = _read_shared(*self._shared_file()).get(self._api.client.endpoint, "")
        if not is_native_id(known):
            return
        try:
            self._ends[known] = self._end_of_held(known)
        except (ServerError, ValueError) as error:
            self._log.debug("the delegation of an earlier process is not used: %s", error)
            return
        self._current = known

    def renew(self, delegation_id: str) -> None:
        """Give a delegation a new lifetime, and with it all jobs that use it.

        :raises OperationNotPossibleError: if a token was delegated
        """
        if self._api.is_token(delegation_id):
            raise OperationNotPossibleError(
                f"a token was delegated (delegation {delegation_id}), which cannot be renewed: it lasts as long as "
                "the token",
                advice="submit jobs that may take long with a certificate, or with a token that lasts longer",
            )
        with self._lock:
            self._renew(delegation_id)

    def renew_for_states(self, states: Mapping[str, Answer]) -> None:
        """Look after jobs of which only the native states are known: now and then, ask when their credentials end.

        Failures are logged.
        """
        due = self._due(job for job, state in states.items() if isinstance(state, str) and state not in ENDS)
        try:
            answers = self._api.query_jobs("info", due)
        except JasminArcError as error:
            self._log.warning("cannot see when the credentials of %s end: %s", counted(len(due), "job"), error)
            return
        self._renew_ending([job_info(answer.info, job) for job, answer in answers.items() if answer.info is not None])

    def without_false_ends(self, infos: Mapping[str, JobInfo]) -> dict[str, JobInfo]:
        """Leave out when credentials end that jobs do not have.

        Of a job without any, the server tells when those end with which the job was submitted. What it does not answer
        now stays as told.
        """
        asked = [info.native_id for info in infos.values() if info.proxy_expires is not None and not info.final]
        unknown = [native_id for native_id in asked if native_id not in self._has_some]
        if len(self._has_some) > _MAX_KNOWN:
            self._has_some.clear()
        with contextlib.suppress(JasminArcError):
            answers = self._api.query_jobs("delegations", unknown)
            self._has_some.update({job: bool(answer.delegations) for job, answer in answers.items() if answer.done})
        return {
            job_id: info if self._has_some.get(info.native_id, True) else replace(info, proxy_expires=None)
            for job_id, info in infos.items()
        }

    def renew_for_infos(self, infos: Iterable[JobInfo]) -> None:
        """Look after jobs of which all is known. Failures are logged."""
        live = {info.native_id: info for info in infos if not info.final}
        self._renew_ending([live[native_id] for native_id in self._due(live)])

    def _due(self, native_ids: Iterable[str]) -> list[str]:
        last = time.monotonic() - self._interval
        if self._credentials.is_token:
            return []  # A delegated token is never renewed.
        due = [native_id for native_id in native_ids if self._checked.get(native_id, last) <= last]
        if len(self._checked) > _MAX_KNOWN:
            self._checked.clear()
        # A failure counts as well: it must not make each question twice as long.
        self._checked.update(dict.fromkeys(due, time.monotonic()))
        return due

    def _renew_ending(self, infos: Iterable[JobInfo]) -> None:
        """Renew what ends soon by what is published of the jobs, which is as old as the jobs themselves."""
        soon = _now() + self._min_left
        ending = [info.native_id for info in infos if not info.final and (info.proxy_expires or _NEVER) < soon]
        if not self._keep_alive(self._delegations_of(ending)):
            # The next question goes on with them.
            for native_id in ending:
                self._checked.pop(native_id, None)

    def _delegations_of(self, native_ids: Sequence[str]) -> list[str]:
        try:
            answers = self._api.query_jobs("delegations", native_ids)
        except JasminArcError as error:
            jobs = counted(len(native_ids), "job")
            self._log.warning("the credentials of %s end soon and cannot be renewed: %s", jobs, error)
            return []
        return [delegation_id for answer in answers.values() for delegation_id in answer.delegations]

    def _keep_alive(self, others: Iterable[str]) -> bool:
        """Renew what ends soon of this process's own delegation and of others.

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
            if self._api.is_token(delegation_id):
                self._ends[delegation_id] = _NEVER
                return True
            # Another process may have renewed it, from a proxy that lasts longer than ours.
            self._ends[delegation_id] = self._held_until(delegation_id)
            if self._ends_soon(delegation_id):
                self._credentials.ensure()
                if self._ends[delegation_id] < (self._credentials.expires() or _NEVER):
                    self._renew(delegation_id)
        except JasminArcError as error:
            self._log.warning(
                "the credentials of jobs (delegation %s) end soon and cannot be renewed: %s", delegation_id, error
            )
        return True

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

    def _shared_file(self) -> tuple[Path, str]:
        """Return the file, beside the proxy, that tells the user's processes of the delegations made with it, by
        compute element, and the fingerprint of the proxy: those of another proxy have its attributes.

        It is a convenience: what cannot be read or written is taken for missing, and what it says must be checked with
        the server before it is used.
        """
        proxy = self._credentials.client_certificate() or Path(os.devnull)
        fingerprint = ""
        with contextlib.suppress(OSError, ValueError):
            fingerprint = hashlib.sha256(load_certificates(proxy.read_bytes())[0].tbs_certificate_bytes).hexdigest()
        return proxy.with_name(proxy.name + DELEGATIONS_SUFFIX), fingerprint

    def _share(self) -> None:
        path, self._signed_by = self._shared_file()
        fingerprint = self._signed_by
        if not fingerprint:
            return
        delegations = {**_read_shared(path, fingerprint), self._api.client.endpoint: self._current}
        with contextlib.suppress(OSError):
            content = json.dumps({"proxy": fingerprint, "delegations": delegations})
            write_whole(path, content.encode("ascii"), prefix=f".{path.name}-")


def _read_shared(path: Path, fingerprint: str) -> dict[str, str]:
    try:
        # The default folder of proxies is open to all users, so what is there may be anybody's.
        found = json.loads(read_own_file(path))
        if not fingerprint or found["proxy"] != fingerprint:
            return {}
        return {str(endpoint): str(delegation) for endpoint, delegation in found["delegations"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _now() -> datetime:
    return datetime.now(timezone.utc)
