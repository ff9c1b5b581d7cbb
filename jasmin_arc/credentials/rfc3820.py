"""RFC 3820 proxy certificates, as PEM texts and objects of ``cryptography``; no files.

Whatever is wrong with a text or a key is a :class:`ValueError` that says what, and never quotes it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Union

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

PublicKey = Union[rsa.RSAPublicKey, ec.EllipticCurvePublicKey]
PrivateKey = Union[rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey]

NEVER = datetime.max.replace(tzinfo=timezone.utc)
PROXY_CERT_INFO = ObjectIdentifier("1.3.6.1.5.5.7.1.14")
# The bytes of two extensions' names in a certificate (DER): the one above, and 1.3.6.1.4.1.8005.100.100.5
_PROXY_CERT_INFO_BYTES = bytes.fromhex("06082b0601050507010e")
_VOMS_ATTRIBUTES_BYTES = bytes.fromhex("060a2b06010401be45646405")
# SEQUENCE { SEQUENCE { OBJECT IDENTIFIER id-ppl-inheritAll } }: RFC 3820, 3.8
_INHERIT_ALL = bytes.fromhex("300c300a06082b06010505071501")
# Clocks differ; ARC's own tools date proxies back by the same five minutes.
_BACK_DATED = timedelta(minutes=5)
_KEY_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----[ \t]*\n?", re.DOTALL)
_ENCRYPTED = re.compile(rb"\A-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED", re.MULTILINE)


class WrongPassphraseError(ValueError):
    """A private key cannot be decrypted with this passphrase."""


def sign_proxy(
    public_key: PublicKey,
    *,
    issuer_cert: x509.Certificate,
    issuer_key: PrivateKey,
    lifetime: timedelta = timedelta.max,
    until: datetime = NEVER,
    more: Iterable[x509.UnrecognizedExtension] = (),
) -> x509.Certificate:
    """Sign a proxy certificate that inherits all rights of its issuer and never outlives it.

    :param until: when it ends at the latest
    :param more: extensions that are not critical
    """
    now = datetime.now(timezone.utc).replace(microsecond=0)
    end = min(issuer_cert.not_valid_after_utc, until)
    if not issuer_cert.not_valid_before_utc <= now < end:
        raise ValueError("has expired, or is not valid yet")
    serial = secrets.randbits(63) + 1
    common_name = x509.NameAttribute(NameOID.COMMON_NAME, str(serial))
    others = ("content_commitment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
    usage = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    usage.update(digital_signature=True, key_encipherment=isinstance(public_key, rsa.RSAPublicKey))
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*issuer_cert.subject.rdns, x509.RelativeDistinguishedName([common_name])]))
        .issuer_name(issuer_cert.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(max(now - _BACK_DATED, issuer_cert.not_valid_before_utc))
        .not_valid_after(now + min(lifetime, end - now))
        .add_extension(x509.UnrecognizedExtension(PROXY_CERT_INFO, _INHERIT_ALL), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
    )
    for extension in more:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def make_proxy(
    chain: Sequence[x509.Certificate],
    key: PrivateKey,
    *,
    lifetime: timedelta,
    more: Iterable[x509.UnrecognizedExtension] = (),
) -> bytes:
    """Make a new key and a proxy certificate for it: the whole text of a proxy file, private key included.

    :param chain: the certificate that signs, which the key belongs to, then those that vouch for it
    :param more: extensions for the proxy that are not critical
    """
    proxy_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    proxy = sign_proxy(proxy_key.public_key(), issuer_cert=chain[0], issuer_key=key, lifetime=lifetime, more=more)
    key_pem = proxy_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return chain_pem([proxy]) + key_pem + chain_pem(chain)


def chain_pem(certs: Iterable[x509.Certificate]) -> bytes:
    """Write the certificates one after the other."""
    return b"".join(cert.public_bytes(serialization.Encoding.PEM) for cert in certs)


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """Read all certificates of a text that may hold keys too, in its order: at least one."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except (ValueError, x509.InvalidVersion) as error:
        raise ValueError("holds no valid PEM certificate") from error


def load_proxy(pem: bytes) -> tuple[list[x509.Certificate], PrivateKey]:
    """Read the certificates and the private key of a proxy file.

    The key must belong to the first certificate. That the numbers of an RSA key fit together is not checked, which
    takes 100 ms or more: the program that made the key did so, and a server checks each signature made with it.
    """
    chain, key = load_certificates(pem), load_key(pem, check=False)
    if not belongs(key, chain[0]):
        raise ValueError("holds a private key that does not belong to its certificate")
    return chain, key


def is_encrypted(pem: bytes) -> bool:
    """Say whether the private key in the text needs a passphrase."""
    return _ENCRYPTED.search(_key_block(pem)) is not None


def load_key(pem: bytes, passphrase: bytes | None = None, *, check: bool = True) -> PrivateKey:
    """Read the private key, RSA or EC, of a text that may hold certificates too.

    :param check: check that the numbers of an RSA key fit together, which takes 100 ms or more
    """
    block = _key_block(pem)
    try:
        secret = passphrase if is_encrypted(pem) else None
        key = serialization.load_pem_private_key(block, secret, unsafe_skip_rsa_key_validation=not check)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if is_encrypted(pem):
            raise WrongPassphraseError("cannot be decrypted: the passphrase is wrong") from error
        raise ValueError("holds no valid private key") from error
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        raise ValueError("holds a private key that is neither RSA nor EC")
    return key


def belongs(key: PrivateKey, cert: x509.Certificate) -> bool:
    """Say whether it is the certificate of this key."""
    try:
        return cert.public_key() == key.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False


def holder(chain: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Cut the chain after its first certificate that is no proxy: that is who holds the proxies before it."""
    proxies = next((index for index, cert in enumerate(chain) if not is_proxy(cert)), len(chain))
    return list(chain[: proxies + 1])


def is_proxy(cert: x509.Certificate) -> bool:
    """Say whether it is an RFC 3820 proxy certificate."""
    # Here and below nothing is parsed: one extension that cryptography cannot read makes it refuse them all.
    return _PROXY_CERT_INFO_BYTES in cert.tbs_certificate_bytes


def has_voms(certs: Iterable[x509.Certificate]) -> bool:
    """Say whether one of the certificates carries VOMS attributes: what its holder is in a virtual organisation."""
    return any(_VOMS_ATTRIBUTES_BYTES in cert.tbs_certificate_bytes for cert in certs)


def name_text(name: x509.Name) -> str:
    """Write a name as ARC's tools do: ``/DC=org/O=Example/CN=Jane Doe``."""
    special = {NameOID.EMAIL_ADDRESS: "emailAddress"}
    return "".join(f"/{special.get(part.oid, part.rfc4514_attribute_name)}={part.value!s}" for part in name)


def _key_block(pem: bytes) -> bytes:
    found = _KEY_BLOCK.search(pem)
    if found is None:
        raise ValueError("holds no PEM private key")
    return found.group()
