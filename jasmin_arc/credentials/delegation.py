"""Answer a server's certificate request with a proxy, so that the server can act for the proxy's user."""

from __future__ import annotations

import base64
import re
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from jasmin_arc.credentials.rfc3820 import NEVER, PublicKey, chain_pem, load_proxy, sign_proxy
from jasmin_arc.exceptions import ProxyGenerationError, ServerError

_MAX_BYTES = 1 << 16
_RSA_BITS = range(2048, 8193)
_MIN_EC_BITS = 256
_BLOCK = re.compile(rb"-----BEGIN ((?:NEW )?CERTIFICATE REQUEST)-----([A-Za-z0-9+/=\s]+)-----END \1-----")
_VERSION_1 = b"\x02\x01\x00"
_UNKNOWN_VERSIONS = (b"\x02\x01\x01", b"\x02\x01\x02")


def sign_request(csr_pem: bytes, proxy_pem: bytes, *, until: datetime = NEVER) -> bytes:
    """Sign the key of a certificate request, and return the chain to send back: no private key is in it.

    Nothing in the request but its key is used.

    :param until: when it ends at the latest; with the proxy in any case
    :raises ServerError: if the request makes no sense, is not signed by its own key, or the key is too weak
    :raises ProxyGenerationError: if the proxy cannot sign: it has expired, or is broken
    """
    public_key = _requested_key(csr_pem)
    try:
        chain, key = load_proxy(proxy_pem)
        signed = sign_proxy(public_key, issuer_cert=chain[0], issuer_key=key, until=until)
    except ValueError as error:
        raise ProxyGenerationError(f"cannot delegate: the proxy {error}", advice="make a new one") from error
    return chain_pem([signed, *chain])


def _requested_key(csr_pem: bytes) -> PublicKey:
    try:
        found = _BLOCK.search(csr_pem) if len(csr_pem) <= _MAX_BYTES else None
        if found is None:
            raise ValueError(f"there is no PEM request in its {len(csr_pem)} bytes")
        der = base64.b64decode(b"".join(found[2].split()), validate=True)
        request = x509.load_der_x509_csr(_with_known_version(der))
        key = _strong(request.public_key())
        # Its own signature covers what was sent, not the copy with another version.
        start = _header_length(der)
        signed = der[start : start + len(request.tbs_certrequest_bytes)]
        algorithm = request.signature_hash_algorithm
        if algorithm is None:
            raise ValueError("it is signed in an unknown way")
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(request.signature, signed, padding.PKCS1v15(), algorithm)
        else:
            key.verify(request.signature, signed, ec.ECDSA(algorithm))
    except InvalidSignature as error:
        raise ServerError("the compute element sent a certificate request that its own key did not sign") from error
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise ServerError(f"the compute element sent a certificate request that is refused: {error}") from error
    return key


def _with_known_version(der: bytes) -> bytes:
    """Write version 1, the only one there is, where A-REX 6.17 claims another, which ``cryptography`` refuses."""
    at = _header_length(der)
    at += _header_length(der[at:])
    end = at + len(_VERSION_1)
    return der[:at] + _VERSION_1 + der[end:] if der[at:end] in _UNKNOWN_VERSIONS else der


def _header_length(der: bytes) -> int:
    """The length of a DER element's tag and length; the parser proper checks that they are sound."""
    length = der[1:2]
    return 2 + (length[0] & 0x7F if length >= b"\x80" else 0)


def _strong(key: object) -> PublicKey:
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size >= _MIN_EC_BITS:
        return key
    raise ValueError("its key is neither RSA of 2048 to 8192 bits nor EC of 256 or more")
