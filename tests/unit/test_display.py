"""What people see: no letter is lost, no word is broken that could stay whole, and each thing has one form."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from jasmin_arc.constants import JobState, JobStatuses
from jasmin_arc.display.columns import JOBS
from jasmin_arc.display.tables import make_table
from jasmin_arc.display.text import fold, width_of, wrap
from jasmin_arc.display.values import for_programs, status_words

WIDTHS = st.integers(min_value=2, max_value=80)
LINES = st.text(st.sampled_from("ab-_./' é海"), max_size=120).map(lambda text: " ".join(text.split()))


def letters(text: str) -> str:
    return re.sub(r"\s", "", text)


# --- Lines ---


@given(LINES, WIDTHS)
@example("m-HadGEM3-1961", 12)
def test_a_folded_text_is_all_there_and_fits(text: str, width: int) -> None:
    lines = fold(text, width)
    assert letters("".join(lines)) == letters(text)
    assert all(width_of(line) <= width for line in lines)


@given(LINES, WIDTHS)
def test_folding_breaks_only_words_that_do_not_fit(text: str, width: int) -> None:
    whole = [word for word in text.split() if width_of(word) <= width]
    found = [word for line in fold(text, width) for word in line.split()]
    assert all(word in found for word in whole)


def test_a_long_name_folds_after_its_signs() -> None:
    assert fold("m-HadGEM3-1961", 12) == ["m-HadGEM3-", "1961"]
    assert fold("/work/users/jane/model.nc", 12) == ["/work/users/", "jane/model.", "nc"]
    assert fold("a" * 5, 2) == ["aa", "aa", "a"]


@given(LINES, WIDTHS)
def test_a_message_ends_its_lines_between_words(text: str, width: int) -> None:
    wrapped = wrap(text, width)
    assert wrapped.split() == text.split()
    for line in wrapped.splitlines():
        assert width_of(line) <= width or " " not in line


def test_what_is_quoted_stays_whole_where_it_can() -> None:
    text = "the job failed; 'jasmin-arc explain 45PLDmnL' says why, and \"jasmin-arc list --name 'm-*'\" lists all"
    assert wrap(text, 40).splitlines() == [
        "the job failed;",
        "'jasmin-arc explain 45PLDmnL' says why,",
        "and \"jasmin-arc list --name 'm-*'\" lists",
        "all",
    ]
    assert wrap("'jasmin-arc explain 45PLDmnL' says why", 20).splitlines() == [
        "'jasmin-arc explain",
        "45PLDmnL' says why",
    ]
    assert wrap("the job's files aren't there", 12).splitlines() == ["the job's", "files aren't", "there"]


def test_what_continues_a_line_is_indented_as_it_is() -> None:
    assert wrap("cause\n  - evidence of it\n", 14).split("\n") == ["cause", "  - evidence", "  of it", ""]


# --- Statuses ---


def test_a_cancelled_job_has_not_failed_for_people() -> None:
    assert status_words("failed", JobState.KILLED) == status_words("failed", "Killed") == "cancelled"
    assert {status_words(state.status.value, state) for state in JobState if state is not JobState.KILLED} == {
        status.value for status in JobStatuses
    }
    row = {"id": "https://ce/1", "status": "failed", "state": JobState.KILLED}
    (_, cells) = make_table([row], JOBS, 80).rows
    assert "cancelled" in cells
    assert for_programs(row["status"]) == "failed"
