"""Ask the server of a virtual organisation (VO) for VOMS attributes; ``vomses`` files say where it is."""

from __future__ import annotations

import base64
import os
import re
import shlex
import ssl
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from cryptography import x509
from urllib3.exceptions import HTTPError
from urllib3.util import SKIP_HEADER

from jasmin_arc._support import xml
from jasmin_arc._support.text import excerpt, home_short, one_line
from jasmin_arc.backends.http.connection import CONNECT_SECONDS, Connection, make_context
from jasmin_arc.backends.http.deadline import limited
from jasmin_arc.backends.http.errors import ServerKind, error_for_transport
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.credentials.rfc3820 import name_text
from jasmin_arc.credentials.voms import Wanted
from jasmin_arc.exceptions import ProxyGenerationError, ServerError

_VOMS = ServerKind(address_option="the host in the vomses file", trust_option="CERTS_DIR")
_VARIABLES = ("X509_VOMS_FILE", "X509_VOMSES")
_PLACES = ("~/.arc/vomses", "~/.voms/vomses", "~/.glite/vomses", "/etc/vomses", "/etc/grid-security/vomses")
_MAX_BYTES = 1 << 20
_MAX_FILES = 1000
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_SUBJECT = re.compile(r'/[^"\\\x00-\x1f]+')
_UNKNOWN_USER = ("NoSuchUser", "SuspendedUser")
_TRY_LATER = "try again later, or ask the VO whether its line in the vomses file is up to date"


class VomsServer(NamedTuple):
    """A server of a VO, as a line of a ``vomses`` file has it."""

    vo: str
    host: str
    port: int
    subject: str
    """The name in its certificate"""
    file: Path

    @property
    def line(self) -> str:
        return f'"{self.vo}" "{self.host}" "{self.port}" "{self.subject}" "{self.vo}"\n'

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class VomsError(ProxyGenerationError):
    """A VO gives no attributes.

    :param refused: whether its server knows the user, and says no
    """

    def __init__(self, vo: str, why: str, *, advice: str = _TRY_LATER, refused: bool = False) -> None:
        super().__init__(f"cannot create a proxy: the VO {vo} gives no attributes: {why}", advice=advice)
        self.refused = refused


def servers_of(vo: str) -> list[VomsServer]:
    """Return the servers of the VO, by the first place that knows any: variables, the user's files, the machine's.

    :raises ProxyGenerationError: if no place knows one
    """
    places = _places()
    for place in places:
        if found := [server for file in _files(place) for server in _read(file) if server.vo == vo]:
            return found
    looked = ", ".join(home_short(str(place)) for place in places)
    raise ProxyGenerationError(
        f"cannot create a proxy: no vomses file knows the VO {vo} (VOMS); these were looked at: {looked}",
        advice='ask the VO for its line, "VO" "HOST" "PORT" "NAME" "VO", and write it into ~/.arc/vomses',
    )


def fetch(config: ConnectionConfig, passphrase: bytes | None, wanted: Wanted, servers: Sequence[VomsServer]) -> bytes:
    """Return an attribute certificate (DER) for the user's certificate. The servers are asked until one gives it.

    :param passphrase: what decrypts the key of the certificate
    :raises ProxyGenerationError: if none gives it
    """
    context = make_context(config.CERTS_DIR, None, _VOMS)
    try:
        # The certificate itself: not all servers take a proxy of it. Without a password OpenSSL asks the terminal.
        context.load_cert_chain(config.CLIENT_CERT, config.CLIENT_KEY, password=passphrase or "")
    except OSError as error:
        raise VomsError(wanted.vo, f"CLIENT_CERT and CLIENT_KEY cannot be shown: {one_line(str(error))}") from error
    problems = []
    for server in servers:
        try:
            return _attribute_certificate(server, _ask(config, context, wanted, server))
        except VomsError as error:
            problems.append(error)
        except ServerError as error:
            problems.append(VomsError(wanted.vo, error.message, advice=error.advice or _TRY_LATER))
    raise foremost(problems)


def foremost(problems: Sequence[VomsError]) -> VomsError:
    """Return the one of several servers' errors that tells the most: they all know the same users."""
    return next((error for error in problems if error.refused), problems[0])


def refusal(server: VomsServer, told: str) -> VomsError:
    """Return the error for what a server says in place of attributes, such as ``NoSuchUser: unknown``."""
    if told.startswith(_UNKNOWN_USER):
        advice = f"ask the VO {server.vo} whether your certificate is registered with it"
    else:
        advice = f"ask the VO {server.vo} for the group or role, or set VOMS to one that you have"
    why = excerpt(told).rstrip(".") or "it does not say why"
    return VomsError(server.vo, f"its server {server} refuses: {why}", advice=advice, refused=True)


def nonsense(server: VomsServer) -> VomsError:
    """Return the error for an answer that makes no sense."""
    return VomsError(server.vo, f"its server {server} answers with something else than attributes")


def _ask(config: ConnectionConfig, context: ssl.SSLContext, wanted: Wanted, server: VomsServer) -> bytes:
    fqans = {"fqans": wanted.name} if wanted.name else {}
    query = urlencode({**fqans, "lifetime": config.PROXY_VALIDITY_PERIOD}, safe="/=")
    endpoint = f"https://{server}"
    seconds = min(CONNECT_SECONDS, config.TIMEOUT)
    connection = Connection(server.host, server.port, ssl_context=context, timeout=seconds)
    try:
        with limited(config.TIMEOUT):
            connection.connect()
            _check_subject(connection, server)
            headers = {"Accept": "text/xml", "User-Agent": SKIP_HEADER, "Accept-Encoding": SKIP_HEADER}
            connection.request("GET", f"/generate-ac?{query}", headers=headers, preload_content=False)
            body: bytes = connection.getresponse().read(_MAX_BYTES, decode_content=False)
            return body
    except (HTTPError, HTTPException, OSError) as error:
        raise error_for_transport(error, "GET /generate-ac", endpoint, _VOMS) from error
    finally:
        connection.close()


def _check_subject(connection: Connection, server: VomsServer) -> None:
    assert isinstance(connection.sock, ssl.SSLSocket)
    subject = name_text(x509.load_der_x509_certificate(connection.sock.getpeercert(binary_form=True) or b"").subject)
    if _same_words(subject) != _same_words(server.subject):
        raise VomsError(
            server.vo,
            f"the server {server} is not the one that {home_short(str(server.file))} names: it is {excerpt(subject)}, "
            f"not {excerpt(server.subject)}",
            advice=f"ask the VO {server.vo} for its present line of the vomses file",
        )


def _same_words(subject: str) -> str:
    """Return a name with one word for what programs call differently."""
    return re.sub(r"/(E|Email)=", "/emailAddress=", subject)


def _attribute_certificate(server: VomsServer, answer: bytes) -> bytes:
    try:
        root = xml.parse(answer, ServerError)
        error = root if xml.name_of(root) == "error" else next(iter(xml.all_of(root, "error")), None)
        if error is not None:
            told = [xml.first_text(error, name) for name in ("code", "message")]
            raise refusal(server, ": ".join(filter(None, told)))
        text = xml.first_text(root, "ac")
        attribute_certificate = base64.b64decode("".join(text.split()), validate=True)
    except (ServerError, ValueError) as error:
        raise nonsense(server) from error
    if not attribute_certificate:
        raise nonsense(server)
    return attribute_certificate


# --- vomses files ---


def _places() -> list[Path]:
    # arcproxy looks into the present folder, too. What happens to be there must not say who is shown the certificate.
    named = [os.environ[name] for name in _VARIABLES if os.environ.get(name)]
    return [Path(os.path.expanduser(place)) for place in (*named, *_PLACES)]  # noqa: PTH111 - the home may be unknown


def _files(place: Path) -> list[Path]:
    """Return the file, or the files of the folder."""
    try:
        return sorted(place.iterdir())[:_MAX_FILES] if place.is_dir() else [place]
    except OSError:
        return []


def _read(file: Path) -> Iterator[VomsServer]:
    """Yield what its lines say; those that make no sense are left out."""
    try:
        # A named pipe would block.
        text = file.read_bytes() if file.is_file() and file.stat().st_size <= _MAX_BYTES else b""
    except OSError:
        return
    for line in text.decode(errors="replace").splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        if len(words) >= 5:
            _, host, port, subject, vo, *_ = words
            subject = subject.replace("\\/", "/")
            if _HOST.fullmatch(host) and _PORT.fullmatch(port) and int(port) < 1 << 16 and _SUBJECT.fullmatch(subject):
                yield VomsServer(vo, host, int(port), subject, file)
