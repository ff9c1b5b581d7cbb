"""Who the user is: certificates, proxies and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol


class Credentials(Protocol):
    """What a server is shown. Proxies are one kind, no credentials another."""

    def ensure(self) -> None:
        """Make sure that the credentials are valid, while there is a user who can be asked for a passphrase.

        :raises ProxyGenerationError: if there are none
        """

    def expires(self) -> datetime | None:
        """Return when they end, aware and in UTC; ``None`` where that is not known, or never."""

    def client_certificate(self) -> Path | None:
        """Return the file with the certificate and key for TLS; ``None`` where the server is shown none."""

    def headers(self) -> Mapping[str, str]:
        """Return what each request carries in its head."""

    def sign(self, request: bytes) -> bytes | None:
        """Delegate: answer a certificate request, in PEM; ``None`` where these credentials cannot."""


class NoCredentials:
    """For places that ask for none."""

    def ensure(self) -> None: ...

    def expires(self) -> datetime | None:
        return None

    def client_certificate(self) -> Path | None:
        return None

    def headers(self) -> Mapping[str, str]:
        return {}

    def sign(self, request: bytes) -> bytes | None:  # noqa: ARG002 - the protocol's parameter
        return None
