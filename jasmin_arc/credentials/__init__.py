"""Who the user is: certificates, proxies and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol


class Credentials(Protocol):
    """What a server is shown. Proxies are one kind. What a kind does not have is as here."""

    def ensure(self) -> None:
        """Make sure that the credentials are valid, while there is a user who can be asked for a passphrase.

        :raises ProxyGenerationError: if there are none
        """
        return

    def expires(self) -> datetime | None:
        """Return when they end, aware and in UTC; ``None`` where that is not known, or never."""
        return None

    def client_certificate(self) -> Path | None:
        """Return the file with the certificate and key for TLS; ``None`` where the server is shown none."""
        return None

    def headers(self) -> Mapping[str, str]:
        """Return what each request carries in its head."""
        return {}

    def sign(self, request: bytes) -> bytes | None:  # noqa: ARG002 - it is for those that can
        """Delegate: answer a certificate request, in PEM; ``None`` where these credentials cannot."""
        return None
