"""Proxy certificates: OpenSSL accepts them, they end with their issuer, and broken texts are ValueErrors."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from pki import DAY, Pki, certificate, key_pem, pem, rsa_key

from jasmin_arc.credentials import rfc3820 as pc

HOUR = timedelta(hours=1)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@pytest.mark.parametrize("key", [rsa_key(), EC_KEY], ids=["rsa", "ec"])
def test_openssl_accepts_a_proxy_and_the_proxy_of_a_proxy(pki: Pki, key: Any) -> None:
    user = pki.user(key=key)
    proxy = pc.sign_proxy(rsa_key("proxy").public_key(), issuer_cert=user, issuer_key=key, lifetime=HOUR)
    pki.verify(proxy, user)
    second = pc.sign_proxy(EC_KEY.public_key(), issuer_cert=proxy, issuer_key=rsa_key("proxy"), lifetime=HOUR)
    pki.verify(second, proxy, user)


def test_openssl_accepts_the_certificates_of_a_proxy_file_with_an_intermediate_ca(pki: Pki) -> None:
    chain = [pki.user_below_middle(EC_KEY), pki.middle]
    text = pc.make_proxy(chain, EC_KEY, lifetime=HOUR)
    certs = pc.load_certificates(text)
    pki.verify(*certs)
    assert certs[1:] == chain
    assert pc.belongs(pc.load_key(text), certs[0])


def test_a_proxy_has_the_name_of_its_issuer_and_a_number(pki: Pki) -> None:
    user = pki.user()
    proxy = pc.sign_proxy(EC_KEY.public_key(), issuer_cert=user, issuer_key=rsa_key(), lifetime=HOUR)
    assert proxy.issuer == user.subject
    assert pc.name_text(proxy.subject) == f"/O=Test/CN=Jane Doe/CN={proxy.serial_number}"
    assert [pc.is_proxy(cert) for cert in (proxy, user)] == [True, False]
    assert pc.holder([proxy, user, pki.ca]) == [proxy, user]
    information = proxy.extensions.get_extension_for_oid(pc.PROXY_CERT_INFO)
    assert information.critical


def test_two_proxies_differ(pki: Pki) -> None:
    user = pki.user()
    made = [pc.sign_proxy(EC_KEY.public_key(), issuer_cert=user, issuer_key=rsa_key(), lifetime=HOUR) for _ in "ab"]
    assert made[0].serial_number != made[1].serial_number


def test_a_proxy_is_dated_back_and_lasts_as_long_as_asked(pki: Pki) -> None:
    proxy = pc.sign_proxy(EC_KEY.public_key(), issuer_cert=pki.user(), issuer_key=rsa_key(), lifetime=HOUR)
    assert proxy.not_valid_after_utc - proxy.not_valid_before_utc == HOUR + timedelta(minutes=5)


@pytest.mark.parametrize("lifetime", [2 * DAY, timedelta.max])
def test_a_proxy_stays_within_the_dates_of_its_issuer(pki: Pki, lifetime: timedelta) -> None:
    user = pki.user(starts=-timedelta(seconds=30))
    proxy = pc.sign_proxy(EC_KEY.public_key(), issuer_cert=user, issuer_key=rsa_key(), lifetime=lifetime)
    assert proxy.not_valid_before_utc == user.not_valid_before_utc
    assert proxy.not_valid_after_utc == user.not_valid_after_utc


@pytest.mark.parametrize("dates", [{"starts": -2 * DAY, "ends": -DAY}, {"starts": DAY, "ends": 2 * DAY}])
def test_a_certificate_out_of_date_signs_nothing(pki: Pki, dates: dict[str, timedelta]) -> None:
    with pytest.raises(ValueError, match="has expired, or is not valid yet"):
        pc.sign_proxy(EC_KEY.public_key(), issuer_cert=pki.user(**dates), issuer_key=rsa_key(), lifetime=HOUR)


@pytest.mark.parametrize("key", [rsa_key(), EC_KEY], ids=["rsa", "ec"])
def test_a_key_is_found_before_and_behind_certificates(pki: Pki, key: Any) -> None:
    cert = pem(pki.user(key=key))
    for text in (cert + key_pem(key), key_pem(key) + cert, b"a remark\r\n" + key_pem(key).replace(b"\n", b"\r\n")):
        assert pc.load_key(text).public_key() == key.public_key()
        assert not pc.is_encrypted(text)


def test_a_proxy_file_is_a_chain_and_the_key_of_its_first_certificate(pki: Pki) -> None:
    text = pc.make_proxy([pki.user()], rsa_key(), lifetime=HOUR)
    chain, key = pc.load_proxy(text)
    assert chain == pc.load_certificates(text) and key.private_numbers() == pc.load_key(text).private_numbers()
    with pytest.raises(ValueError, match="does not belong"):
        pc.load_proxy(pem(*chain) + key_pem(rsa_key("other")))


def test_the_numbers_of_a_key_are_checked_except_for_those_of_a_proxy(pki: Pki) -> None:
    numbers = rsa_key().private_numbers()
    odd = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d + 2, numbers.dmp1, numbers.dmq1, numbers.iqmp, numbers.public_numbers
    )
    text = pem(pki.user()) + key_pem(odd.private_key(unsafe_skip_rsa_key_validation=True))
    with pytest.raises(ValueError, match="no valid private key"):
        pc.load_key(text)
    assert pc.load_proxy(text)[0] == pc.load_certificates(text)


def test_an_encrypted_key_needs_its_passphrase() -> None:
    text = key_pem(EC_KEY, b"secret")
    assert pc.is_encrypted(text)
    assert pc.belongs(pc.load_key(text, b"secret"), certificate("A", EC_KEY, "A", EC_KEY))
    for wrong in (b"other", b"", None):
        with pytest.raises(ValueError, match="passphrase is wrong") as caught:
            pc.load_key(text, wrong)
        assert "other" not in str(caught.value)


def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="neither RSA nor EC"):
        pc.load_key(key_pem(ed25519.Ed25519PrivateKey.generate()))


def test_the_dates_of_a_proxy_are_aware(pki: Pki) -> None:
    proxy = pc.sign_proxy(EC_KEY.public_key(), issuer_cert=pki.user(), issuer_key=rsa_key(), lifetime=HOUR)
    assert proxy.not_valid_before_utc < datetime.now(timezone.utc) < proxy.not_valid_after_utc


def test_an_email_address_is_written_as_arc_does() -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, "a@b")])
    assert pc.name_text(name) == "/emailAddress=a@b"


SAMPLE = pem(certificate("A", EC_KEY, "A", EC_KEY)) + key_pem(EC_KEY)


@given(st.binary(max_size=300) | st.tuples(st.integers(0, len(SAMPLE) - 1), st.binary(max_size=5)))
def test_broken_texts_raise_nothing_but_value_errors(text: Any) -> None:
    if isinstance(text, tuple):
        at, new = text
        text = SAMPLE[:at] + new + SAMPLE[at + len(new) + 1 :]
    with contextlib.suppress(ValueError):
        pc.name_text(pc.load_certificates(text)[0].subject)
    with contextlib.suppress(ValueError):
        pc.load_key(text)
    with contextlib.suppress(ValueError):
        pc.has_voms(pc.load_proxy(text)[0])
