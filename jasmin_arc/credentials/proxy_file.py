"""A proxy as a file: what it says, whose it is, where it may stand."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from jasmin_arc._support.text import first_few
from jasmin_arc.credentials.rfc3820 import has_voms, holder, load_certificates, load_proxy, name_text
from jasmin_arc.credentials.user_certificate import MAX_BYTES
from jasmin_arc.credentials.voms import VomsAttributes, read_attributes
from jasmin_arc.exceptions import ProxyGenerationError


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
    """When the first certificate of its chain ends, or its VOMS attributes if they end earlier (UTC)."""
    voms: bool = False
    """Whether it carries VOMS attributes, which are renewed only where the option VOMS asks for them."""
    memberships: tuple[VomsAttributes, ...] = ()
    """Its VOMS attributes, by VO and server; empty where they cannot be read"""

    @property
    def attributes(self) -> tuple[str, ...]:
        """Its VOMS attributes: groups and roles, such as ``/atlas/uk/Role=production``."""
        return tuple(dict.fromkeys(name for membership in self.memberships for name in membership.names))

    @property
    def attributes_expire(self) -> datetime | None:
        """When the first of its VOMS attributes ends (UTC); ``None`` if it has none that can be read."""
        return min((membership.expires for membership in self.memberships), default=None)

    @property
    def attributes_text(self) -> str:
        """Its VOMS attributes in words."""
        if self.voms and not self.attributes:
            return "VOMS attributes that cannot be read"
        return f"VOMS: {first_few(self.attributes)}" if self.voms else "no VOMS attributes"

    @property
    def time_left(self) -> timedelta:
        """How long it still lasts; negative when it has expired."""
        return self.expires - datetime.now(timezone.utc)


def read_proxy(path: str | os.PathLike[str]) -> ProxyInfo:
    """Read a proxy file that belongs to this user and that nobody else can read."""
    with proxy_errors(Path(path)):
        return proxy_info(Path(path), read_own_file(Path(path), private=True))


@contextlib.contextmanager
def proxy_errors(path: Path) -> Iterator[None]:
    """Name the proxy file in the error for whatever is wrong with it."""
    try:
        yield
    except OSError as error:
        raise ProxyGenerationError(f"cannot read the proxy {path}: {error.strerror}") from error
    except ValueError as error:
        raise ProxyGenerationError(f"the proxy {path} cannot be used: it {error}") from error


def proxy_info(path: Path, pem: bytes) -> ProxyInfo:
    certificates = load_proxy(pem)[0]
    chain = holder(certificates)
    # All certificates count: the chain of the holder ends at the first proxy of the older kind.
    voms = has_voms(certificates)
    memberships: tuple[VomsAttributes, ...] = ()
    if voms:
        # A site may read what this library cannot.
        with contextlib.suppress(ValueError):
            memberships = read_attributes(certificates)
    ends = [*(cert.not_valid_after_utc for cert in chain), *(membership.expires for membership in memberships)]
    return ProxyInfo(
        path=path,
        subject=name_text(chain[0].subject),
        identity=name_text(chain[-1].subject),
        not_before=chain[0].not_valid_before_utc,
        expires=min(ends),
        voms=voms,
        memberships=memberships,
    )


def carries_voms(path: Path) -> bool:
    """Say whether the certificates of a proxy file that cannot be used as it is have VOMS attributes."""
    try:
        return has_voms(load_certificates(read_own_file(path)))
    except (OSError, ValueError):
        return False


def read_own_file(path: Path, *, private: bool = False) -> bytes:
    """Read a file of this user, which is no link, and if ``private`` of nobody else; a ValueError for anything else."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid():
            raise ValueError("is not a file of this user")
        if private and state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ValueError("is open to other users, who may know its key; remove it and make a new one")
        return file.read(MAX_BYTES)


def write_own_file(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def is_free_or_mine(path: Path) -> bool:
    try:
        state = path.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid()


def own_places() -> list[Path]:
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
def private_folder(target: Path) -> Iterator[Path]:
    """Make a private folder beside the proxy for as long as one is made."""
    folder = None
    try:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".arcproxy-", dir=target.parent))
        yield folder
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what, advice = f"there is no space, or no quota, left in {target.parent}", "free some"
        else:
            what, advice = f"{target} (PROXY_FILE) cannot be written: {error.strerror}", "check its folder"
        advice += ", or set PROXY_FILE to another path"
        raise ProxyGenerationError(f"cannot create a proxy: {what}", advice=advice) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
