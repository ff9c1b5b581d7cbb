"""The messages in docs/credentials.md are those that a user gets, but for the names."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from cli_kit import ROOT
from conftest import MakeArc

from jasmin_arc import ArcInterface, JasminArcError

pytestmark = pytest.mark.grid
PAGE = ROOT / "docs" / "credentials.md"
_NAMES = (
    (r"https://localhost:\d+/arex", "https://ce.example.ac.uk/arex"),
    (r"/DC=org/DC=jasmin-arc/CN=[\w-]+", "/DC=org/DC=example/CN=Jane Doe"),
    (r"https://localhost/jasmin-arc/[\w-]+/grid-user", "https://issuer.example.org/jane"),
    (r"the token in \S+ ended at \S+ \S+ UTC", "the token in ~/.arc/token ended at 2026-11-22 07:41 UTC"),
    (r"localhost:\d+", "voms.example.org:15000"),
    (r"\btestvo\b", "atlas"),
    (r"/jobs/\w+", "/jobs/ab3292d1e8d2"),
)


def as_on_the_page(message: str) -> str:
    for pattern, name in _NAMES:
        message = re.sub(pattern, name, message)
    return message


def shown() -> list[str]:
    """The blocks of messages on the page, without line breaks."""
    blocks = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return [" ".join(block.split()) for block in blocks]


def refused(arc: ArcInterface, *, submit: bool) -> str:
    with pytest.raises(JasminArcError) as caught:
        arc.submit_job("/bin/true") if submit else arc.list_jobs()
    return as_on_the_page(str(caught.value))


@pytest.fixture
def of_somebody(make_arc: MakeArc, arc7_folder: Path, tmp_path: Path) -> MakeArc:
    """Makes interfaces with one of the grid's certificates."""

    def make(backend: str, name: str) -> ArcInterface:
        files = {
            f"CLIENT_{what.upper()}": str(arc7_folder / "client" / f"{name}{what}.pem") for what in ("cert", "key")
        }
        return make_arc(backend, **files, PROXY_FILE=str(tmp_path / "proxy"))

    return make


@pytest.mark.parametrize(
    ("backend", "name"),
    [("rest-7", "stranger"), ("rest-7", "member"), ("rest-7-voms", "stranger")],
    ids=["nobody that the site knows", "a member without attributes", "no member of the VO"],
)
def test_a_certificate_is_refused_as_the_page_says(of_somebody: MakeArc, backend: str, name: str) -> None:
    assert refused(of_somebody(backend, name), submit=False) in shown()


@pytest.mark.parametrize(
    ("backend", "options", "submit"),
    [
        ("rest-7-token", ["-H", "-1"], False),
        ("rest-7-token", ["-i", "other"], False),
        ("rest-7-token", ["-s", "compute.read"], True),
        ("rest", [], False),
    ],
    ids=["it has ended", "of another issuer", "without the scope", "before ARC 7"],
)
def test_a_token_is_refused_as_the_page_says(
    make_arc: MakeArc, arc7_folder: Path, tmp_path: Path, backend: str, options: list[str], submit: bool
) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_bytes(subprocess.check_output([arc7_folder / "bin" / "token", *options], timeout=60))
    arc = make_arc(backend, AUTH="token", TOKEN_FILE=str(token))
    assert refused(arc, submit=submit) in shown()


def test_a_job_of_other_credentials_is_not_found_as_the_page_says(
    make_arc: MakeArc, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = make_arc("rest-7-token").submit_job("/bin/true")
    with caplog.at_level("WARNING"), pytest.raises(JasminArcError) as caught:
        make_arc("rest-7").get_job_status(job_id)
    (warning,) = [record.message for record in caplog.records if "was submitted as" in record.message]
    told = as_on_the_page(f"jasmin-arc: warning: {warning} jasmin-arc: {caught.value}")
    assert told in shown()
