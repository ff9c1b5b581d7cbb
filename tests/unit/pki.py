"""A throw-away certificate authority and the credentials of a user, for the tests of proxies."""

from __future__ import annotations

import functools
import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID, NameOID

HOUR = timedelta(hours=1)
DAY = 24 * HOUR
PROXY_CERT_INFO = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14")
INHERIT_ALL = bytes.fromhex("300c300a06082b06010505071501")
VOMS_ATTRIBUTES = x509.ObjectIdentifier("1.3.6.1.4.1.8005.100.100.5")
NO_ATTRIBUTES = x509.UnrecognizedExtension(VOMS_ATTRIBUTES, b"\x30\x00")


@functools.cache
def rsa_key(name: str = "user", bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key for each name; made once, since that takes long."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def x509_name(*common_names: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test")]
    return x509.Name(parts + [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names])


def certificate(
    subject: str,
    key: Any,
    issuer: str,
    issuer_key: Any,
    *,
    ca: bool = False,
    starts: timedelta = -DAY,
    ends: timedelta = DAY,
) -> x509.Certificate:
    now = datetime.now(timezone.utc)
    usage = dict.fromkeys(
        ("content_commitment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
    )
    return (
        x509.CertificateBuilder()
        .subject_name(x509_name(subject))
        .issuer_name(x509_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + starts)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not ca, key_encipherment=not ca, key_cert_sign=ca, crl_sign=ca, **usage),
            critical=True,
        )
        .sign(issuer_key, hashes.SHA256())
    )


def key_pem(key: Any, passphrase: bytes | None = None) -> bytes:
    encryption: Any = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def pem(*certs: x509.Certificate) -> bytes:
    return b"".join(cert.public_bytes(serialization.Encoding.PEM) for cert in certs)


def attribute_certificate(
    holder: x509.Certificate,
    *names: str,
    lifetime: timedelta = 12 * HOUR,
    place: str = "testvo://localhost:15000",
    ends: str = "",
) -> bytes:
    """An attribute certificate (DER), as a VOMS server gives it, though nobody has signed it.

    :param ends: its end, as it is written there
    """
    from pyasn1.codec.ber.encoder import encode  # that of DER refuses times with a zone
    from pyasn1.codec.der.decoder import decode
    from pyasn1_modules import rfc5280, rfc5755

    issuer, _ = decode(holder.issuer.public_bytes(), asn1Spec=rfc5280.Name())
    syntax = rfc5755.IetfAttrSyntax()
    syntax["policyAuthority"][0]["uniformResourceIdentifier"] = place
    for index, name in enumerate(names):
        syntax["values"][index]["octets"] = name.encode()
    made = rfc5755.AttributeCertificate()
    info = made["acinfo"]
    info["version"] = 1
    info["holder"]["baseCertificateID"]["issuer"][0]["directoryName"]["rdnSequence"] = issuer["rdnSequence"]
    info["holder"]["baseCertificateID"]["serial"] = holder.serial_number
    info["issuer"]["v2Form"]["issuerName"][0]["directoryName"]["rdnSequence"] = issuer["rdnSequence"]
    info["signature"]["algorithm"] = made["signatureAlgorithm"]["algorithm"] = "1.2.840.113549.1.1.11"
    info["serialNumber"] = 1
    now = datetime.now(timezone.utc)
    for field, moment in (("notBeforeTime", now - HOUR), ("notAfterTime", now + lifetime)):
        info["attrCertValidityPeriod"][field] = f"{moment:%Y%m%d%H%M%SZ}"
    if ends:
        info["attrCertValidityPeriod"]["notAfterTime"] = ends
    info["attributes"][0]["type"] = "1.3.6.1.4.1.8005.100.100.4"
    info["attributes"][0]["values"][0] = encode(syntax)
    made["signatureValue"] = (0,) * 8
    return bytes(encode(made))


def voms_proxy(
    user: x509.Certificate,
    user_key: Any,
    *,
    lifetime: timedelta,
    broken: bool = False,
    attributes: x509.UnrecognizedExtension = NO_ATTRIBUTES,
) -> bytes:
    """A proxy file with VOMS attributes, which say nothing if there are none. It began in time to last 12 hours.

    :param broken: add an extension that ``cryptography`` cannot read
    """
    key, end = rsa_key("proxy"), datetime.now(timezone.utc) + lifetime
    number = x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, "1")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*user.subject.rdns, number]))
        .issuer_name(user.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(end - 12 * HOUR)
        .not_valid_after(end)
        .add_extension(x509.UnrecognizedExtension(PROXY_CERT_INFO, INHERIT_ALL), critical=True)
        .add_extension(attributes, critical=False)
    )
    if broken:
        unreadable = x509.UnrecognizedExtension(ExtensionOID.KEY_USAGE, b"\x05\x00")
        builder = builder.add_extension(unreadable, critical=False)
    proxy = builder.sign(user_key, hashes.SHA256())
    return pem(proxy) + key_pem(key) + pem(user)


@dataclass
class Pki:
    """A CA, an intermediate CA below it, and a folder for files."""

    folder: Path

    def __post_init__(self) -> None:
        self.ca_key = ec.generate_private_key(ec.SECP256R1())
        self.middle_key = ec.generate_private_key(ec.SECP256R1())
        self.ca = certificate("CA", self.ca_key, "CA", self.ca_key, ca=True)
        self.middle = certificate("Middle", self.middle_key, "CA", self.ca_key, ca=True)

    def user(self, name: str = "Jane Doe", key: Any = None, **dates: timedelta) -> x509.Certificate:
        return certificate(name, key or rsa_key(), "CA", self.ca_key, **dates)

    def user_below_middle(self, key: Any) -> x509.Certificate:
        return certificate("Jane Doe", key, "Middle", self.middle_key)

    def write(self, name: str, text: bytes, mode: int = 0o600) -> Path:
        path = self.folder / name
        path.write_bytes(text)
        path.chmod(mode)
        return path

    def verify(self, *chain: x509.Certificate) -> None:
        """Let OpenSSL judge the chain, which starts with a proxy."""
        ca = self.write("ca.pem", pem(self.ca))
        leaf = self.write("leaf.pem", pem(chain[0]))
        others = self.write("others.pem", pem(*chain[1:]))
        command = ["openssl", "verify", "-allow_proxy_certs", "-CAfile", ca, "-untrusted", others, leaf]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
