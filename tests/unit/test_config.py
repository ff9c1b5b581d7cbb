"""Where configuration comes from, and what a wrong one gets."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jasmin_arc import ArcInterface, ConnectionConfig, InvalidConfigError
from jasmin_arc.config import OPTIONS


def load(config_path: Path | None = None, **options: Any) -> ConnectionConfig:
    return ConnectionConfig.load(config_path, **{"environ": {}, **options})


def warnings_of(**options: Any) -> str:
    stream = io.StringIO()
    logger = logging.Logger("test")
    logger.addHandler(logging.StreamHandler(stream))
    load(logger=logger, **options)
    return stream.getvalue()


def test_the_documented_defaults() -> None:
    assert ConnectionConfig.ARC_SERVER == "jasmin-ce.ceda.ac.uk:60000/arex"
    assert ConnectionConfig.PROXY_FILE == "/tmp/arcproxy_file"
    assert ConnectionConfig.CLIENT_KEY == "~/.arc/userkey-nopass.pem"
    assert ConnectionConfig({}).PROXY_VALIDITY_PERIOD == 43200
    assert set(ConnectionConfig({}).sources.values()) == {"default"}


def test_each_source_overrides_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"OUTPUT_FILE": "from file", "CLIENT_KEY": "/file/key", "TIMEOUT": 7}))
    environ = {"JASMIN_ARC_CLIENT_KEY": "/environment/key", "JASMIN_ARC_TIMEOUT": "8", "JASMIN_ARC_CONFIG": str(path)}
    config = load(config={"TIMEOUT": 9}, environ=environ)
    assert (config.OUTPUT_FILE, config.CLIENT_KEY, config.TIMEOUT) == ("from file", "/environment/key", 9)
    assert config.sources["OUTPUT_FILE"] == str(path)
    assert "JASMIN_ARC_CLIENT_KEY" in config.sources["CLIENT_KEY"]
    assert config.sources["CERTS_DIR"] == "default"


def test_home_is_expanded_in_paths_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    config = load(config={"OUTPUT_FILE": "~file", "CLIENT_CERT": "~/cert.pem"})
    assert (config.CLIENT_CERT, config.JOBS_INFO_FILE) == ("/home/someone/cert.pem", "/home/someone/.arc/jobs.dat")
    assert config.OUTPUT_FILE == "~file"


@pytest.mark.parametrize(
    ("server", "endpoint"),
    [
        ("ce.example.org:60000/arex", "https://ce.example.org:60000/arex"),
        ("my-arc-server.ac.uk", "https://my-arc-server.ac.uk:443/arex"),
        ("https://ce.example.org/other/", "https://ce.example.org:443/other"),
        ("[::1]:8443/arex", "https://[::1]:8443/arex"),
    ],
)
def test_the_endpoint_is_complete(server: str, endpoint: str) -> None:
    assert load(config={"ARC_SERVER": server}).endpoint == endpoint


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("ARC_SERVER", "http://ce.example.org/arex"),
        ("ARC_SERVER", "ce.example.org:port"),
        ("ARC_SERVER", "ce.example.org:99999"),
        ("ARC_SERVER", ""),
        ("BACKEND", "condor"),
        ("CLIENT_KEY", 5),
        ("CLIENT_KEY", ""),
        ("CLIENT_KEY", None),
        ("OUTPUT_FILE", "../up"),
        ("OUTPUT_FILE", "/absolute"),
        ("OUTPUT_FILE", ""),
        ("OUTPUT_FILE", "./."),
        ("OUTPUT_FILE", "@list"),
        ("PROXY_VALIDITY_PERIOD", "12h"),
        ("PROXY_VALIDITY_PERIOD", True),
        ("PROXY_VALIDITY_PERIOD", 1.5),
        ("TIMEOUT", 0),
        ("LOCAL_SLOTS", -1),
    ],
)
def test_a_wrong_value_names_option_value_and_file(tmp_path: Path, option: str, value: Any) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({option: value}))
    with pytest.raises(InvalidConfigError) as caught:
        ArcInterface(path, log=None)
    message = str(caught.value)
    assert option in message
    assert repr(value) in message
    assert str(path) in message


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("ARC_SERVER", "https://jane:hunter2@ce.example.org/arex"),
        ("ARC_SERVER", "https://:hunter2@ce.example.org/arex"),
        ("ARC_SERVER", "jane:hunter2@ce.example.org"),
        ("ARC_SERVER", "https://jane:p@hunter2@ce.example.org:port"),
        ("ARC_SERVER", "ce.example.org/arex?token=hunter2"),
        ("ARC_SERVER", "ce.example.org/arex#hunter2"),
        ("CLIENT_KEY", "-----BEGIN PRIVATE KEY-----\nhunter2\n"),
    ],
)
def test_a_wrong_value_is_told_without_its_secrets(option: str, value: str) -> None:
    with pytest.raises(InvalidConfigError, match=option) as caught:
        load(config={option: value})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '"text"', '{"a": 1,}'])
def test_a_file_that_is_not_a_json_object_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InvalidConfigError, match=r"config\.json"):
        load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match=r"nowhere\.json"):
        ArcInterface(str(tmp_path / "nowhere.json"), log=None)


def test_a_renewal_threshold_over_the_validity_is_impossible() -> None:
    with pytest.raises(InvalidConfigError, match="PROXY_RENEWAL_THRESHOLD"):
        load(config={"PROXY_VALIDITY_PERIOD": 60})


def test_an_unknown_option_is_a_warning_with_the_nearest_name() -> None:
    assert "did you mean CLIENT_KEY?" in warnings_of(config={"CLIENT_KEYS": "/key"})
    assert "did you mean TIMEOUT?" in warnings_of(environ={"JASMIN_ARC_TIMEOUTS": "1"})
    assert warnings_of(config={"TIMEOUT": 1, "# a comment": ""}) == ""


def test_unknown_options_are_told_without_a_logger_too(caplog: pytest.LogCaptureFixture) -> None:
    options = {"ARC_SEVER": "ce.example.org", "colour": "red", "# ARC_SEVER": "a comment", "#TIMEOUT": 5}
    assert ConnectionConfig(options).ARC_SERVER == ConnectionConfig.ARC_SERVER
    assert [record.getMessage() for record in caplog.records if record.name == "jasmin_arc"] == [
        "the configuration: there is no option 'ARC_SEVER'; did you mean ARC_SERVER?",
        f"the configuration: there is no option 'colour'; the options are {', '.join(OPTIONS)}",
    ]


def test_a_configuration_knows_its_unknown_options(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"arc_server": "ce.example.org", "# arc_server": "a comment", "colour": "red", "TIMEOUT": 1}')
    silent = logging.Logger("test")
    silent.addHandler(logging.NullHandler())
    environ = {"JASMIN_ARC_CLIENT_KEYS": "/key", "JASMIN_ARC_TEST_CONFIG": "not for the library"}
    config = load(path, environ=environ, config={"BACKENDS": "local"}, logger=silent)
    assert config.unknown == (
        ("arc_server", str(path), "ARC_SERVER"),
        ("colour", str(path), ""),
        ("CLIENT_KEYS", "the environment variable JASMIN_ARC_CLIENT_KEYS", "CLIENT_KEY"),
        ("BACKENDS", "the config argument", "BACKEND"),
    )
    assert load().unknown == ()


@given(st.dictionaries(st.text(), st.none()))
def test_any_key_is_an_option_a_comment_or_unknown(options: dict[str, None]) -> None:
    silent = logging.Logger("test", logging.CRITICAL)
    keys = [key for key in options if key not in OPTIONS]
    unknown = ConnectionConfig(dict.fromkeys(keys), silent).unknown
    assert [option.name for option in unknown] == [key for key in keys if not key.startswith("#")]


def test_the_usual_place_is_looked_at_last(tmp_path: Path) -> None:
    usual, named = tmp_path / "jasmin_arc" / "config.json", tmp_path / "named.json"
    usual.parent.mkdir()
    usual.write_text('{"TIMEOUT": 1}')
    named.write_text('{"TIMEOUT": 2}')
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert load(environ=environ).TIMEOUT == 1
    assert load(environ={**environ, "JASMIN_ARC_CONFIG": str(named)}).TIMEOUT == 2


def test_the_2017_constructor_still_works() -> None:
    config = ConnectionConfig({"OUTPUT_FILE": "result"}, None)
    assert config.OUTPUT_FILE == "result"
    assert ArcInterface(log=None, config=config).config is config


def test_as_dict_can_be_read_again() -> None:
    config = load(config={"TIMEOUT": 5})
    assert set(config.as_dict()) == set(OPTIONS)
    assert ConnectionConfig(json.loads(json.dumps(config.as_dict()))).as_dict() == config.as_dict()


def test_the_example_file_is_valid() -> None:
    config = load(Path(__file__).parents[2] / "config.example.json")
    assert not config.is_default("CLIENT_KEY")


def test_an_empty_path_in_the_environment_names_no_file(tmp_path: Path) -> None:
    environ = {"JASMIN_ARC_CONFIG": "", "XDG_CONFIG_HOME": str(tmp_path)}
    assert ConnectionConfig.load(environ=environ).is_default("ARC_SERVER")


@pytest.mark.parametrize(
    ("name", "problem"), [("/abs", "must be a name inside"), ("@x", "must not start with @"), ("", "must be a name")]
)
def test_an_impossible_output_is_named_once(name: str, problem: str) -> None:
    with pytest.raises(InvalidConfigError, match=problem) as caught:
        load(config={"OUTPUT_FILE": name})
    assert str(caught.value).count(repr(name)) == 1


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        ("testvo", "testvo"),
        ("vo.example.org", "vo.example.org"),
        ("testvo:/testvo/climate/Role=production", "testvo:/testvo/climate/Role=production"),
        ("testvo:/climate/Role=production", "testvo:/testvo/climate/Role=production"),
        ("testvo:/Role=production", "testvo:/testvo/Role=production"),
        ("testvo:/testvo", "testvo:/testvo"),
        ("testvo:/testvox", "testvo:/testvo/testvox"),
    ],
)
def test_the_attributes_that_are_asked_for_begin_with_their_vo(value: str, whole: str) -> None:
    assert whole == ConnectionConfig({"VOMS": value}).VOMS


@given(st.text(alphabet="ab:/=-. \n,'RoleNä") | st.from_regex(r"a(:(/a)?(/b|/-|//)?(/Role=[a-]*)?)?", fullmatch=True))
def test_no_value_of_voms_could_be_an_option_or_something_else_in_a_request(value: str) -> None:
    try:
        whole = ConnectionConfig({"VOMS": value}).VOMS
    except InvalidConfigError:
        return
    vo, _, name = whole.partition(":")
    assert whole == ConnectionConfig({"VOMS": whole}).VOMS
    assert not whole.startswith("-") and whole.isascii() and not set(whole) & set(" \n,'&?%")
    assert not name or name == f"/{vo}" or name.startswith(f"/{vo}/")
