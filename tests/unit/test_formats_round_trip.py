"""What is written in one of ARC's languages is read back the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from portable_descriptions import CONTROL_TEXTS, MEGABYTE, portable_descriptions

from jasmin_arc import InvalidJobDescription, JobDescription
from jasmin_arc.description.formats.adl import from_adl, to_adl
from jasmin_arc.description.formats.jsdl import from_jsdl
from jasmin_arc.description.formats.rsl import parse, quote
from jasmin_arc.description.formats.xrsl import from_xrsl, to_xrsl

relaxed = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


@relaxed
@given(portable_descriptions())
def test_adl(job: JobDescription) -> None:
    assert from_adl(to_adl(job)) == job


@relaxed
@given(portable_descriptions(CONTROL_TEXTS))
def test_xrsl(job: JobDescription) -> None:
    assert from_xrsl(to_xrsl(job)) == job


@given(st.lists(CONTROL_TEXTS, min_size=1))
def test_quoted_texts(values: list[str]) -> None:
    (condition,) = parse(f"&(arguments = {' '.join(map(quote, values))})")
    assert condition.values == tuple(values)


@given(st.text() | st.text(st.sampled_from("&|+()=!<>\"'^#$*aB_ \n")))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (from_adl, from_xrsl, from_jsdl):
        try:
            assert isinstance(read(text), JobDescription)
        except InvalidJobDescription as error:
            assert str(error)


@given(st.text(st.sampled_from("(=*)\"'# $^&x"), max_size=60))
def test_any_list_of_values_is_read_or_refused(text: str) -> None:
    try:
        assert from_xrsl(f"&(executable=/bin/x)(arguments={text})").arguments is not None
    except InvalidJobDescription as error:
        assert "xRSL" in str(error) or "arguments" in str(error)


BAD: list[tuple[str, dict[str, Any]]] = [
    ("steps", {"steps": [["a"], ["b"]]}),
    ("stop_on_failure", {"executable": "a", "stop_on_failure": False}),
    ("inputs: f", {"executable": "a", "inputs": {"f": b"content"}}),
    ("stdin", {"executable": "a", "stdin": b"content"}),
    ("outputs", {"executable": "a", "outputs": ["*.nc"]}),
    ("outputs", {"executable": "a", "outputs": ["@list"]}),
    ("native", {"executable": "a", "native": {"exclusive": True}}),
    ("executable", {"executable": "bin/tool"}),
    ("executable", {"executable": "A=1"}),
    ("executable", {"executable": "$HOME/x"}),
]


@pytest.mark.parametrize(("field", "values"), BAD)
@pytest.mark.parametrize("write", [to_adl, to_xrsl])
def test_what_cannot_be_expressed_is_an_error_that_names_the_field(write: Any, field: str, values: Any) -> None:
    with pytest.raises(InvalidJobDescription, match=field):
        write(JobDescription(**values))


def test_an_account_has_a_place_in_xrsl_alone() -> None:
    job = JobDescription(executable="/bin/x", account="gws1")
    assert '(project = "gws1")' in to_xrsl(job)
    assert from_xrsl(to_xrsl(job)) == job
    with pytest.raises(InvalidJobDescription, match="account: ADL"):
        to_adl(job)


def test_characters_that_xml_cannot_carry_are_named() -> None:
    with pytest.raises(InvalidJobDescription, match=r"arguments.*U\+0001"):
        to_adl(JobDescription(executable="/bin/echo", arguments=["\x01"]))


def test_memory_in_xrsl_is_rounded_up_to_its_unit() -> None:
    job = JobDescription(executable="/bin/x", memory=MEGABYTE + 1)
    assert from_xrsl(to_xrsl(job)).memory == 2 * MEGABYTE


def test_a_program_on_the_path_is_none_of_the_local_files() -> None:
    """ARC's clients upload a program whose path is relative."""
    job = JobDescription(executable="python3", arguments=["-V"])
    assert "/usr/bin/env" in to_adl(job)
    assert "/usr/bin/env" in to_xrsl(job)


def test_all_keep_or_default_outputs_differ() -> None:
    nothing, default = JobDescription(executable="a", outputs=[]), JobDescription(executable="a")
    for read, write in ((from_adl, to_adl), (from_xrsl, to_xrsl)):
        assert read(write(nothing)).outputs == {}
        assert read(write(default)).outputs is None


def test_paths_are_written_as_they_are() -> None:
    job = JobDescription(executable="/bin/x", inputs={"a:b": Path("a:b"), "@c": Path("/tmp/@c d;e=1%20")})
    assert from_xrsl(to_xrsl(job)) == job
    assert "./a:b" in to_adl(job)
