"""Which delegation the processes of a user share at each compute element: a file beside the proxy."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from pathlib import Path

from jasmin_arc.credentials.proxy import DELEGATIONS_SUFFIX

_MOST_BYTES = 1 << 16


class DelegationFile:
    """Remembers, for the owner of a proxy alone, one delegation that was made with it for each compute element.

    It is a convenience: what cannot be read or written is taken for missing. What it says must be checked with the
    server before it is used.

    :param proxy: the path of the proxy
    :param version: what identifies the proxy in that file: delegations that were made with another one are left out
    """

    def __init__(self, proxy: Path, version: str) -> None:
        self._path = proxy.with_name(proxy.name + DELEGATIONS_SUFFIX)
        self._version = version

    def get(self, endpoint: str) -> str:
        """Return the id of the delegation there; empty where none is known."""
        return self._read().get(endpoint, "")

    def put(self, endpoint: str, delegation_id: str) -> None:
        """Remember a delegation."""
        text = json.dumps({"proxy": self._version, "delegations": {**self._read(), endpoint: delegation_id}})
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
            if found["proxy"] != self._version:
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
            return file.read(_MOST_BYTES)
