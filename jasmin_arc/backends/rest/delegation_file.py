"""Which delegation the processes of a user share at each compute element: a file beside the proxy."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from jasmin_arc.credentials.proxy import DELEGATIONS_SUFFIX
from jasmin_arc.credentials.rfc3820 import load_certificates

if TYPE_CHECKING:
    from jasmin_arc.credentials import Credentials

_MAX_BYTES = 1 << 16


class DelegationFile:
    """Remembers, for the owner of a proxy alone, one delegation that was made with it for each compute element.

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
            found = json.loads(self._text())
            if not self._fingerprint or found["proxy"] != self._fingerprint:
                return {}
            return {str(endpoint): str(delegation) for endpoint, delegation in found["delegations"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _text(self) -> bytes:
        # The default folder of proxies is open to all users, so what is there may be anybody's.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid():
                return b""
            return file.read(_MAX_BYTES)
