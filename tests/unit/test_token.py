from __future__ import annotations

import logging
import os
import pickle
import socket
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokens import HOUR, ISSUER, put, token

from jasmin_arc import ArcInterface, ConnectionConfig, CredentialsError, InvalidConfigError
from jasmin_arc.credentials.choice import choose, uses_token
from jasmin_arc.credentials.proxy import ProxyManager
from jasmin_arc.credentials.token import TokenCredentials, _parsed

LOG = logging.getLogger("test")
VARIABLES = ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "XDG_RUNTIME_DIR")
NAME = f"bt_u{os.geteuid()}"


@pytest.fixture(autouse=True)
def _no_token_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("jasmin_arc.credentials.token._ANYBODYS", str(tmp_path))


def credentials(**options: Any) -> TokenCredentials:
    return TokenCredentials(ConnectionConfig({"AUTH": "token", **options}))


def shown(made: TokenCredentials) -> str:
    return made.headers()["Authorization"]


def test_what_a_token_says_is_told_and_the_token_is_not(tmp_path: Path) -> None:
    text = token(aud=["any", "arc"], nbf=0, exp=4e9)
    made = credentials(TOKEN_FILE=put(tmp_path / "token", text))
    info = made.info()
    assert info is not None
    assert (info.identity, info.scopes, info.audience) == (
        f"{ISSUER}/jane",
        ("compute.read", "compute.create"),
        ("any", "arc"),
    )
    assert info.expires == datetime.fromtimestamp(4e9, timezone.utc)
    assert shown(made) == f"Bearer {text}"
    told = repr(made) + repr(info) + repr(vars(made)) + made.described() + repr(pickle.dumps(made))
    assert text.rpartition(".")[0] not in told


def test_tokens_are_found_in_the_order_that_is_laid_down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = credentials()
    assert made.info() is None
    with pytest.raises(CredentialsError, match=rf"there is no token: .*\$BEARER_TOKEN.*{NAME}.*; set TOKEN_FILE"):
        made.ensure()
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    texts = [token(jti=str(number)) for number in range(5)]
    put(tmp_path / NAME, texts[0])
    assert shown(made).endswith(texts[0])
    put(tmp_path / "run" / NAME, texts[1] + "\n")
    assert shown(made).endswith(texts[1])
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(put(tmp_path / "named", f" {texts[2]}\n")))
    assert shown(made).endswith(texts[2])
    monkeypatch.setenv("BEARER_TOKEN", f"{texts[3]} ")
    assert shown(made).endswith(texts[3])
    assert shown(credentials(TOKEN_FILE=put(tmp_path / "own", texts[4]))).endswith(texts[4])


def test_what_is_found_first_decides_also_where_it_is_no_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put(tmp_path / NAME, token())
    monkeypatch.setenv("BEARER_TOKEN", "no-token-at-all")
    with pytest.raises(CredentialsError, match=r"the token in \$BEARER_TOKEN cannot be used") as caught:
        credentials().ensure()
    assert "no-token-at-all" not in str(caught.value)


def test_a_link_or_another_users_file_in_a_folder_of_all_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / NAME).symlink_to(put(tmp_path / "elsewhere", token()))
    assert credentials().info() is None
    if os.geteuid() == 0:
        (tmp_path / NAME).unlink()
        os.chown(put(tmp_path / NAME, token()), 65534, 65534)
        assert credentials().info() is None


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_token_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = put(tmp_path / "token", token())
    path.chmod(mode)
    with pytest.raises(CredentialsError, match=r"other users can read the file; run: chmod 600"):
        credentials(TOKEN_FILE=path).ensure()


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    made = credentials(TOKEN_FILE=put(tmp_path / "token", token(lasts=-1)))
    with pytest.raises(CredentialsError, match=r"ended at .* UTC; get another one .*oidc-token or htgettoken"):
        made.ensure()
    assert made.info() is not None
    put(tmp_path / "token", token())
    made.ensure()


def test_a_token_of_the_future_tells_of_the_clock(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"not valid before .* check the clock"):
        credentials(TOKEN_FILE=put(tmp_path / "token", token(nbf=4e9))).ensure()


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"missing \(TOKEN_FILE\): No such file"):
        credentials(TOKEN_FILE=tmp_path / "missing").ensure()
    with pytest.raises(CredentialsError, match="it is empty; get another one"):
        credentials(TOKEN_FILE=put(tmp_path / "empty", "\n")).ensure()
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(CredentialsError, match="not a file"):
        credentials(TOKEN_FILE=tmp_path / "pipe").ensure()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        with pytest.raises(CredentialsError):
            credentials(TOKEN_FILE=tmp_path / "socket").ensure()


def mixed(part: str) -> str:
    return f"{part}.{part}.{part}"


@given(st.one_of(st.text(), st.from_regex(r"[\w-]{0,40}(\.[\w-]{0,40}){0,4}", fullmatch=True), st.text().map(mixed)))
def test_whatever_stands_there_is_a_token_or_an_error_that_does_not_quote_it(text: str) -> None:
    try:
        _parsed(text, "a file")
    except CredentialsError as error:
        assert len(text) < 5 or text not in str(error)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
)


@given(st.dictionaries(st.sampled_from(["iss", "sub", "exp", "nbf", "scope", "aud"]), json_values))
def test_whatever_a_token_claims_can_be_shown(claims: dict[str, Any]) -> None:
    info = _parsed(token(**claims), "a file").info
    assert info.identity.isprintable()
    assert all(word.isprintable() for word in (*info.scopes, *info.audience))
    assert info.expires is None or info.expires.utcoffset() is not None


# --- Which credentials ---


def config(tmp_path: Path, **options: Any) -> ConnectionConfig:
    return ConnectionConfig({"PROXY_FILE": tmp_path / "proxy", **options})


def test_auto_takes_a_token_only_where_nothing_is_of_a_certificate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not uses_token(config(tmp_path))
    put(tmp_path / NAME, token())
    assert uses_token(config(tmp_path))
    assert not uses_token(config(tmp_path, AUTH="certificate"))
    # So does the default path that was written down: 'config init' does so.
    assert uses_token(config(tmp_path, CLIENT_CERT="~/.arc/usercert.pem"))
    # Another path that was set is meant, also where it is misspelt.
    assert not uses_token(config(tmp_path, CLIENT_CERT=tmp_path / "mistyped.pem"))
    (tmp_path / ".arc").mkdir()
    (tmp_path / ".arc" / "usercert.pem").touch()
    assert not uses_token(config(tmp_path))
    assert uses_token(config(tmp_path, AUTH="token"))


def test_a_token_that_is_configured_and_not_used_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own = config(tmp_path, TOKEN_FILE=put(tmp_path / "token", token()))
    assert choose(own, ProxyManager(own, LOG), LOG).is_token
    (tmp_path / ".arc").mkdir()
    (tmp_path / ".arc" / "usercert.pem").touch()
    again = config(tmp_path, TOKEN_FILE=tmp_path / "token")
    assert not choose(again, ProxyManager(again, LOG), LOG).is_token
    assert "TOKEN_FILE is not used, as there is the certificate ~/.arc/usercert.pem" in caplog.text


def test_a_certificate_that_cannot_be_used_points_to_the_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".arc").mkdir()
    (tmp_path / ".arc" / "usercert.pem").touch()

    def told(**options: Any) -> str:
        own = config(tmp_path, **options)
        with pytest.raises(CredentialsError, match="cannot create a proxy") as caught:
            choose(own, ProxyManager(own, LOG), LOG).ensure()
        return str(caught.value)

    assert "AUTH" not in told()
    put(tmp_path / NAME, token())
    assert "AUTH" not in told(AUTH="certificate")
    assert told().endswith("set AUTH to token, to use the token that there is")
    # Where there is nothing of a certificate, all are told of tokens.
    assert told(CLIENT_CERT=tmp_path / "mistyped.pem").count("set AUTH to token") == 1


def test_a_token_means_rest(tmp_path: Path) -> None:
    path = put(tmp_path / "token", token())
    with ArcInterface(log=None, auth="token", token_file=path, jobs_info_file=tmp_path / "jobs.dat") as arc:
        assert arc.backend.name == "rest"
        assert arc.credentials.is_token
    assert token() not in repr(arc) + repr(arc.config)


def test_a_token_in_place_of_its_path_is_refused_and_not_quoted() -> None:
    text = token()
    for wrong in (text, f" {text}", f"Bearer {text}", f"~/{text}"):
        with pytest.raises(InvalidConfigError, match="must be the path of a file") as caught:
            ConnectionConfig({"TOKEN_FILE": wrong})
        assert text[:20] not in str(caught.value)
    assert ConnectionConfig({"TOKEN_FILE": "/run/user/eye.d/keyring.token.d/bt_u1"}).TOKEN_FILE


def test_a_token_in_the_variable_for_its_path_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEARER_TOKEN_FILE", token())
    with pytest.raises(CredentialsError, match="must be the path of a file, and is a token") as caught:
        credentials().ensure()
    assert token()[:20] not in str(caught.value)
    assert caught.value.__context__ is None


def test_how_long_it_lasts(tmp_path: Path) -> None:
    end = credentials(TOKEN_FILE=put(tmp_path / "token", token(lasts=HOUR))).expires()
    assert end is not None
    assert abs((end - datetime.now(timezone.utc)).total_seconds() - HOUR) < 10
    assert credentials(TOKEN_FILE=put(tmp_path / "token", token(exp=None))).expires() is None
