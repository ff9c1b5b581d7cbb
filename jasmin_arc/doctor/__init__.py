"""What keeps a first job from running: checks in the order in which problems are solved, each with its remedy."""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jasmin_arc._support.text import one_line
from jasmin_arc.backends.http.deadline import DeadlineSocket, limited
from jasmin_arc.config import ConnectionConfig, UnknownOption
from jasmin_arc.exceptions import BindingsNotFoundError, JasminArcError, ProxyGenerationError

if TYPE_CHECKING:
    from cryptography import x509

    from jasmin_arc.backends.http.client import Client
    from jasmin_arc.credentials.proxy import ProxyInfo, ProxyManager

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"
_SOON = timedelta(days=14)
_MOST_SKEW = timedelta(minutes=2)
_OLDEST = timedelta(minutes=30)
_CREATED = re.compile(rb'CreationTime="([^"]{1,40})"')
_LEAST_SPACE = 50 << 20
_TRIAL = 256 << 10
"""How much is written to find out whether there is space and quota"""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. Nothing in it is secret: it may be sent to others."""

    name: str
    outcome: str
    """``ok``, ``warning``, ``failed``, or ``skipped`` where it does not matter or could not be tried"""
    found: str
    """What there is, in one sentence"""
    remedy: str = ""
    """What to do, unless it is ok"""


_ASK = "Send this report to the people who run the site."
_NEW_VOMS = "Make a new one with the program that made it, such as 'arcproxy -S' or 'voms-proxy-init'."
_REMEDIES = {
    "certificate": "Set CLIENT_CERT to your certificate.",
    "private key": "Set CLIENT_KEY to the private key of your certificate.",
    "proxy": "Run 'jasmin-arc proxy create --verbose' to see what is wrong.",
    "TLS": "Check that ARC_SERVER names the host as its certificate does, that CERTS_DIR holds the CA certificate that "
    "it comes from, and this machine's clock.",
    "REST interface": "Check the path in ARC_SERVER, mostly /arex; ask the site to let your certificate's name in.",
    "job list": "Set JOBS_INFO_FILE to another path, or move the file away.",
}
"""Where the error itself does not say what to do"""


class Problem(Exception):
    """A check found something wrong."""

    def __init__(self, found: str, remedy: str, outcome: str = FAILED) -> None:
        super().__init__(found)
        self.found, self.remedy, self.outcome = found, remedy, outcome


def examine(
    config_path: str | os.PathLike[str] | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    origin: str = "the config argument",
) -> Iterator[Check]:
    """Yield one check after the other. Jobs are neither submitted nor changed; a proxy is made if there is none.

    :param config_path: the configuration, as for ``ArcInterface``
    :param config: options that override all others
    :param origin: where ``config`` comes from
    """
    try:
        loaded = ConnectionConfig.load(config_path, config=config, logger=_silent(), origin=origin)
    except JasminArcError as error:
        yield Check(
            "configuration", FAILED, one_line(str(error)), "Correct it; 'jasmin-arc config init' writes a new one."
        )
        return
    examination = _Local(loaded) if loaded.BACKEND == "local" else _Site(loaded)
    for name, look in examination.checks():
        check = _run(name, look)
        examination.outcomes[name] = check.outcome
        yield check


def _silent() -> logging.Logger:
    """Return a logger that writes nothing: what matters is in the report."""
    log = logging.Logger("jasmin_arc.doctor", logging.CRITICAL)
    log.addHandler(logging.NullHandler())
    return log


def _correction(option: UnknownOption) -> str:
    name = one_line(option.name)
    if option.nearest:
        return f"Rename {name} to {option.nearest}."
    return f"Remove {name}: 'jasmin-arc config show' lists the options."


def _run(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, OK, one_line(look()))
    except Problem as problem:
        return Check(name, problem.outcome, one_line(problem.found), problem.remedy)
    except JasminArcError as error:
        found, _, remedy = str(error).replace("cannot create a proxy: ", "").partition("; ")
        return Check(name, FAILED, one_line(found), one_line(remedy) or _REMEDIES.get(name, _ASK))
    except OSError as error:
        return Check(name, FAILED, one_line(str(error)), _REMEDIES.get(name, _ASK))


class _Examination:
    """What is the same for all backends."""

    def __init__(self, config: ConnectionConfig) -> None:
        self.config = config
        self.outcomes: dict[str, str] = {}
        """Of the checks so far, by name; where one failed, those that stand on it are skipped"""
        self.log = _silent()

    def configuration(self) -> str:
        if not self.config.unknown:
            return self.summary()
        ignored = ", ".join(f"{option.name} ({_short(option.origin)})" for option in self.config.unknown)
        raise Problem(
            f"{self.summary()}; these names are not options and have no effect: {ignored}",
            " ".join(map(_correction, self.config.unknown)),
            WARNING,
        )

    def summary(self) -> str:
        from jasmin_arc.version import __version__

        python = ".".join(map(str, sys.version_info[:3]))
        changed = {name: origin for name, origin in self.config.sources.items() if origin != "default"}
        names = (_short(origin).replace("the environment variable ", "$") for origin in dict.fromkeys(changed.values()))
        options = ", ".join(names) or "defaults only"
        return f"jasmin_arc {__version__}, Python {python}, BACKEND {self.config.BACKEND}, options from {options}"

    def job_list(self) -> str:
        from jasmin_arc.job_list import JobList

        path = Path(self.config.JOBS_INFO_FILE)
        _try_to_write(path.parent, "JOBS_INFO_FILE")
        count = len(JobList(path, timeout=5.0).ids())
        return f"{_short(str(path))} has {count} jobs, and its disk has {_free(path.parent)} free"


class _Local(_Examination):
    """What jobs on this machine need."""

    def checks(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("configuration", self.configuration),
            ("shell", self.shell),
            ("job folder", self.job_folder),
            ("job list", self.job_list),
        ]

    def shell(self) -> str:
        if not os.access("/bin/sh", os.X_OK):
            raise Problem("there is no /bin/sh, which starts every job", "Install a shell.")
        return "/bin/sh starts jobs"

    def job_folder(self) -> str:
        folder = Path(self.config.LOCAL_DIR)
        _try_to_write(folder, "LOCAL_DIR")
        return f"{_short(str(folder))} can be written, and its disk has {_free(folder)} free"


class _Site(_Examination):
    """What jobs on a compute element need."""

    def __init__(self, config: ConnectionConfig) -> None:
        super().__init__(config)
        self._certificate: x509.Certificate | None = None
        self._proxy: Path | None = None
        self._client: Client | None = None
        self._published = b""
        parts = urlsplit(config.endpoint)
        self._host, self._port = parts.hostname or "", parts.port or 443

    def checks(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("configuration", self.configuration),
            ("bindings", self.bindings),
            ("certificate", self.certificate),
            ("private key", self.private_key),
            ("CA certificates", self.trusted),
            ("proxy", self.proxy),
            ("name resolution", self.name),
            ("TLS", self.tls),
            ("REST interface", self.rest),
            ("clock", self.clock),
            ("queues", self.queues),
            ("job list", self.job_list),
        ]

    def summary(self) -> str:
        default = "the default, " if self.config.is_default("ARC_SERVER") else ""
        return f"{super().summary()}; the compute element is {default}{self.config.endpoint}"

    def bindings(self) -> str:
        if self.config.BACKEND == "rest":
            raise Problem("not needed by BACKEND rest", "", SKIPPED)
        from jasmin_arc.backends.bindings.loader import load_arc

        try:
            return f"the ARC bindings, version {load_arc().ARC_VERSION}"
        except BindingsNotFoundError as error:
            if self.config.BACKEND == "bindings":
                raise
            raise Problem("not found, so REST is used instead", "", SKIPPED) from error

    def certificate(self) -> str:
        from jasmin_arc.credentials.rfc3820 import name_text
        from jasmin_arc.credentials.user_certificate import read_chain

        cert = self._certificate = read_chain(self.config)[0]
        now, end = datetime.now(timezone.utc), cert.not_valid_after_utc
        found = f"{_short(self.config.CLIENT_CERT)} is {name_text(cert.subject)}, valid until {end:%Y-%m-%d %H:%M} UTC"
        if end <= now:
            raise Problem(f"{found}: it has expired", "Ask your certificate authority for a new one.")
        if cert.not_valid_before_utc > now:
            raise Problem(f"{found}: it is not valid yet", "Set this machine's clock.")
        if end - now < _SOON:
            raise Problem(f"{found}: it ends soon", "Ask your certificate authority for a new one.", WARNING)
        return found

    def private_key(self) -> str:
        from jasmin_arc.credentials.rfc3820 import belongs
        from jasmin_arc.credentials.user_certificate import read_key

        path = _short(self.config.CLIENT_KEY)
        key, _ = read_key(self.config, lambda: self._encrypted(path))
        if self._certificate is None:
            return f"{path} is private and can be read; there is no certificate to compare it with"
        if not belongs(key, self._certificate):
            raise Problem(
                f"{path} does not belong to the certificate {_short(self.config.CLIENT_CERT)}",
                "Set CLIENT_CERT and CLIENT_KEY to files of the same pair.",
            )
        return f"{path} is private, and belongs to the certificate"

    def _encrypted(self, path: str) -> str:
        raise Problem(
            f"{path} has a passphrase, so whether it belongs to the certificate is not known",
            "Run 'jasmin-arc proxy create' on a terminal before notebooks and scripts need the proxy.",
            WARNING,
        )

    def trusted(self) -> str:
        path = Path(self.config.CERTS_DIR)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        remedy = "Install your site's CA certificates (ca-policy, or IGTF's packages), and set CERTS_DIR to them."
        try:
            if not path.is_dir():
                context.load_verify_locations(cafile=str(path))
                return f"{_short(str(path))} holds {len(context.get_ca_certs())} CA certificates"
            hashed = [entry for entry in path.iterdir() if entry.suffix[1:].isdigit() and len(entry.stem) == 8]
        except (OSError, ssl.SSLError) as error:
            raise Problem(f"no CA certificates can be read from {_short(str(path))}: {error}", remedy) from error
        if not hashed:
            raise Problem(
                f"{_short(str(path))} holds no CA certificate under its hash, such as 5ed36f61.0",
                f"{remedy} 'openssl rehash DIRECTORY' makes the hashes.",
            )
        return f"{_short(str(path))} holds {len(hashed)} CA certificates"

    def proxy(self) -> str:
        manager = self._manager()
        try:
            self._proxy = manager.path()
        except ProxyGenerationError as error:
            if FAILED in (self.outcomes["certificate"], self.outcomes["private key"]):
                self._explain_without_certificate(manager, error)
            raise
        info = manager.info()
        assert info is not None
        found = _description(info)
        if info.voms and info.time_left < timedelta(seconds=self.config.PROXY_RENEWAL_THRESHOLD):
            raise Problem(f"{found}: it has VOMS attributes, so it is not renewed, and ends soon", _NEW_VOMS, WARNING)
        return found

    def _explain_without_certificate(self, manager: ProxyManager, error: ProxyGenerationError) -> None:
        """Tell what is wrong where no proxy can be made: a user may have nothing but a proxy."""
        info = manager.info()
        if info is None:
            raise Problem("it takes a valid certificate and its key (above) to make one", "", SKIPPED) from error
        if not info.voms:
            raise Problem(
                f"{_description(info)}: it is not used, and it takes a valid certificate and its key (above) to make "
                "another",
                "Correct what is wrong with the certificate and its key, or bring a new proxy.",
            ) from error

    def name(self) -> str:
        remedy = "Check ARC_SERVER for typing mistakes, and this machine's network."
        try:
            addresses = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Problem(f"the name {self._host} is not known here: {error}", remedy) from error
        return f"{self._host} is {', '.join(dict.fromkeys(str(entry[4][0]) for entry in addresses))}"

    def tls(self) -> str:
        if self.outcomes["name resolution"] != OK:
            raise Problem("the server's name is not known", "", SKIPPED)
        context = self._context()
        with self._connection() as plain, limited(plain.gettimeout() or 0):
            secure = context.wrap_socket(plain, server_hostname=self._host)
        with secure:
            return f"{self._host}:{self._port} answers, is trusted, and speaks {secure.version()}"

    def _connection(self) -> socket.socket:
        try:
            return socket.create_connection((self._host, self._port), timeout=min(self.config.TIMEOUT, 10))
        except OSError as error:
            raise Problem(
                f"cannot connect to {self._host}:{self._port}: {error.strerror or error}",
                "Check the port in ARC_SERVER; ask whether a firewall is in the way, and whether the server is up.",
            ) from error

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.sslsocket_class = DeadlineSocket
        where = "capath" if Path(self.config.CERTS_DIR).is_dir() else "cafile"
        try:
            context.load_verify_locations(**{where: self.config.CERTS_DIR})
        except OSError as error:
            raise Problem("there are no CA certificates to check the server with", "", SKIPPED) from error
        return context

    def rest(self) -> str:
        from jasmin_arc.backends.rest.api import Api

        client = self._rest_client()
        api = Api(client)
        base = api.base()
        self._published = api.info()
        self._client = client
        return f"the server speaks version {base.rpartition('/')[2]}, and lets this certificate in"

    def clock(self) -> str:
        from jasmin_arc.backends.rest.glue2 import parse_time

        now = datetime.now(timezone.utc)
        here = f"it is {now:%Y-%m-%d %H:%M:%S} UTC here"
        told = parse_time(found[1].decode()) if (found := _CREATED.search(self._published)) else None
        if told is None:
            raise Problem(f"{here}; the server has not told its time", "", SKIPPED)
        remedy = "Set the clock, best by NTP: certificates are valid by the clock."
        # What the server publishes is some minutes old, but never of the future.
        if told - now > _MOST_SKEW:
            raise Problem(f"{here}, at least {(told - now).total_seconds():.0f} s behind the server", remedy)
        if now - told > _OLDEST:
            found_ = f"{here}; the server's news is of {told:%Y-%m-%d %H:%M:%S}: old, or this clock is ahead"
            raise Problem(found_, remedy, WARNING)
        return f"{here}, as at the server, within minutes"

    def queues(self) -> str:
        if self._client is None:
            raise Problem("the server could not be asked", "", SKIPPED)
        from jasmin_arc.backends.rest.glue2 import site_info

        site = site_info(self._client.endpoint, self._published)
        if not site.queues:
            raise Problem(
                "the site offers this certificate no queue",
                "Ask the site to let you in, and tell them the name in your certificate (above).",
            )
        return f"{len(site.queues)}: {', '.join(queue.name for queue in site.queues)}"

    def _rest_client(self) -> Client:
        from jasmin_arc.backends.http.client import Client

        if self.outcomes["TLS"] != OK:
            raise Problem("the server is not reached, or not trusted (above)", "", SKIPPED)
        if self._proxy is None:
            raise Problem("it takes a proxy (above) to ask", "", SKIPPED)
        proxy = self._proxy
        return Client(
            self.config.endpoint,
            certs_dir=self.config.CERTS_DIR,
            timeout=self.config.TIMEOUT,
            credentials=lambda: proxy,
            log=self.log,
        )

    def _manager(self) -> ProxyManager:
        from jasmin_arc.credentials.proxy import ProxyManager

        return ProxyManager(self.config, self.log)


def _try_to_write(folder: Path, option: str) -> None:
    remedy = f"Free some space or quota there, or set {option} to a path on another disk."
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".jasmin_arc-doctor-") as file:
            file.write(bytes(_TRIAL))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Problem(f"cannot write to {_short(str(folder))} ({option}): {error.strerror}", remedy) from error
    if shutil.disk_usage(folder).free < _LEAST_SPACE:
        raise Problem(f"the disk of {_short(str(folder))} ({option}) is nearly full", remedy, WARNING)


def _description(info: ProxyInfo) -> str:
    return f"{_short(str(info.path))} of {info.identity}, valid until {info.expires:%Y-%m-%d %H:%M} UTC"


def _free(folder: Path) -> str:
    return f"{shutil.disk_usage(folder).free / 2**30:.1f} GB"


def _short(path: str) -> str:
    home = os.path.expanduser("~")  # noqa: PTH111
    return "~" + path[len(home) :] if home != "/" and path.startswith(home + "/") else path
