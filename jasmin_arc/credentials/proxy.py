"""Make, read and renew the proxy certificate: by ARC's ``arcproxy``, or natively where it is missing."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from jasmin_arc._support.text import first_few, utc
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.credentials import Credentials
from jasmin_arc.credentials.arcproxy import run_arcproxy
from jasmin_arc.credentials.delegation import sign_request
from jasmin_arc.credentials.proxy_file import (
    ProxyInfo,
    carries_voms,
    is_free_or_mine,
    own_places,
    private_folder,
    proxy_errors,
    proxy_info,
    read_own_file,
    read_proxy,
    write_own_file,
)
from jasmin_arc.credentials.rfc3820 import holder, make_proxy, name_text
from jasmin_arc.credentials.token import token_is_there
from jasmin_arc.credentials.user_certificate import KeyPair, read_chain, read_key_pair
from jasmin_arc.credentials.voms import Wanted, extension
from jasmin_arc.exceptions import Advice, ProxyGenerationError

if TYPE_CHECKING:
    from jasmin_arc.credentials.voms_server import VomsServer

MIN_TIME_LEFT = timedelta(seconds=60)
"""A proxy that cannot be renewed is used as long as it lasts this long."""

DELEGATIONS_SUFFIX = ".delegations"
"""How the name of the file ends that stands beside the proxy and tells which delegations were made with it."""

_RETRY_SECONDS = 60.0
_HAS_VOMS = "it has VOMS attributes, which a new one would not have"
_ADMISSION = "ask the site to let in the owner of this certificate"
_KEEP_VOMS = Advice(
    "make a new one with the program that made it, such as 'arcproxy -S' or 'voms-proxy-init'; or set VOMS, so that "
    "this library makes it; or run {proxy_destroy} to use a plain proxy"
)
_OTHER_VOMS = Advice(
    "set VOMS to what it has; or set PROXY_FILE to another path, to have both; or run {proxy_destroy}, after which a "
    "new one is made"
)


class ProxyManager(Credentials):
    """Keeps a proxy certificate that lasts long enough. Threads and processes may share its file.

    The file is always replaced as a whole, so that several processes that renew it at the same time do no harm:
    each reads a complete proxy, and the last one stays.

    A proxy with VOMS attributes is used while it lasts, and never replaced before its end by one without them: a site
    that asks for them would turn that away. Where the option VOMS is set, a new proxy has the attributes that it names,
    and one that has them already is renewed with them.

    :param passphrase: returns the passphrase of an encrypted private key; without it a terminal is asked, though not
        by a daemon thread, which nobody could interrupt. It is used once and not kept
    """

    def __init__(
        self, config: ConnectionConfig, log: logging.Logger, *, passphrase: Callable[[], str] | None = None
    ) -> None:
        self._config = config
        self._wanted = Wanted.of(config.VOMS)
        self._log = log
        self._passphrase = passphrase
        self._lock = threading.Lock()
        self._cached: tuple[object, ProxyInfo] | None = None
        self._accepted: ProxyInfo | None = None
        self._warned_of: ProxyInfo | None = None
        self._retry_at = 0.0

    def path(self) -> Path:
        """Return the path of a proxy that lasts at least ``PROXY_RENEWAL_THRESHOLD`` seconds.

        It is made or renewed when needed. One that cannot be renewed, or that has VOMS attributes that are not asked
        for, is returned, with a warning, while it still lasts a minute.

        :raises ProxyGenerationError: if there is none and none can be made, if one with VOMS attributes has ended, or
            if it has other attributes than VOMS asks for
        """
        try:
            with self._lock:
                return self._usable()
        except ProxyGenerationError as error:
            if self._config.AUTH == "auto" and "AUTH" not in error.advice and token_is_there(self._config):
                before = Advice("{advice}; or ", advice=error.advice) if error.advice else ""
                error.advice = Advice("{before}set AUTH to token, to use the token that there is", before=before)
            raise

    def _usable(self) -> Path:
        present = self._present()
        if present is None or self._lacks_attributes(present):
            return self._make()
        if present.time_left >= self._min_left:
            return present.path
        return self._used_voms(present) if present.voms and self._wanted is None else self._renewed(present)

    def read(self) -> bytes:
        """Return the content of the proxy file that :meth:`path` gives. It holds the private key.

        :raises ProxyGenerationError: as :meth:`path` does, and if the file cannot be read or used any more
        """
        path = self.path()
        with proxy_errors(path):
            pem = read_own_file(path, private=True)
            # Another process may have replaced it.
            proxy_info(path, pem)
        return pem

    def ensure(self) -> None:
        self.path()

    def expires(self) -> datetime | None:
        """Return when the present proxy ends; ``None`` where there is none.

        :raises ProxyGenerationError: if a file is there and is no proxy that may be used
        """
        info = self.info()
        return info.expires if info is not None else None

    def owner(self) -> str:
        """Return the name in the certificate that the proxy was made from, as ARC writes it."""
        info = self._described(self.path())
        return info.identity if info is not None else ""

    def described(self) -> str:
        """Say what a server is shown, such as ``the certificate of /O=Example/CN=Jane (VOMS: /atlas)``."""
        info = self._known()
        if info is None:
            return f"the certificate {self._config.CLIENT_CERT}"
        return f"the certificate of {info.identity}{f' ({info.attributes_text})' if info.voms else ''}"

    def when_refused(self, why: str) -> str:  # noqa: ARG002 - servers do not tell
        info = self._known()
        if info is not None and info.voms:
            return f"{_ADMISSION}, or one of these attributes"
        vo = "it has no VOMS attributes: if the site lets in a virtual organisation of yours, set VOMS to its name"
        return f"{_ADMISSION}; {vo}"

    def _known(self) -> ProxyInfo | None:
        with contextlib.suppress(ProxyGenerationError):
            return self.info()
        return None

    def client_certificate(self) -> Path:
        """Return the file with the proxy and its key, as :meth:`path` does."""
        return self.path()

    def sign(self, request: bytes) -> bytes:
        pem = self.read()
        # Servers tell when what was delegated ends, and nothing of attributes that end before.
        return sign_request(request, pem, until=proxy_info(self.path(), pem).expires)

    def create(self) -> Path:
        """Make a new proxy in place of the present one.

        :raises ProxyGenerationError: if it cannot be made, or the present one has not ended and has VOMS attributes
            that the new one would not have
        """
        with self._lock:
            self._refuse_to_replace_voms()
            return self._make()

    def info(self) -> ProxyInfo | None:
        """Describe the present proxy, expired or not; ``None`` where there is none.

        :raises ProxyGenerationError: if a file is there and is no proxy that may be used
        """
        return self._described(self._target())

    def destroy(self) -> bool:
        """Remove the present proxy, and the note of the delegations that were made with it.

        :returns: whether there was one
        :raises ProxyGenerationError: if it cannot be removed
        """
        target = self._target()
        with contextlib.suppress(OSError):
            target.with_name(target.name + DELEGATIONS_SUFFIX).unlink()
        try:
            target.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ProxyGenerationError(f"cannot remove the proxy {target}: {error.strerror}") from error
        return True

    def _described(self, target: Path) -> ProxyInfo | None:
        """Describe the proxy at the path, if there is one. The file is read again only when it has changed."""
        with proxy_errors(target):
            try:
                state = target.lstat()
            except FileNotFoundError:
                return None
        # Each request asks for the proxy. A clock that ticks slowly must not hide a new mode or owner.
        version = (target, state.st_ino, state.st_ctime_ns, state.st_size, state.st_mode, state.st_uid)
        if self._cached is None or self._cached[0] != version:
            self._cached = (version, read_proxy(target))
        return self._cached[1]

    def _present(self) -> ProxyInfo | None:
        """The present proxy, if it may be used for the configured certificate."""
        target = self._target()
        try:
            info = self._described(target)
        except ProxyGenerationError as error:
            if carries_voms(target):
                raise
            self._log.warning("the present proxy is not used: %s", error)
            return None
        if info is None or info == self._accepted:
            return info
        self._accepted = info if self._is_mine(info) else None
        return self._accepted

    def _is_mine(self, info: ProxyInfo) -> bool:
        try:
            identity = name_text(holder(read_chain(self._config))[-1].subject)
        except ProxyGenerationError:
            return True  # a user may have nothing but a proxy
        if info.voms and info.identity != identity:
            raise ProxyGenerationError(
                f"the proxy {info.path} has VOMS attributes, but was made for {info.identity}, not for CLIENT_CERT's "
                f"{identity}",
                advice=Advice("set CLIENT_CERT to its certificate, or run {proxy_destroy}"),
            )
        if info.identity != identity:
            self._log.warning("the present proxy %s is not used: it was made for %s", info.path, info.identity)
        return info.identity == identity

    @property
    def _min_left(self) -> timedelta:
        return timedelta(seconds=self._config.PROXY_RENEWAL_THRESHOLD)

    def _lacks_attributes(self, present: ProxyInfo) -> bool:
        """Say whether the proxy is to be replaced by one with the attributes that VOMS asks for.

        :raises ProxyGenerationError: if it has others
        """
        if self._wanted is None or self._wanted.is_in(present.attributes):
            return False
        if present.voms and present.time_left > timedelta(0):
            raise ProxyGenerationError(
                f"the proxy {present.path} has {present.attributes_text}, and VOMS asks for {self._wanted}",
                advice=_OTHER_VOMS,
            )
        return True

    def _used_voms(self, present: ProxyInfo) -> Path:
        """Use a proxy with VOMS attributes while it lasts: one that is made here would not have them."""
        ends = "ends" if present.time_left > timedelta(0) else "ended"
        problem = ProxyGenerationError(
            f"the proxy {present.path} {ends} at {utc(present.expires)}, and is not renewed: {_HAS_VOMS}",
            advice=_KEEP_VOMS,
        )
        if present.time_left <= MIN_TIME_LEFT:
            raise problem
        if self._warned_of != present:
            self._warned_of = present
            self._log.warning("%s", problem)
        return present.path

    def _refuse_to_replace_voms(self, new: ProxyInfo | None = None) -> None:
        """Keep VOMS attributes that a new proxy would not have, as far as is known without it."""
        target = self._target()
        try:
            present = self._described(target)
        except ProxyGenerationError:
            if carries_voms(target):
                raise
            return  # Any other file that cannot be used may be replaced.
        if present is None or not present.voms or present.time_left <= timedelta(0):
            return
        kept = f"the proxy {present.path} is valid until {utc(present.expires)}, and is not replaced"
        if self._wanted is None:
            raise ProxyGenerationError(f"{kept}: {_HAS_VOMS}", advice=_KEEP_VOMS)
        self._lacks_attributes(present)
        lost = [name for name in present.attributes if new is not None and name not in new.attributes]
        if lost and present.time_left > MIN_TIME_LEFT:
            raise ProxyGenerationError(f"{kept}: a new one would not have {first_few(lost)}", advice=_OTHER_VOMS)

    def _renewed(self, present: ProxyInfo) -> Path:
        usable = present.time_left > MIN_TIME_LEFT
        if usable and time.monotonic() < self._retry_at:
            return present.path
        try:
            return self._make(longer_than=present.expires)
        except ProxyGenerationError as error:
            if not usable:
                raise
            # Neither the attempt nor the warning is worth repeating for every request.
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            ends = utc(present.expires)
            self._log.warning("the proxy %s ends at %s and is not renewed: %s", present.path, ends, error)
            return present.path

    def _make(self, *, longer_than: datetime | None = None) -> Path:
        pair = read_key_pair(self._config, passphrase=self._passphrase, longer_than=longer_than)
        target = self._target()
        with private_folder(target) as folder:
            made = self._made(pair, folder)
            info = read_proxy(made)
            self._check_attributes(info)
            # Meanwhile the user may have made one with VOMS attributes.
            self._refuse_to_replace_voms(info)
            made.replace(target)
        # Some VOs give attributes for less time than this asks for.
        short = info.voms and info.time_left < self._min_left
        self._retry_at = time.monotonic() + _RETRY_SECONDS if short else 0.0
        self._log.info("made the proxy %s for %s, valid until %s", target, info.identity, utc(info.expires))
        return target

    def _made(self, pair: KeyPair, folder: Path) -> Path:
        """Make a proxy in a private folder."""
        made, program = folder / "proxy", self._config.ARCPROXY_PATH
        native = not (Path(program).is_file() and os.access(program, os.X_OK))
        servers: list[VomsServer] = []
        more = []
        if self._wanted is not None:
            from jasmin_arc.credentials.voms_server import fetch, servers_of

            servers = servers_of(self._wanted.vo)
            more = [extension(fetch(self._config, pair.passphrase, self._wanted, servers))] if native else []
        if native:
            self._log.debug("there is no %s: the proxy is made without it", program)
            lifetime = timedelta(seconds=self._config.PROXY_VALIDITY_PERIOD)
            write_own_file(made, make_proxy(pair.chain, pair.key, lifetime=lifetime, more=more))
        else:
            # It does not say why it could not write.
            write_own_file(folder / "space", bytes(1 << 14))
            (folder / "space").unlink()
            run_arcproxy(self._config, made, passphrase=pair.passphrase, voms=servers)
        return made

    def _check_attributes(self, made: ProxyInfo) -> None:
        # arcproxy counts a proxy without the attributes as success.
        if self._wanted is None:
            return
        if not self._wanted.is_in(made.attributes):
            found = f"the VO {self._wanted.vo} gives {made.attributes_text}, and VOMS asks for {self._wanted}"
            advice = f"ask the VO {self._wanted.vo} for it, or set VOMS to what you have"
            raise ProxyGenerationError(f"cannot create a proxy: {found}", advice=advice)
        if made.time_left <= MIN_TIME_LEFT:
            found = f"the VO {self._wanted.vo} gives attributes that end at {utc(made.expires)}"
            raise ProxyGenerationError(f"cannot create a proxy: {found}", advice="check this machine's clock")

    def _target(self) -> Path:
        configured = Path(self._config.PROXY_FILE).absolute()
        others = own_places() if self._config.is_default("PROXY_FILE") else []
        for candidate in (configured, *others):
            if is_free_or_mine(candidate):
                return candidate
        raise ProxyGenerationError(
            f"the proxy file {configured} (PROXY_FILE) is a link, not a file, or belongs to somebody else",
            advice="set PROXY_FILE to a path of your own",
        )
