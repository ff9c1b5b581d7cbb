"""What people see: no letter is lost, no word is broken that could stay whole, and each thing has one form."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jasmin_arc._support.quantities import duration, local_time, size
from jasmin_arc._support.text import utc
from jasmin_arc._support.values import for_programs, status_words
from jasmin_arc.cli.output import console
from jasmin_arc.constants import JobState, JobStatuses
from jasmin_arc.description.quantities import parse_duration
from jasmin_arc.display.columns import DONE, ENDS, FILES, JOBS, OUTCOMES, Column
from jasmin_arc.display.site import QOS, QUEUES, filled
from jasmin_arc.display.tables import make_record, make_table
from jasmin_arc.display.text import fold, width_of, wrap

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
    assert fold("/work/users/jane/model.nc", 12) == ["/work/users/", "jane/", "model.nc"]
    assert fold("a-b" * 3, 5) == ["a-ba-", "ba-b"]
    assert fold("a" * 5, 2) == ["aa", "aa", "a"]


@given(LINES, WIDTHS)
@example("'_''", 2)
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


def test_parts_of_a_line_stay_together() -> None:
    text = "Watch: jasmin-arc status 1a2b   Results: jasmin-arc output 1a2b"
    assert wrap(text, 80) == text
    assert wrap(text, 50).splitlines() == ["Watch: jasmin-arc status 1a2b", "Results: jasmin-arc output 1a2b"]


def test_what_continues_a_line_is_indented_as_it_is() -> None:
    assert wrap("cause\n  - evidence of it\n", 14).split("\n") == ["cause", "  - evidence", "  of it", ""]
    assert wrap("  export JASMIN_ARC_CONFIG=here", 14) == "  export JASMIN_ARC_CONFIG=here"


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


# --- Tables ---

CELLS = st.text(st.sampled_from("ab-_./ é海"), max_size=70).map(lambda text: " ".join(text.split()))
ROWS = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["45PLDmnL", "https://ce.example.ac.uk:443/arex/rest/1.0/jobs/45PLDmnL0oAoOSAtDm"]),
        "status": st.sampled_from([status.value for status in JobStatuses]),
        "name": CELLS,
        "outcome": CELLS,
        "done": CELLS,
    },
    optional={
        "state": st.sampled_from(JobState),
        "exit_code": st.integers(0, 255),
        "submitted": st.integers(0, 2**32).map(lambda moment: datetime.fromtimestamp(moment, timezone.utc)),
        "size": st.integers(0, 1 << 50),
        "free_slots": st.integers(0, 10**6),
        "total_slots": st.integers(0, 10**6),
        "running": st.integers(0, 10**6),
        "waiting": st.integers(0, 10**6),
        "max_wall_time": st.timedeltas(timedelta(0), timedelta(days=400)),
        "max_slots": st.integers(0, 10**6),
        "max_memory": st.integers(0, 1 << 50),
    },
)


def lines_of(table: Any, width: int) -> list[str]:
    screen = console()
    screen.width = width
    with screen.capture() as capture:
        screen.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize(
    "columns", [JOBS, ENDS, OUTCOMES, DONE, FILES, QUEUES, QOS], ids=lambda columns: columns[-1].key
)
@given(rows=st.lists(ROWS, min_size=1, max_size=4), width=st.integers(24, 130))
def test_a_table_is_all_there_and_breaks_no_word_that_fits(
    columns: tuple[Column, ...], rows: list[dict[str, Any]], width: int
) -> None:
    table = make_table(rows, columns, width)
    lines = lines_of(table, width)
    assert all(width_of(line) <= width for line in lines)
    assert sorted(letters("".join(lines))) == sorted(letters("".join(map("".join, table.rows))))
    for row in table.rows:
        for text, room in zip(row, table.widths):
            folded = [word for line in fold(text, room) for word in line.split()]
            assert [word for word in text.split() if width_of(word) <= room and word not in folded] == []
    numbers = [column for column in columns if column.right and column.from_width <= width]
    for number in " ".join(column.show(row.get(column.key)) for column in numbers for row in rows).split():
        assert any(number in line.split() for line in lines)


@given(row=ROWS, width=st.integers(24, 130))
def test_a_record_is_all_there(row: dict[str, Any], width: int) -> None:
    table = make_record(row, width)
    lines = lines_of(table, width)
    assert all(width_of(line) <= width for line in lines)
    assert sorted(letters("".join(lines))) == sorted(letters("".join(map("".join, table.rows))))


def test_queues_at_sixty_columns() -> None:
    queue = {"name": "long", "free_slots": 64, "total_slots": 64, "running": 12, "waiting": 3, "max_slots": 64}
    rows = [{**queue, "max_wall_time": timedelta(days=7), "max_memory": 64 << 30}]
    shown = lines_of(make_table(rows, filled(QUEUES, rows), 60), 60)
    assert [line.split() for line in shown] == [
        ["QUEUE", "FREE", "SLOTS", "RUNNING", "WAITING", "MAX", "MAX", "MAX"],
        ["TIME", "SLOTS", "MEMORY"],
        ["long", "64", "64", "12", "3", "7", "d", "64", "64", "GB"],
    ]


def test_room_goes_to_whole_words_first() -> None:
    rows = [{"id": "1", "outcome": "a" * 12 + " b" * 30, "name": "n" * 20}]
    columns = (Column("outcome", "OUTCOME"), Column("name", "NAME"))
    assert make_table(rows, columns, 40).widths == [18, 20]


# --- Times, durations, sizes ---


@pytest.fixture
def _in_london(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/London")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


NOON = datetime(2026, 11, 20, 12, 34, 56, tzinfo=timezone.utc)


@pytest.mark.usefixtures("_in_london")
def test_times_say_their_zone() -> None:
    zone = datetime.now().astimezone().tzname()
    shown = {"GMT": "2026-11-20 12:34", "BST": "2026-11-20 13:34"}[str(zone)]
    assert local_time(NOON) == f"{shown}:56 {zone}"
    (heading, cells) = make_table([{"id": "x", "status": "completed", "submitted": NOON}], JOBS, 80).rows
    assert dict(zip(heading, cells))[f"SUBMITTED ({zone})"] == shown
    # One table has one zone, also for times from the other half of the year.
    assert {local_time(NOON + timedelta(days=days)).rpartition(" ")[2] for days in range(0, 365, 30)} == {zone}
    assert utc(NOON.astimezone()) == "2026-11-20 12:34 UTC"


def test_durations_and_sizes_have_one_form() -> None:
    seconds = (0, 0.5, 2.004, 9, 59.9, 85, 3600, 3601, 7383, 90061, -5, -0.5)
    assert [duration(timedelta(seconds=number)) for number in seconds] == [
        "0 s",
        "0.5 s",
        "2.0 s",
        "9 s",
        "59 s",
        "1 min 25 s",
        "1 h",
        "1 h 1 s",
        "2 h 3 min 3 s",
        "1 d 1 h 1 min 1 s",
        "-5 s",
        "-0.5 s",
    ]
    assert [size(n) for n in (0, 1023, 1024, 15 << 20, 3 << 40)] == ["0 B", "1023 B", "1.0 kB", "15 MB", "3.0 TB"]


@given(st.integers(1, 10**8))
def test_a_duration_that_is_shown_can_be_given_back(seconds: int) -> None:
    shown = duration(timedelta(seconds=seconds))
    assert parse_duration(shown, "wall_time") == timedelta(seconds=seconds)
