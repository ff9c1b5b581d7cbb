"""Tokens for tests; nobody checks their signatures here."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

ISSUER = "https://tokens.example.org"
HOUR = 3600.0


def token(*, lasts: float = HOUR, signature: str = "c2lnbmVk", **claims: Any) -> str:
    """Return a JSON Web Token with these claims besides the usual ones."""
    usual = {"iss": ISSUER, "sub": "jane", "exp": time.time() + lasts, "scope": "compute.read compute.create"}
    return ".".join([_part({"alg": "RS256"}), _part({**usual, **claims}), signature])


def _part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def put(path: Path, text: str) -> Path:
    """Write a token into a private file, as the programs do that get them."""
    new = path.with_name(path.name + ".new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)
    return path
