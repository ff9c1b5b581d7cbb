"""The user's certificate and private key: read, checked, and what to do where something is wrong with them."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shlex
import stat
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone

from cryptography import x509

from jasmin_arc._support.text import utc
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.credentials.rfc3820 import (
    PrivateKey,
    WrongPassphraseError,
    belongs,
    is_encrypted,
    load_certificates,
    load_key,
)
from jasmin_arc.exceptions import Advice, ProxyGenerationError

MAX_BYTES = 1 << 20
"""No certificate, key or proxy is longer; more is not read."""
_TRIES = 3
"""How often a terminal is asked for a passphrase"""

_CONVERT = "a PKCS#12 file (.p12, .pfx) is converted by: "
_CONVERT_CERT = f"{_CONVERT}openssl pkcs12 -in FILE -clcerts -nokeys -out usercert.pem"
_CONVERT_KEY = f"{_CONVERT}(umask 077; openssl pkcs12 -in FILE -nocerts -out userkey.pem)"
_NEW_CERT = "ask your certificate authority for a new one"
_NOT_THERE = Advice(
    "set that option to where yours is; or set AUTH to token, where your site takes tokens. If you have none yet, ask "
    "your site which authority issues certificates; to try without one: {backend_local}"
)
_SLURM_IS_HERE = Advice(
    "for jobs with Slurm, which is on this machine, none is needed: {backend_slurm}. For a compute element, set that "
    "option to where yours is; if you have none yet, ask your site which authority issues certificates"
)
_BLOCK = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*?(PRIVATE KEY|CERTIFICATE)-----")


@dataclass(frozen=True)
class KeyPair:
    """A pair that belongs together and is in date."""

    chain: list[x509.Certificate]
    """The certificate, then those that vouch for it, if the file holds them."""
    key: PrivateKey = field(repr=False)
    passphrase: bytes | None = field(repr=False)
    """What decrypts the key file."""


def read_key_pair(
    config: ConnectionConfig, *, passphrase: Callable[[], str] | None, longer_than: datetime | None = None
) -> KeyPair:
    """Read ``CLIENT_CERT`` and ``CLIENT_KEY``, which must belong together and be valid now.

    :param passphrase: returns the passphrase of an encrypted key; without it a terminal is asked
    :param longer_than: refuse a certificate that ends no later than this
    """
    chain = read_chain(config)
    name = _cert_name(config)
    now = datetime.now(timezone.utc)
    begin, end = chain[0].not_valid_before_utc, chain[0].not_valid_after_utc
    if end <= now:
        raise _impossible(f"{name} expired at {utc(end)}", advice=_NEW_CERT)
    if begin > now:
        raise _impossible(
            f"{name} is not valid before {utc(begin)}, and it is {utc(now)} now", advice="check the clock"
        )
    if longer_than is not None and end <= longer_than:
        raise ProxyGenerationError(f"{name} ends at {utc(end)}, and no proxy can last longer", advice=_NEW_CERT)
    key, secret = read_key(config, passphrase)
    if not belongs(key, chain[0]):
        raise _impossible(
            f"{_key_name(config)} does not belong to {name}",
            advice="set both options to files of the same pair",
        )
    return KeyPair(chain, key, secret)


def read_chain(config: ConnectionConfig) -> list[x509.Certificate]:
    """Read ``CLIENT_CERT`` without checking more than that it holds a certificate."""
    name = _cert_name(config)
    try:
        first, *others = load_certificates(_read(config, config.CLIENT_CERT, name))
    except ValueError as error:
        _refuse_swapped(config)
        raise _impossible(f"{name} {error}", advice=_CONVERT_CERT) from error
    # A server trusts its own copy of the root, or none.
    return [first, *(cert for cert in others if cert.issuer != cert.subject)]


def read_key(config: ConnectionConfig, passphrase: Callable[[], str] | None) -> tuple[PrivateKey, bytes | None]:
    """Read ``CLIENT_KEY``, and return it with its passphrase, if it has one."""
    _refuse_swapped(config)
    name = _key_name(config)
    pem = _read(config, config.CLIENT_KEY, name, private=True)
    try:
        return _unlocked(config, pem, passphrase) if is_encrypted(pem) else (load_key(pem), None)
    except WrongPassphraseError as error:
        raise _impossible(f"{name} {error}") from error
    except ValueError as error:
        raise _impossible(f"{name} {error}", advice=_CONVERT_KEY) from error


def _refuse_swapped(config: ConnectionConfig) -> None:
    with contextlib.suppress(OSError):  # Each file has an error of its own.
        cert, key = (set(_BLOCK.findall(_content(path)[0])) for path in (config.CLIENT_CERT, config.CLIENT_KEY))
        if (cert, key) == ({b"PRIVATE KEY"}, {b"CERTIFICATE"}):
            why = f"CLIENT_CERT is a private key ({config.CLIENT_CERT}), CLIENT_KEY a certificate ({config.CLIENT_KEY})"
            raise _impossible(why, advice="exchange the values of the two options")


def _unlocked(config: ConnectionConfig, pem: bytes, passphrase: Callable[[], str] | None) -> tuple[PrivateKey, bytes]:
    """Decrypt a private key. A person at a terminal may mistype the passphrase."""
    if passphrase is not None:
        secret = passphrase().encode()
        return load_key(pem, secret), secret
    wrong = ""
    for tries_left in reversed(range(_TRIES)):
        secret = _ask(config, wrong)
        try:
            return load_key(pem, secret), secret
        except WrongPassphraseError:
            if not tries_left:
                raise
            wrong = "Wrong passphrase, try again. "
    raise AssertionError("the last try returns or raises")


def _ask(config: ConnectionConfig, wrong: str) -> bytes:
    name = _key_name(config)
    if sys.stdin is None or not sys.stdin.isatty():
        copy = f"(umask 077; openssl pkey -in {shlex.quote(config.CLIENT_KEY)} -out ~/.arc/userkey-nopass.pem)"
        raise _impossible(
            f"{name} is encrypted, and there is no terminal to ask for its passphrase",
            advice=Advice(
                "run {proxy_create} on a terminal, or set CLIENT_KEY to a copy without passphrase: {copy}", copy=copy
            ),
        )
    if threading.current_thread().daemon:
        # Ctrl-C would not end the question, and the end of the program would leave the terminal without echo.
        raise _impossible(
            f"{name} is encrypted, and its passphrase cannot be asked for in the background",
            advice=Advice("run {proxy_create}, which a program that runs already profits from"),
        )
    try:
        return getpass.getpass(f"{wrong}Passphrase of {config.CLIENT_KEY}: ").encode()
    except EOFError as error:
        raise _impossible(f"no passphrase was given for {name}") from error


def _read(config: ConnectionConfig, path: str, name: str, *, private: bool = False) -> bytes:
    try:
        text, mode = _content(path)
    except FileNotFoundError as error:
        raise _impossible(
            f"{name} does not exist", advice=_SLURM_IS_HERE if config.may_mean_slurm else _NOT_THERE
        ) from error
    except OSError as error:
        raise _impossible(f"{name} cannot be read: {error.strerror}") from error
    # arcproxy draws the line here too: a group may share a key, the world may not.
    if private and mode & stat.S_IRWXO:
        advice = f"run: chmod 600 {shlex.quote(path)}"
        raise _impossible(f"{name} is open to every user of this machine", advice=advice)
    return text


def _content(path: str) -> tuple[bytes, int]:
    """Return what is in a file, and its mode."""
    # A named pipe must not block.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        return file.read(MAX_BYTES) if stat.S_ISREG(mode) else b"", mode


def _cert_name(config: ConnectionConfig) -> str:
    return f"the certificate {config.CLIENT_CERT} (CLIENT_CERT)"


def _key_name(config: ConnectionConfig) -> str:
    return f"the private key {config.CLIENT_KEY} (CLIENT_KEY)"


def _impossible(why: str, *, advice: str = "") -> ProxyGenerationError:
    return ProxyGenerationError(f"cannot create a proxy: {why}", advice=advice)
