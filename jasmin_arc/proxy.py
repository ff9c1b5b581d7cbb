"""Make, read and renew the proxy certificate: by ARC's ``arcproxy``, or natively where it is missing."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from jasmin_arc.arcproxy import is_available, run_arcproxy
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.exceptions import ProxyGenerationError
from jasmin_arc.proxy_credentials import MOST_BYTES, Credentials, read_chain, read_credentials

LEAST_TIME_LEFT = timedelta(seconds=60)
"""A proxy that cannot be renewed is used as long as it lasts this long."""

_RETRY_SECONDS = 60.0


@dataclass(frozen=True)
class ProxyInfo:
    """What is known of a proxy file; no key material."""

    path: Path
    subject: str
    """The proxy's own name, such as ``/DC=org/CN=Jane Doe/CN=1234``."""
    identity: str
    """The name of the person's certificate that it was made from."""
    not_before: datetime
    expires: datetime
    """When the first certificate of its chain ends (UTC)."""

    @property
    def time_left(self) -> timedelta:
        """How long it still lasts; negative when it has expired."""
        return self.expires - datetime.now(timezone.utc)


class ProxyManager:
    """Keeps a proxy certificate that lasts long enough. Threads and processes may share its file.

    The file is always replaced as a whole, so that several processes that renew it at the same time do no harm:
    each reads a complete proxy, and the last one stays.

    :param passphrase: returns the passphrase of an encrypted private key; without it a terminal is asked, though not
        by a daemon thread, which nobody could interrupt. It is used once and not kept
    """

    def __init__(
        self, config: ConnectionConfig, log: logging.Logger, *, passphrase: Callable[[], str] | None = None
    ) -> None:
        self._config = config
        self._log = log
        self._passphrase = passphrase
        self._lock = threading.Lock()
        self._cached: tuple[object, ProxyInfo] | None = None
        self._retry_at = 0.0

    def path(self) -> Path:
        """Return the path of a proxy that lasts at least ``PROXY_RENEWAL_THRESHOLD`` seconds.

        It is made or renewed when needed. One that cannot be renewed is returned, with a warning, while it still
        lasts a minute.

        :raises ProxyGenerationError: if there is none and none can be made; the message says what to do
        """
        with self._lock:
            present = self._present()
            if present is None:
                return self._make(self._credentials())
            if present.time_left >= timedelta(seconds=self._config.PROXY_RENEWAL_THRESHOLD):
                return present.path
            return self._renewed(present)

    def create(self) -> Path:
        """Make a new proxy, whatever is there already.

        :raises ProxyGenerationError: if it cannot be made; the message says what to do
        """
        with self._lock:
            return self._make(self._credentials())

    def info(self) -> ProxyInfo | None:
        """Describe the present proxy, expired or not; ``None`` where there is none.

        :raises ProxyGenerationError: if a file is there and is no proxy that may be used
        """
        target = self._target()
        return read_proxy(target) if os.path.lexists(target) else None

    def destroy(self) -> bool:
        """Remove the present proxy.

        :returns: whether there was one
        :raises ProxyGenerationError: if it cannot be removed
        """
        target = self._target()
        try:
            target.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ProxyGenerationError(f"cannot remove the proxy {target}: {error.strerror}") from error
        return True

    def _present(self) -> ProxyInfo | None:
        """The present proxy, if it may be used for the configured certificate."""
        target = self._target()
        try:
            state = target.lstat()
        except FileNotFoundError:
            return None
        version = (target, state.st_ino, state.st_ctime_ns, state.st_size)
        if self._cached is not None and self._cached[0] == version:
            return self._cached[1]
        try:
            info = read_proxy(target)
        except ProxyGenerationError as error:
            self._log.warning("the present proxy is not used: %s", error)
            return None
        if not self._is_mine(info):
            return None
        self._cached = (version, info)
        return info

    def _is_mine(self, info: ProxyInfo) -> bool:
        from jasmin_arc.proxy_certificate import holder, name_text

        try:
            identity = name_text(holder(read_chain(self._config))[-1].subject)
        except ProxyGenerationError:
            return True  # a user may have nothing but a proxy
        if info.identity != identity:
            self._log.warning("the present proxy %s is not used: it was made for %s", info.path, info.identity)
        return info.identity == identity

    def _renewed(self, present: ProxyInfo) -> Path:
        usable = present.time_left > LEAST_TIME_LEFT
        if usable and time.monotonic() < self._retry_at:
            return present.path
        try:
            return self._make(self._credentials(longer_than=present.expires))
        except ProxyGenerationError as error:
            if not usable:
                raise
            # Neither the attempt nor the warning is worth repeating for every request.
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            self._log.warning("the proxy %s ends at %s and is not renewed: %s", present.path, present.expires, error)
            return present.path

    def _credentials(self, *, longer_than: datetime | None = None) -> Credentials:
        return read_credentials(self._config, passphrase=self._passphrase, longer_than=longer_than)

    def _make(self, credentials: Credentials) -> Path:
        target = self._target()
        with _translated(target), _private_folder(target) as folder:
            made = folder / "proxy"
            if is_available(self._config):
                _check_space(folder)
                run_arcproxy(self._config, made, passphrase=credentials.passphrase)
            else:
                _write(made, self._native(credentials))
            info = read_proxy(made)
            made.replace(target)
        self._retry_at = 0.0
        self._log.info("made the proxy %s for %s, valid until %s", target, info.identity, info.expires)
        return target

    def _native(self, credentials: Credentials) -> bytes:
        from jasmin_arc.proxy_certificate import make_proxy

        self._log.info("there is no %s: the proxy is made without it", self._config.ARCPROXY_PATH)
        lifetime = timedelta(seconds=self._config.PROXY_VALIDITY_PERIOD)
        return make_proxy(credentials.chain, credentials.key, lifetime=lifetime)

    def _target(self) -> Path:
        configured = Path(self._config.PROXY_FILE).absolute()
        candidates = [configured]
        if self._config.is_default("PROXY_FILE"):
            candidates += _own_places()
        for candidate in candidates:
            if _is_free_or_mine(candidate):
                return candidate
        raise ProxyGenerationError(
            f"the proxy file {configured} (PROXY_FILE) is a link, not a file, or belongs to somebody else; "
            "set PROXY_FILE to a path of your own"
        )


def read_proxy(path: str | os.PathLike[str]) -> ProxyInfo:
    """Read a proxy file that belongs to this user and that nobody else can read.

    :raises ProxyGenerationError: if it cannot be read, is not private, or is no proxy
    """
    path = Path(path)
    try:
        return _proxy_info(path, _read_private(path))
    except OSError as error:
        raise ProxyGenerationError(f"cannot read the proxy {path}: {error.strerror}") from error
    except ValueError as error:
        raise ProxyGenerationError(f"the proxy {path} cannot be used: it {error}") from error


def _proxy_info(path: Path, pem: bytes) -> ProxyInfo:
    from jasmin_arc.proxy_certificate import belongs, holder, load_certificates, load_key, name_text

    chain = holder(load_certificates(pem))
    if not belongs(load_key(pem), chain[0]):
        raise ValueError("holds a private key that does not belong to its certificate")
    return ProxyInfo(
        path=path,
        subject=name_text(chain[0].subject),
        identity=name_text(chain[-1].subject),
        not_before=chain[0].not_valid_before_utc,
        expires=min(cert.not_valid_after_utc for cert in chain),
    )


def _read_private(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid():
            raise ValueError("is not a file of this user")
        if state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ValueError("is open to other users, who may know its key; remove it and make a new one")
        return file.read(MOST_BYTES)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _is_free_or_mine(path: Path) -> bool:
    try:
        state = path.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid()


def _own_places() -> list[Path]:
    """Where a proxy stands when another user has taken the default path."""
    places = [Path("~/.arc").expanduser()] if os.path.expanduser("~") != "~" else []  # noqa: PTH111 - may not be known
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or "-")
    with contextlib.suppress(OSError):
        state = runtime.lstat()
        private = stat.S_ISDIR(state.st_mode) and stat.S_IMODE(state.st_mode) == stat.S_IRWXU
        if runtime.is_absolute() and private and state.st_uid == os.geteuid():
            places.insert(0, runtime)
    return [place / "arcproxy_file" for place in places]


@contextlib.contextmanager
def _private_folder(beside: Path) -> Iterator[Path]:
    beside.parent.mkdir(mode=0o700, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".arcproxy-", dir=beside.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _translated(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = f"there is no space, or no quota, left in {target.parent}; free some"
        else:
            what = f"{target} (PROXY_FILE) cannot be written: {error.strerror}; check its folder"
        raise ProxyGenerationError(f"cannot create a proxy: {what}, or set PROXY_FILE to another path") from error


def _check_space(folder: Path) -> None:
    # arcproxy does not say why it could not write.
    _write(folder / "space", bytes(1 << 14))
    (folder / "space").unlink()
