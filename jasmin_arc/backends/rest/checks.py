"""What the doctor looks at for jobs on a compute element: credentials, the way to the server, its clock and queues."""

from __future__ import annotations

import re
import socket
import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from jasmin_arc._support.text import counted, home_short, told, utc
from jasmin_arc.backends.http.connection import check_identity, make_context
from jasmin_arc.backends.rest.api import AREX, Api
from jasmin_arc.backends.rest.glue2 import parse_time, site_info
from jasmin_arc.credentials.choice import choose
from jasmin_arc.credentials.proxy import ProxyManager
from jasmin_arc.credentials.proxy_file import ProxyInfo
from jasmin_arc.credentials.rfc3820 import belongs, name_text
from jasmin_arc.credentials.token import TokenCredentials, scopes_text, token_is_there
from jasmin_arc.credentials.user_certificate import read_chain, read_key
from jasmin_arc.doctor import CheckFailed, Examination, Look, Outcome, skipped, warning
from jasmin_arc.exceptions import Advice, InvalidConfigError, ProxyGenerationError

_SOON = timedelta(days=14)
_MAX_SKEW = timedelta(minutes=2)
_MAX_AGE = timedelta(minutes=30)
_CREATED = re.compile(rb'CreationTime="([^"]{1,40})"')
_REACH = "Check the port in ARC_SERVER; ask whether a firewall is in the way, and whether the server is up."
_ADMISSION = "Check the path in ARC_SERVER, mostly /arex; ask the site to let you in."
_NEW_CERTIFICATE = "Ask your certificate authority for a new one."


def checks(examination: Examination) -> dict[str, Look]:
    """Return the checks, by name, in the order in which each can stand on those before it."""
    site = _Site(examination)
    files = {
        "certificate": Look(site.certificate, "Set CLIENT_CERT to your certificate."),
        "private key": Look(site.private_key, "Set CLIENT_KEY to the private key of your certificate."),
    }
    proxy = Look(site.proxy, Advice("Run {proxy_create} with --verbose to see what is wrong."))
    return {
        **({} if site.uses_token else files),
        "CA certificates": Look(site.ca_certificates),
        **({"VOMS": Look(site.voms)} if examination.config.VOMS and not site.uses_token else {}),
        "credentials": Look(site.token) if site.uses_token else proxy,
        "name resolution": Look(site.name_resolution),
        "TLS": Look(site.tls, _REACH),
        "REST interface": Look(site.rest, _ADMISSION),
        "clock": Look(site.clock),
        "queues": Look(site.queues),
    }


class _Site:
    def __init__(self, examination: Examination) -> None:
        self._examination = examination
        self.config = examination.config
        self.outcomes = examination.outcomes
        self._log = examination.log
        self._manager = ProxyManager(self.config, self._log)
        self._credentials = choose(self.config, self._manager, self._log)
        self.uses_token = self._credentials.is_token
        self._certificate: x509.Certificate | None = None
        self._published: bytes | None = None
        parts = urlsplit(self.config.endpoint)
        self._host, self._port = parts.hostname or "", parts.port or 443

    # --- The user's files ---

    def certificate(self) -> str:
        cert = self._certificate = read_chain(self.config)[0]
        now, end = datetime.now(timezone.utc), cert.not_valid_after_utc
        path = home_short(self.config.CLIENT_CERT)
        found = f"{path} is {name_text(cert.subject)}, valid until {utc(end)}"
        if end <= now:
            raise CheckFailed(f"{found}: it has expired", _NEW_CERTIFICATE)
        if cert.not_valid_before_utc > now:
            raise CheckFailed(f"{found}: it is not valid yet", "Set this machine's clock.")
        if end - now < _SOON:
            raise warning(f"{found}: it ends soon", _NEW_CERTIFICATE)
        return found

    def private_key(self) -> str:
        path = home_short(self.config.CLIENT_KEY)
        key, _ = read_key(self.config, lambda: _encrypted(path))
        if self._certificate is None:
            return f"{path} is private and can be read; there is no certificate to compare it with"
        if not belongs(key, self._certificate):
            found = f"{path} does not belong to the certificate {home_short(self.config.CLIENT_CERT)}"
            raise CheckFailed(found, "Set CLIENT_CERT and CLIENT_KEY to files of the same pair.")
        return f"{path} is private, and belongs to the certificate"

    def ca_certificates(self) -> str:
        path = Path(self.config.CERTS_DIR)
        short = home_short(str(path))
        advice = "Install your site's CA certificates (ca-policy, or IGTF's packages), and set CERTS_DIR to them."
        try:
            if not path.is_dir():
                context = ssl.create_default_context(cafile=str(path))
                return f"{short} holds {counted(len(context.get_ca_certs()), 'CA certificate')}"
            hashed = [entry for entry in path.iterdir() if entry.suffix[1:].isdigit() and len(entry.stem) == 8]
        except OSError as error:
            raise CheckFailed(f"no CA certificates can be read from {short}: {told(error)}", advice) from error
        if not hashed:
            found = f"{short} holds no CA certificate under its hash, such as 5ed36f61.0"
            raise CheckFailed(found, f"{advice} 'openssl rehash DIRECTORY' makes the hashes.")
        return f"{short} holds {counted(len(hashed), 'CA certificate')}"

    def voms(self) -> str:
        from jasmin_arc.credentials.voms_server import servers_of

        servers = servers_of(self.config.VOMS.partition(":")[0])
        names = ", ".join(map(str, servers))
        return f"{self.config.VOMS} is asked for at {names}, which {home_short(str(servers[0].file))} names"

    def proxy(self) -> str:
        try:
            self._manager.path()
        except ProxyGenerationError as error:
            if self.outcomes.get("VOMS") is Outcome.FAILED and self._manager.info() is None:
                raise skipped("no proxy can be made without the attributes of the VO (see above)") from error
            if Outcome.FAILED not in (self.outcomes["certificate"], self.outcomes["private key"]):
                raise
            # No proxy can be made, but a user may have nothing but a proxy.
            info = self._manager.info()
            if info is None and self.config.AUTH == "auto" and token_is_there(self.config):
                found = "no proxy can be made (see above); there is a token, which is not used"
                raise CheckFailed(found, "Set AUTH to token to use it.") from error
            if info is None:
                raise skipped("a proxy needs a valid certificate and its key (see above)") from error
            if info.voms:
                raise
            found = "it is not used, and a new one needs a valid certificate and its key (see above)"
            advice = "Correct what is wrong with the certificate and its key, or bring a new proxy."
            raise CheckFailed(f"{_description(info)}: {found}", advice) from error
        info = self._manager.info()
        assert info is not None
        if info.voms and info.time_left < timedelta(seconds=self.config.PROXY_RENEWAL_THRESHOLD):
            if self.config.VOMS:
                advice = Advice("Run {proxy_create} to see why.")
                raise warning(f"{_description(info)}: it ends soon, and was not renewed", advice)
            raise warning(
                f"{_description(info)}: it has VOMS attributes, so it is not renewed, and ends soon",
                "Make one with the program that made it, such as 'arcproxy -S' or 'voms-proxy-init', or set VOMS.",
            )
        return _description(info)

    def token(self) -> str:
        credentials = TokenCredentials(self.config)
        credentials.ensure()
        info = credentials.info()
        assert info is not None
        until = f"valid until {utc(info.expires)}" if info.expires is not None else "valid without end"
        return f"the token in {info.source} of {info.identity}, {until}, with the scopes {scopes_text(info.scopes)}"

    # --- The server ---

    def name_resolution(self) -> str:
        try:
            addresses = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            found = f"the name {self._host} is not known here: {told(error)}"
            raise CheckFailed(found, "Check ARC_SERVER for typing mistakes, and this machine's network.") from error
        return f"{self._host} is {', '.join(dict.fromkeys(str(entry[4][0]) for entry in addresses))}"

    def tls(self) -> str:
        if self.outcomes["name resolution"] is not Outcome.OK:
            raise skipped("the server's name is not known")
        try:
            context = make_context(self.config.CERTS_DIR, None)
        except InvalidConfigError as error:
            raise skipped("there are no CA certificates to check the server with") from error
        version = check_identity(self.config.endpoint, context, timeout=min(self.config.TIMEOUT, 10), kind=AREX)
        return f"{self._host}:{self._port} answers, is trusted, and speaks {version}"

    def rest(self) -> str:
        if self.outcomes["TLS"] is not Outcome.OK:
            raise skipped("the server is not reached, or not trusted (see above)")
        if self.outcomes["credentials"] not in (Outcome.OK, Outcome.WARNING):
            raise skipped("this check needs credentials (see above)")
        api = Api(self.config, self._credentials, self._log)
        self._examination.left_open.callback(api.client.close)
        base = api.base()
        # ARC 7 tells the rest to everybody.
        api.jobs()
        self._published = api.info()
        return f"the server speaks version {base.rpartition('/')[2]}, and accepts {self._credentials.described()}"

    def clock(self) -> str:
        now = datetime.now(timezone.utc)
        here = f"it is {now:%Y-%m-%d %H:%M:%S} UTC here"
        created = _CREATED.search(self._published or b"")
        published = parse_time(created[1].decode()) if created else None
        if published is None:
            raise skipped(f"{here}; the server has not told its time")
        advice = "Set the clock, best by NTP: certificates are valid by the clock."
        # What the server publishes is some minutes old, but never of the future.
        if published - now > _MAX_SKEW:
            behind = (published - now).total_seconds()
            raise CheckFailed(f"{here}, at least {behind:.0f} s behind the server", advice)
        if now - published > _MAX_AGE:
            old = f"what the server last published is of {utc(published)}: it is old, or this clock is fast"
            raise warning(f"{here}; {old}", advice)
        return f"{here}; the server's clock agrees within minutes"

    def queues(self) -> str:
        if self._published is None:
            raise skipped("the server could not be asked")
        queues = site_info(self.config.endpoint, self._published).queues
        if not queues:
            advice = "Ask the site to let you in, and tell them who you are (see above)."
            raise CheckFailed("the site offers no queue to these credentials", advice)
        return f"{len(queues)}: {', '.join(queue.name for queue in queues)}"


def _encrypted(path: str) -> str:
    raise warning(
        f"{path} has a passphrase; without it this check cannot tell whether the key belongs to the certificate",
        Advice("Run {proxy_create} on a terminal before notebooks and scripts need the proxy."),
    )


def _description(info: ProxyInfo) -> str:
    attributes = f", {info.attributes_text}" if info.voms else ""
    return f"{home_short(str(info.path))} of {info.identity}{attributes}, valid until {utc(info.expires)}"
