"""Delegation: requests as A-REX writes them are signed, hostile ones are refused."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from hypothesis import given
from hypothesis import strategies as st
from pki import Pki, key_pem, pem, rsa_key

from jasmin_arc.credentials import rfc3820 as proxy_certificate
from jasmin_arc.credentials.delegation import sign_request
from jasmin_arc.exceptions import ProxyGenerationError, ServerError

HOUR = timedelta(hours=1)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@pytest.fixture
def proxy_pem(pki: Pki) -> bytes:
    return proxy_certificate.make_proxy([pki.user()], rsa_key(), lifetime=HOUR)


def request(key: Any) -> bytes:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    built = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, algorithm)
    return built.public_bytes(serialization.Encoding.PEM)


def request_of_arex(key: Any, *, version: int = 2, signer: Any = None) -> bytes:
    """A request with a version that does not exist, signed as it is, as A-REX 6.17 sends it."""
    plain = x509.load_pem_x509_csr(request(key))
    tbs = plain.tbs_certrequest_bytes
    other = tbs.replace(b"\x02\x01\x00", bytes([2, 1, version]), 1)
    signature = (signer or key).sign(other, padding.PKCS1v15(), hashes.SHA256())
    der = plain.public_bytes(serialization.Encoding.DER)
    der = der.replace(tbs, other).replace(plain.signature, signature)
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(
    ("key", "csr"),
    [
        (rsa_key("ce"), request(rsa_key("ce"))),
        (rsa_key("ce"), request_of_arex(rsa_key("ce"))),
        (rsa_key("ce"), request_of_arex(rsa_key("ce"), version=1)),
        (rsa_key("ce"), request(rsa_key("ce")).replace(b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST")),
        (EC_KEY, request(EC_KEY)),
    ],
    ids=["standard", "A-REX 6.17", "version 1", "old header", "ec"],
)
def test_openssl_accepts_what_is_sent_back(pki: Pki, proxy_pem: bytes, key: Any, csr: bytes) -> None:
    answer = sign_request(csr, proxy_pem)
    chain = x509.load_pem_x509_certificates(answer)
    pki.verify(*chain)
    assert chain[0].public_key() == key.public_key()
    assert chain[1:] == x509.load_pem_x509_certificates(proxy_pem)
    assert b"PRIVATE" not in answer


def test_a_delegation_lasts_as_long_as_the_proxy(proxy_pem: bytes) -> None:
    proxy, *_ = x509.load_pem_x509_certificates(proxy_pem)
    made, *_ = x509.load_pem_x509_certificates(sign_request(request(EC_KEY), proxy_pem))
    assert made.not_valid_after_utc == proxy.not_valid_after_utc


@pytest.mark.parametrize(
    "csr",
    [
        b"",
        b"<html>busy</html>",
        request(EC_KEY) + b"x" * (1 << 16),
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        b"-----BEGIN CERTIFICATE REQUEST-----\nA\n-----END CERTIFICATE REQUEST-----\n",
        request_of_arex(rsa_key("ce"), version=3),
        request(rsa_key("weak", 1024)),
        request(ec.generate_private_key(ec.SECP192R1())),
        request(ed25519.Ed25519PrivateKey.generate()),
    ],
    ids=["empty", "html", "huge", "garbage", "not base64", "version 3", "weak RSA", "weak EC", "ed25519"],
)
def test_a_request_that_makes_no_sense_is_refused(proxy_pem: bytes, csr: bytes) -> None:
    with pytest.raises(ServerError, match="the compute element sent a certificate request that is refused"):
        sign_request(csr, proxy_pem)


@pytest.mark.parametrize("version", [0, 2])
def test_a_request_signed_by_another_key_is_refused(proxy_pem: bytes, version: int) -> None:
    csr = request_of_arex(rsa_key("ce"), version=version, signer=rsa_key("other"))
    with pytest.raises(ServerError, match="its own key did not sign"):
        sign_request(csr, proxy_pem)


def test_a_signature_of_another_version_of_the_request_is_refused(proxy_pem: bytes) -> None:
    der = x509.load_pem_x509_csr(request(rsa_key("ce"))).public_bytes(serialization.Encoding.DER)
    body = base64.encodebytes(der.replace(b"\x02\x01\x00", b"\x02\x01\x02", 1))
    csr = b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(ServerError, match="its own key did not sign"):
        sign_request(csr, proxy_pem)


def test_an_expired_or_broken_proxy_delegates_nothing(pki: Pki, proxy_pem: bytes) -> None:
    expired = pem(pki.user(starts=-2 * HOUR, ends=-HOUR)) + key_pem(rsa_key())
    with pytest.raises(ProxyGenerationError, match="the proxy has expired"):
        sign_request(request(EC_KEY), expired)
    for broken in (b"", pem(pki.user()), key_pem(rsa_key())):
        with pytest.raises(ProxyGenerationError, match="the proxy holds no"):
            sign_request(request(EC_KEY), broken)


REAL = x509.load_pem_x509_csr(request(EC_KEY)).public_bytes(serialization.Encoding.DER)
KEY_AND_CERT = key_pem(EC_KEY)


@given(
    st.binary(max_size=100)
    | st.builds(
        lambda at, new: REAL[:at] + new + REAL[at + len(new) :], st.integers(0, len(REAL)), st.binary(max_size=4)
    )
)
def test_bytes_from_a_hostile_server_are_a_server_error_or_the_real_request(der: bytes) -> None:
    csr = b"-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE REQUEST-----\n"
    # Without a certificate nothing can be signed, so that what is not refused ends there.
    expected = ProxyGenerationError if der == REAL else ServerError
    with pytest.raises(expected):
        sign_request(csr, KEY_AND_CERT)
