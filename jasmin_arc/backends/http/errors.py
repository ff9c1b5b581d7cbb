"""What went wrong on the way to a server and back, in our words."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from urllib3 import exceptions as foreign

from jasmin_arc._support.text import printable
from jasmin_arc.exceptions import ServerError, ServerUnavailableError

_TRANSIENT = frozenset({408, 425, 429, 502, 503, 504})
# A busy server sends the first one to a client with which nothing is wrong.
_PASSING_ALERTS = ("DECODE_ERROR", "INTERNAL_ERROR")
# X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL
_WRONG_NAME = frozenset({62, 64})
# UNABLE_TO_GET_ISSUER_CERT, CERT_SIGNATURE_FAILURE, DEPTH_ZERO_SELF_SIGNED_CERT, SELF_SIGNED_CERT_IN_CHAIN,
# UNABLE_TO_GET_ISSUER_CERT_LOCALLY, UNABLE_TO_VERIFY_LEAF_SIGNATURE and CERT_UNTRUSTED
_UNKNOWN_AUTHORITY = frozenset({2, 7, 18, 19, 20, 21, 27})
# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED
_WRONG_TIME = frozenset({9, 10})


@dataclass(frozen=True)
class ServerKind:
    """What is special about servers of one kind, and how the options are called that lead there."""

    accept: str = "*/*"
    """The type of the replies that are asked for"""
    final_500: re.Pattern[str] = re.compile("(?!)")
    """The reason phrases of errors 500 that another attempt cannot change"""
    refusing_500: re.Pattern[str] = re.compile("(?!)")
    """Those of errors 500 that mean that somebody is not let in"""
    address_option: str = "the server's address"
    trust_option: str = "the CA certificates"


class RetryLaterError(ServerUnavailableError):
    """The server says itself that it is worth trying again, and perhaps when."""

    def __init__(self, message: str, *, status: int, seconds: float | None) -> None:
        super().__init__(message, status=status)
        self.seconds = seconds


class RefusedError(ServerError):
    """The server does not accept who asks, or does not allow what is asked for."""


class AnswerLostError(ServerUnavailableError):
    """A request that is sent once may have been dealt with, but no answer came back."""


def error_for_transport(error: Exception, what: str, endpoint: str, kind: ServerKind) -> ServerError:
    """Translate an error of urllib3, or of the layers below it, to a request such as ``GET /path``."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = (cause.verify_message or str(cause)).rstrip(".")
            advice = _trust_advice(cause.verify_code, kind)
            return ServerError(f"the server {endpoint} is not trusted: {why}", advice=advice)
    if any(map(_is_refusal, causes)):
        return ServerError(f"the server {endpoint} refuses the client certificate: {_plain(error)}")
    if isinstance(error, (foreign.NewConnectionError, foreign.ConnectTimeoutError)):
        return ServerUnavailableError(f"cannot connect to {endpoint}: {_plain(error)}")
    if any(isinstance(cause, (foreign.TimeoutError, TimeoutError, socket.timeout)) for cause in causes):
        return ServerUnavailableError(f"the server {endpoint} does not answer in time ({what})")
    return ServerUnavailableError(f"the connection to {endpoint} broke ({what}): {_plain(error)}")


def _trust_advice(verify_code: int, kind: ServerKind) -> str:
    if verify_code in _WRONG_NAME:
        return f"set {kind.address_option} to the host's name, as it stands in the host's certificate"
    if verify_code in _WRONG_TIME:
        return "check this machine's clock; if it is right, tell the site"
    if verify_code in _UNKNOWN_AUTHORITY:
        return f"{kind.trust_option} must hold the CA certificate that its host certificate comes from"
    return "tell the site"


def _is_refusal(cause: BaseException) -> bool:
    reason = str(getattr(cause, "reason", "")) if isinstance(cause, ssl.SSLError) else ""
    return "ALERT" in reason and not reason.endswith(_PASSING_ALERTS)


def error_for_status(
    status: int, reason: str, retry_after: str, what: str, endpoint: str, kind: ServerKind
) -> ServerError:
    """Translate a reply that is an error."""
    message = f"the server {endpoint} answers {status_text(status, reason)} ({what})"
    if status in _TRANSIENT or (status == 500 and not kind.final_500.search(reason)):
        seconds = float(retry_after) if re.fullmatch(r"\s*\d{1,6}\s*", retry_after) else None
        return RetryLaterError(message, status=status, seconds=seconds)
    advice = f"redirects are not followed: is {kind.address_option} right?" if 300 <= status < 400 else ""
    return ServerError(message, status=status, advice=advice)


def status_text(status: int, reason: str) -> str:
    """Write a status as messages do, such as ``403 Forbidden``."""
    return f"{status} {printable(reason)}".strip()


def is_refusal(status: int, reason: str, kind: ServerKind) -> bool:
    """Say whether the server does not accept who asks, or does not allow what is asked for."""
    return status in (401, 403) or (status == 500 and kind.refusing_500.search(reason) is not None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(10):
        if error is None:
            return
        yield error
        inner = next((argument for argument in error.args if isinstance(argument, BaseException)), None)
        error = inner or error.__cause__ or error.__context__


def _plain(error: Exception) -> str:
    last = list(_causes(error))[-1]
    return printable(getattr(last, "strerror", None) or str(last) or type(last).__name__)
