"""Who the user is: certificates, proxies and what is made of them, and tokens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Protocol


class Credentials(Protocol):
    """What a server is shown: a proxy certificate, or a token. What a kind does not have is as here."""

    is_token: ClassVar[bool] = False

    def ensure(self) -> None:
        """Make sure that the credentials are valid, while there is a user who can be asked for a passphrase.

        :raises CredentialsError: if there are none
        """
        return

    def expires(self) -> datetime | None:
        """Return when they end, aware and in UTC; ``None`` where that is not known, or never."""
        return None

    def owner(self) -> str:
        """Return the name that jobs belong to at the server; an empty text where it is not known.

        :raises CredentialsError: if there are none
        """
        return ""

    def described(self) -> str:
        """Say in a few words what the server is shown, for messages; nothing in it is secret."""
        return "you"

    def when_refused(self, why: str) -> str:  # noqa: ARG002 - it is for those that know more
        """Say what the user can do where a server refuses these credentials, for this reason in the server's words."""
        return ""

    def client_certificate(self) -> Path | None:
        """Return the file with the certificate and key for TLS; ``None`` where the server is shown none."""
        return None

    def headers(self) -> Mapping[str, str]:
        """Return what each request carries in its head."""
        return {}

    def sign(self, request: bytes) -> bytes | None:  # noqa: ARG002 - it is for those that can
        """Delegate: answer a certificate request, in PEM; ``None`` where these credentials cannot."""
        return None

    def token(self) -> str | None:
        """Return the token, which is delegated as it is; ``None`` where these credentials are none."""
        return None
