"""The issuers of a grid's tokens. See --help of GRID_DIR/bin/token.

tokens.py GRID_DIR token [OPTION...]: print a token.
tokens.py GRID_DIR trust FOLDER: write the keys of the issuer into A-REX's folder of issuers that it trusts.

openssl signs, so that any Python will do, and a token is made in a twentieth of a second.
"""

import argparse
import base64
import json
import subprocess
import sys
import time
import uuid
import zlib
from pathlib import Path

ISSUER = "https://localhost/jasmin-arc/issuer"
OTHER_ISSUER = "https://localhost/jasmin-arc/other-issuer"
# A-REX 7.0.0 compares a text of several scopes as a whole, and understands a list.
ALL_SCOPES = ["compute.read", "compute.create", "compute.modify", "compute.cancel"]


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, stdin=b""):
    return subprocess.run(["openssl", *arguments], input=stdin, stdout=subprocess.PIPE, check=True).stdout


def key_of(grid, issuer):
    return str(Path(grid, "certs", issuer.rpartition("/")[2] + ".pem"))


def token(grid, issuer, claims):
    """A token signed with the issuer's key."""
    header = {"alg": "RS256", "typ": "JWT", "kid": "grid"}
    text = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    signature = openssl("dgst", "-sha256", "-sign", key_of(grid, issuer), stdin=text.encode())
    return f"{text}.{encoded(signature)}"


def trust(grid, folder):
    """Write what `arcctl deploy jwt-issuer` writes."""
    modulus = openssl("rsa", "-in", key_of(grid, ISSUER), "-noout", "-modulus").decode().strip().partition("=")[2]
    key = {"kty": "RSA", "kid": "grid", "use": "sig", "e": "AQAB", "n": encoded(bytes.fromhex(modulus))}
    metadata = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks", "token_endpoint": f"{ISSUER}/token"}
    own = Path(folder, f"{zlib.crc32(ISSUER.encode()):x}")
    own.mkdir(parents=True, exist_ok=True)
    (own / "issuer").write_text(ISSUER)
    (own / "metadata").write_text(json.dumps(metadata))
    (own / "keys").write_text(json.dumps({"keys": [key]}))


def arguments(words):
    parser = argparse.ArgumentParser(prog="token", description="Print a token that the grid's compute element takes.")
    parser.add_argument("-n", "--name", default="grid-user", help="whose it is; default: %(default)s")
    parser.add_argument("-s", "--scope", help="one scope, or several with spaces; default: a list of all")
    parser.add_argument(
        "-c", "--claims", type=json.loads, default={}, help="other claims, as JSON; null leaves one out"
    )
    parser.add_argument("-H", "--hours", type=float, default=1, help="how long it lasts; default: %(default)s")
    parser.add_argument("-i", "--issuer", choices=["trusted", "other"], default="trusted")
    return parser.parse_args(words)


def main():
    grid, task, *words = sys.argv[1:]
    if task == "trust":
        trust(grid, *words)
        return
    asked = arguments(words)
    issuer = ISSUER if asked.issuer == "trusted" else OTHER_ISSUER
    now = int(time.time())
    claims = {
        "iss": issuer,
        "sub": asked.name,
        "aud": "https://wlcg.cern.ch/jwt/v1/any",
        "wlcg.ver": "1.0",
        "jti": str(uuid.uuid4()),
        "iat": now,
        "nbf": now - 60,
        "exp": now + int(asked.hours * 3600),
        "scope": ALL_SCOPES if asked.scope is None else asked.scope,
        **asked.claims,
    }
    print(token(grid, issuer, {name: value for name, value in claims.items() if value is not None}))


main()
