"""VOMS attributes: what a virtual organisation (VO) says of the holder of a proxy, in an extension of the proxy.

Nothing here is verified. A compute element verifies them, which knows the servers of the VOs that it lets in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier

from jasmin_arc._support.text import printable

VOMS_ATTRIBUTES = ObjectIdentifier("1.3.6.1.4.1.8005.100.100.5")
"""The extension of a proxy that has the attribute certificates"""
_NAMES = "1.3.6.1.4.1.8005.100.100.4"
_MOST = 1000
_SEQUENCE = 0x30


@dataclass(frozen=True)
class VomsAttributes:
    """What one attribute certificate says."""

    vo: str
    server: str
    """The host and port of the VO's server"""
    names: tuple[str, ...]
    """Groups and roles, such as ``/atlas/uk/Role=production``. The server has put the most important one first."""
    expires: datetime


class Wanted(NamedTuple):
    """What the option VOMS asks for."""

    vo: str
    name: str
    """A group, perhaps with a role; an empty text where any group of the VO will do"""

    @classmethod
    def of(cls, option: str) -> Wanted | None:
        vo, _, name = option.partition(":")
        return cls(vo, name) if vo else None

    def is_in(self, names: Iterable[str]) -> bool:
        """Say whether these attributes have what is asked for."""
        return any(name == self.name if self.name else f"{name}/".startswith(f"/{self.vo}/") for name in names)

    def __str__(self) -> str:
        return self.name or f"/{self.vo}"


def read_attributes(certs: Iterable[x509.Certificate]) -> tuple[VomsAttributes, ...]:
    """Read the attributes of all these certificates, the first one first.

    :raises ValueError: if they cannot be read
    """
    return tuple(found for cert in certs for found in _of_extension(_extension(cert)))


def extension(attribute_certificate: bytes) -> x509.UnrecognizedExtension:
    """Return the extension of a proxy that is to carry one attribute certificate (DER)."""
    return x509.UnrecognizedExtension(VOMS_ATTRIBUTES, _sequence(_sequence(attribute_certificate)))


def _extension(cert: x509.Certificate) -> bytes:
    try:
        value = cert.extensions.get_extension_for_oid(VOMS_ATTRIBUTES).value
    except x509.ExtensionNotFound:
        return b""
    assert isinstance(value, x509.UnrecognizedExtension)
    return value.value


def _of_extension(value: bytes) -> Iterator[VomsAttributes]:
    if not value:
        return
    # Few proxies have attributes, and these libraries take longer to load than all that reads other proxies.
    from pyasn1.codec.der.decoder import decode
    from pyasn1.error import PyAsn1Error
    from pyasn1.type.univ import SequenceOf
    from pyasn1_modules.rfc5755 import AttributeCertificate

    certificates = SequenceOf(componentType=SequenceOf(componentType=AttributeCertificate()))
    try:
        found, rest = decode(value, asn1Spec=certificates)
        if rest:
            raise ValueError("something follows them")
        read = [_read(certificate["acinfo"]) for certificates in found for certificate in certificates]
    except (PyAsn1Error, ValueError, OverflowError, RecursionError) as error:
        raise ValueError("has VOMS attributes that cannot be read") from error
    yield from read


def _read(info: Any) -> VomsAttributes:
    from pyasn1.codec.der.decoder import decode
    from pyasn1_modules.rfc5755 import IetfAttrSyntax

    expires = info["attrCertValidityPeriod"]["notAfterTime"].asDateTime
    values = [
        value for attribute in info["attributes"] if str(attribute["type"]) == _NAMES for value in attribute["values"]
    ]
    names: list[str] = []
    place = ""
    for value in values:
        syntax, _ = decode(bytes(value), asn1Spec=IetfAttrSyntax())
        for authority in syntax["policyAuthority"]:
            place = place or str(authority["uniformResourceIdentifier"])
        names += [_plain(bytes(name["octets"]).decode()) for name in syntax["values"]]
    if not 0 < len(names) <= _MOST:
        raise ValueError(f"there are {len(names)} names")
    vo, _, server = place.partition("://")
    return VomsAttributes(
        vo=printable(vo) or names[0].split("/")[1],
        server=printable(server),
        names=tuple(dict.fromkeys(names)),
        expires=expires.astimezone(timezone.utc) if expires.tzinfo else expires.replace(tzinfo=timezone.utc),
    )


def _plain(name: str) -> str:
    """Return the name of a group or role without what VOMS writes where there is no role."""
    if not name.startswith("/"):
        raise ValueError("it is not the name of a group")
    return printable(name.removesuffix("/Capability=NULL").removesuffix("/Role=NULL"))


def _sequence(content: bytes) -> bytes:
    """Put the content into a SEQUENCE, in DER."""
    size = len(content)
    length = bytes([size]) if size < 0x80 else _long(size.to_bytes((size.bit_length() + 7) // 8, "big"))
    return bytes([_SEQUENCE]) + length + content


def _long(length: bytes) -> bytes:
    return bytes([0x80 | len(length)]) + length
