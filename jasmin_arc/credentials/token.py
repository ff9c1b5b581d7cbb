"""Bearer tokens: found, read anew when they change, and never written anywhere.

Where a token is looked for is laid down in the WLCG Bearer Token Discovery. What a token says is read here for people
alone: whether it is genuine, the server decides.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, ClassVar

from jasmin_arc._support.text import home_short, printable, utc
from jasmin_arc.config import ConnectionConfig, looks_like_token
from jasmin_arc.credentials import Credentials
from jasmin_arc.exceptions import CredentialsError

_MAX_BYTES = 1 << 16
_ANYBODYS = "/tmp"  # noqa: S108 - as laid down; only a private file of the user counts
_TOKEN = re.compile(r"([\w-]+)\.([\w-]+)\.[\w-]+", re.ASCII)
_MAX_WORD = 500
_ANOTHER = "get another one with the program that you use for tokens, such as oidc-token or htgettoken"
_ADMISSION = "ask the site whether it trusts that issuer, and whether it lets you in"
_SCOPES = (
    "get a token with the scopes that the site asks for, mostly compute.read, compute.create, compute.modify and "
    "compute.cancel"
)
_NONE = (
    "set TOKEN_FILE to the file with your token, or let the program that gets your tokens (such as oidc-agent or "
    "htgettoken) put it there"
)


@dataclass(frozen=True)
class TokenInfo:
    """What a token says of itself; not the token. Texts are as the issuer wrote them, and may be empty."""

    source: str
    """Where it was found: the path of a file, or ``$BEARER_TOKEN``"""
    issuer: str
    subject: str
    """The person or program that it was issued to, in the issuer's words"""
    scopes: tuple[str, ...]
    """The rights that it gives, such as ``compute.create``"""
    audience: tuple[str, ...]
    """The servers that it is for; empty for any"""
    not_before: datetime | None
    expires: datetime | None
    """When it ends (UTC); ``None`` if it never does"""

    @property
    def identity(self) -> str:
        """Whom a server takes the bearer for: issuer and subject."""
        return f"{self.issuer}/{self.subject}"

    @property
    def time_left(self) -> timedelta | None:
        """How long it still lasts; negative when it has ended, ``None`` if it never does."""
        return self.expires - datetime.now(timezone.utc) if self.expires is not None else None


@dataclass(frozen=True)
class _Token:
    text: str = field(repr=False)
    info: TokenInfo


class TokenCredentials(Credentials):
    """A token that is found anew for each use, as other programs replace it before it ends."""

    is_token: ClassVar[bool] = True

    def __init__(self, config: ConnectionConfig) -> None:
        self._file = config.TOKEN_FILE

    def info(self) -> TokenInfo | None:
        """Describe the token, whether it has ended or not; ``None`` where there is none.

        :raises CredentialsError: if there is something that cannot be used
        """
        found = self._found()
        return found.info if found is not None else None

    def ensure(self) -> None:
        self._valid()

    def expires(self) -> datetime | None:
        return self._valid().info.expires

    def owner(self) -> str:
        return self._valid().info.identity

    def described(self) -> str:
        info = self._valid().info
        return f"the token of {info.identity} (scopes: {scopes_text(info.scopes)})"

    def when_refused(self, why: str) -> str:
        return _SCOPES if "scope" in why.lower() else _ADMISSION

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._valid().text}"}

    def token(self) -> str:
        return self._valid().text

    def _valid(self) -> _Token:
        found = self._found()
        if found is None:
            places = ", ".join(["$BEARER_TOKEN", "$BEARER_TOKEN_FILE", *map(str, _usual_files())])
            raise CredentialsError(f"there is no token: nothing is at the usual places ({places})", advice=_NONE)
        now, info = datetime.now(timezone.utc), found.info
        if info.expires is not None and info.expires <= now:
            raise CredentialsError(f"the token in {info.source} ended at {utc(info.expires)}", advice=_ANOTHER)
        if info.not_before is not None and info.not_before > now + timedelta(minutes=1):
            raise CredentialsError(
                f"the token in {info.source} is not valid before {utc(info.not_before)}, and it is {utc(now)} here",
                advice="check the clock of this machine",
            )
        return found

    def _found(self) -> _Token | None:
        """Return the first token that there is: what is found first decides."""
        if self._file:
            return self._read(Path(self._file), "TOKEN_FILE")
        if text := os.environ.get("BEARER_TOKEN", "").strip():
            return _parsed(text, "$BEARER_TOKEN")
        if path := os.environ.get("BEARER_TOKEN_FILE"):
            return self._read(Path(path), "$BEARER_TOKEN_FILE")
        for usual in _usual_files():
            if _is_mine(usual):
                return self._read(usual, "")
        return None

    def _read(self, path: Path, named_by: str) -> _Token:
        if looks_like_token(str(path)):
            raise CredentialsError(
                f"{named_by} must be the path of a file, and is a token", advice="put the token into $BEARER_TOKEN"
            )
        source = home_short(str(path)) + (f" ({named_by})" if named_by else "")
        try:
            return _parsed(_content(path, source), home_short(str(path)))
        except OSError as error:
            raise CredentialsError(f"cannot read the token in {source}: {error.strerror}", advice=_ANOTHER) from error


def scopes_text(scopes: Sequence[str]) -> str:
    """Write the scopes of a token as messages do."""
    return " ".join(scopes) or "none"


def token_is_there(config: ConnectionConfig) -> bool:
    """Say whether a token would be found, good or not."""
    named = config.TOKEN_FILE or os.environ.get("BEARER_TOKEN", "").strip() or os.environ.get("BEARER_TOKEN_FILE")
    return bool(named) or any(map(_is_mine, _usual_files()))


def _usual_files() -> list[Path]:
    name = f"bt_u{os.geteuid()}"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return [Path(folder, name) for folder in (runtime, _ANYBODYS) if folder]


def _is_mine(path: Path) -> bool:
    """Say whether it is a file of this user: anybody may put a file into a folder that is open to all."""
    try:
        state = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid()


def _content(path: Path, source: str) -> str:
    # A named pipe must not block.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise CredentialsError(f"the token in {source} cannot be used: it is not a file")
        if state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise CredentialsError(
                f"the token in {source} is not used, as other users can read the file", advice=f"run: chmod 600 {path}"
            )
        return file.read(_MAX_BYTES).decode("ascii", "replace").strip()


def _parsed(text: str, source: str) -> _Token:
    try:
        claims = _claims(text)
    except ValueError as error:
        raise CredentialsError(f"the token in {source} cannot be used: it {error}", advice=_ANOTHER) from error
    info = TokenInfo(
        source,
        issuer=_text(claims.get("iss")),
        subject=_text(claims.get("sub")),
        scopes=_words(claims.get("scope", claims.get("scp"))),
        audience=_words(claims.get("aud")),
        not_before=_time(claims.get("nbf")),
        expires=_time(claims.get("exp")),
    )
    return _Token(text, info)


def _claims(text: str) -> Mapping[str, Any]:
    """Read what a token says; a ValueError never quotes it."""
    if not text:
        raise ValueError("is empty")
    found = _TOKEN.fullmatch(text)
    if found is None:
        raise ValueError("is not a JSON Web Token, of three parts with dots between them")
    try:
        claims = json.loads(base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4)))
    except (ValueError, RecursionError):
        raise ValueError("is a broken JSON Web Token") from None
    if not isinstance(claims, dict):
        raise ValueError("is a broken JSON Web Token")
    return claims


def _text(value: object) -> str:
    return printable(value, max_length=_MAX_WORD) if isinstance(value, str) else ""


def _words(value: object) -> tuple[str, ...]:
    """Read a list of words, or a text with spaces between them."""
    words = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(filter(None, map(_text, words)))


def _time(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    try:
        return datetime.fromtimestamp(value, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return None
