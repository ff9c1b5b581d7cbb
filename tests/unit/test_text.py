"""Texts of others are made fit to be shown, and times are written in one form."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta, timezone
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jasmin_arc._support.text import counted, told, undoubled, utc, without_secrets_of_urls
from jasmin_arc.backends.rest.glue2 import job_info, stream_names


def twice_too_often(text: str) -> str:
    """Encode a text as A-REX's information provider does."""
    return text.encode().decode("latin-1").encode().decode("latin-1")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_that_was_encoded_twice_too_often_is_repaired(text: str) -> None:
    assert undoubled(twice_too_often(text)) == text


@pytest.mark.parametrize("text", ["", "model-1961", "précip2", "Ã©", "日本 €", "naïve Â©"])
def test_a_sound_text_stays(text: str) -> None:
    assert undoubled(text) == text


# The encodings of these end with characters that Unicode takes for white space.
@pytest.mark.parametrize("name", ["précip2", "voilà", "Å", "日本 €", "plain"])
def test_what_a_compute_element_publishes_of_a_job_has_its_name(name: str) -> None:
    activity = ElementTree.fromstring(
        f"<ComputingActivity><Name>\n {twice_too_often(name)} </Name><Error>{twice_too_often('no ' + name)}</Error>"
        f"<StdOut>{twice_too_often(name)}.txt</StdOut></ComputingActivity>"
    )
    info = job_info(activity)
    assert (info.name, info.errors) == (name, (f"no {name}",))
    assert stream_names(activity) == {"stdout": f"{name}.txt"}


def test_a_repaired_name_can_do_nothing_to_a_terminal() -> None:
    activity = ElementTree.fromstring(
        f"<ComputingActivity><Name>{twice_too_often('é' + chr(0x9B) + '2J')}</Name></ComputingActivity>"
    )
    assert job_info(activity).name == "é 2J"


def test_errors_of_the_operating_system_come_without_their_numbers() -> None:
    assert told(FileNotFoundError(2, "No such file or directory", "/x\ny")) == "No such file or directory: /x y"
    assert told(PermissionError(13, "Permission denied")) == "Permission denied"
    assert told(OSError("odd")) == told(ValueError("odd")) == "odd"


def test_one_is_no_plural() -> None:
    assert [counted(number, "job") for number in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]


def test_times_are_in_utc() -> None:
    moment = datetime(2026, 11, 18, 14, 46, 57, tzinfo=timezone(timedelta(hours=1)))
    assert utc(moment) == "2026-11-18 13:46 UTC"


def test_the_secrets_of_a_long_hostile_text_are_found_soon() -> None:
    begin = time.process_time()
    for text in ("://" * 100_000, "://@" * 100_000, "?" * 100_000, "://a?" * 100_000):
        without_secrets_of_urls(text)
    assert time.process_time() - begin < 5


URLS = st.lists(st.sampled_from(["://", "?", "/", "a", "@", " ", "\n", "é"]), max_size=20).map("".join)


@given(text=URLS)
def test_a_query_is_cut_wherever_a_url_has_one(text: str) -> None:
    shown = without_secrets_of_urls(text)
    assert not re.search(r"://[^\s?]*\?(?!\.\.\.(\s|$))\S", shown)
    if "?" not in text and "@" not in text:
        assert shown == text
