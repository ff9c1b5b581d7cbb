"""A board says how many jobs are in which state, shows first those that failed, and costs no question of its own."""

from __future__ import annotations

import io
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_html import HOSTILE, TEXTS, Outline, words

from jasmin_arc import ArcInterface, JobDescription, JobNotFoundError, Jobs, JobStatuses, LogLevels, WaitTimeoutError
from jasmin_arc._support import screens
from jasmin_arc._support.screens import Redrawn
from jasmin_arc.cli.output import console
from jasmin_arc.display.board import Board

IDS = [f"https://ce.example.ac.uk:443/arex/rest/1.0/jobs/45PLDmnL0oAoOSAtDm{number:05}" for number in range(10_000)]
STATUSES = ["completed", "failed", "cancelled", "in progress", "not started", "not submitted", "submitted", "unknown"]


def board_of(*statuses: str, **options: Any) -> Board:
    return Board(dict(zip(IDS, statuses)), **options)


def test_a_board_counts_and_shows_the_failed_jobs_first() -> None:
    board = board_of(
        *("completed", "in progress", "failed", "not started", "completed"),
        names={IDS[2]: "m-3"},
        reasons={IDS[2]: "exit code 3"},
        seconds=83.7,
        note="a note",
    )
    head = "3 of 5 jobs ended after 1 min 23 s: 2 completed, 1 failed, 1 in progress, 1 not started"
    assert board.line == head
    assert board.text().splitlines() == [head, "  failed  m-3  45PLDmnL0oAoOSAtDm00002  exit code 3", "a note"]
    assert [row["status"] for row in board.rows] == ["failed", "in progress", "not started", "completed", "completed"]
    shown = words(board.html())
    assert shown.startswith(f"{head} statusnamejobwhy ● failed m-3 45PLDmnL0oAoOSAtDm00002 exit code 3")
    assert shown.endswith("a note")


def test_a_board_of_ten_thousand_jobs_is_small() -> None:
    many = Board(
        {job_id: STATUSES[number % len(STATUSES)] for number, job_id in enumerate(IDS)},
        dict.fromkeys(IDS, HOSTILE * 1000),
        dict.fromkeys(IDS, HOSTILE * 1000),
        note=HOSTILE * 1000,
    )
    page = many.html()
    assert len(page.encode()) < 64_000
    assert page.count("<tr") == 21
    assert "and 9980 more" in page
    assert {row["status"] for row in many.rows} == {"failed"}
    begin = time.perf_counter()
    board_of(*["in progress"] * len(IDS)).html()
    assert time.perf_counter() - begin < 3


@given(text=TEXTS, status=st.sampled_from(STATUSES))
@example(text=HOSTILE, status="failed")
def test_no_text_on_a_board_becomes_html(text: str, status: str) -> None:
    def tags(shown: str) -> list[Any]:
        job_id = f"https://ce.example/{shown}"
        return Outline(Board({job_id: status}, {job_id: shown}, {job_id: shown}, note=shown).html()).tags

    # A slash would make the last part of the id another one.
    assert tags(text.replace("/", "")) == tags("x")


def test_the_bar_has_a_part_for_each_status() -> None:
    page = board_of("completed", "completed", "failed").html()
    assert re.findall(r"flex:(\d+)", page) == ["2", "1"]
    assert "flex" not in Board({}).html()
    assert Board({}).line == "0 of 0 jobs ended after 0 s: nothing to watch"


@given(statuses=st.lists(st.sampled_from(STATUSES), max_size=60), width=st.integers(24, 120))
def test_a_board_on_a_terminal_says_the_same(statuses: list[str], width: int) -> None:
    board = board_of(*statuses, note="a note")
    screen = console()
    screen.width, screen.height = width, 40
    with screen.capture() as capture:
        screen.print(board)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert all(len(line) <= width for line in lines)
    assert board.line in " ".join(lines)
    assert lines[-1] == "a note"
    assert "".join(lines).count("━") == (min(width, 40) if statuses else 0)
    if len(statuses) > 20:
        assert lines[-2] == f"and {len(statuses) - 20} more"


def test_a_small_terminal_shows_fewer_jobs() -> None:
    screen = console()
    screen.width, screen.height = 80, 12
    with screen.capture() as capture:
        screen.print(board_of(*["in progress"] * 30))
    assert len(capture.get().splitlines()) <= 12
    assert "and 26 more" in capture.get()


# --- Where it is shown ---


@pytest.fixture
def arc(tmp_path: Path) -> Iterator[ArcInterface]:
    options = {"local_dir": tmp_path / "local", "jobs_info_file": tmp_path / "jobs.dat", "local_slots": 4}
    with ArcInterface(backend="local", log=None, **options) as arc:
        yield arc
        arc.cancel_jobs(arc.list_jobs())


def sleeping(seconds: float, number: int = 2) -> list[JobDescription]:
    return [JobDescription("/bin/sleep", [seconds], name=f"m-{one}") for one in range(number)]


def test_a_log_gets_a_line_at_the_beginning_and_at_the_end(
    arc: ArcInterface, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = arc.submit([*sleeping(2.5), JobDescription("/bin/false", name="bad")])
    assert arc.watch(jobs) is jobs
    (first, last, bad, note) = capsys.readouterr().err.splitlines()
    assert first == "0 of 3 jobs ended after 0 s: 3 submitted"
    assert re.fullmatch(r"3 of 3 jobs ended after \d+ s: 2 completed, 1 failed", last)
    assert bad.split()[:2] == ["failed", "bad"]
    assert note == "explain() says why a job failed"
    assert [job._word for job in jobs] == ["completed", "completed", "failed"]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_board_is_replaced_and_the_log_stands_above_it(
    arc: ArcInterface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := _Terminal())
    other = ArcInterface(config=arc.config, log=terminal, log_level=LogLevels.WARNING)
    threading.Timer(1.2, other.logger.warning, ["amid"]).start()
    with other:
        other.watch(arc.submit(sleeping(2.5)).ids)
    text = terminal.getvalue()
    assert "\x1b[1A" in text
    # Just before the message, the board is erased; just after it, the board comes back.
    assert re.search(r"\x1b\[1A\x1b\[2K(\x1b\[\?25h)?\[[^\x1b]*\] amid\n(\x1b\[\?25l)?0 of 2 jobs", text), repr(text)
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text[text.rindex("\x1b[1A") :]).splitlines()
    assert re.fullmatch(r"2 of 2 jobs ended after \d+ s: 2 completed", last[0].strip())
    assert [line.split()[:2] for line in last[2:]] == [["STATUS", "NAME"], ["completed", "m-0"], ["completed", "m-1"]]


def test_a_board_costs_no_questions_of_its_own(arc: ArcInterface, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = arc.submit(sleeping(1.5))
    asked: list[str] = []
    with monkeypatch.context() as patch:
        for name in ("query", "list_jobs", "evidence", "site", "open", "list_files"):
            patch.setattr(arc.backend, name, lambda *_, name=name, **__: asked.append(name))
        arc.watch(jobs)
    assert asked == []
    assert repr(jobs[0]).endswith("(completed)>")


def test_time_that_is_up(arc: ArcInterface, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = arc.submit(sleeping(300))
    with pytest.raises(WaitTimeoutError) as caught:
        jobs.watch(timeout=0.5)
    assert sorted(caught.value.unfinished) == sorted(jobs.ids)
    assert capsys.readouterr().err.endswith(
        "stopped; 2 jobs go on: wait() leads back to them, cancel_jobs() ends them\n"
    )
    assert JobStatuses.FAILED not in jobs.statuses


def test_a_job_that_is_not_known_there(arc: ArcInterface, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = arc.submit(sleeping(0.1))
    strange = f"{jobs[0].id.rpartition('/')[0]}/{'0' * 24}"
    with pytest.raises(JobNotFoundError, match=strange):
        arc.watch([*jobs, strange])
    assert "3 of 3 jobs ended" in (told := capsys.readouterr().err)
    assert "2 completed, 1 unknown" in told


def test_in_the_background_a_board_goes_on_and_its_caller_too(
    arc: ArcInterface, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = arc.submit(sleeping(4))
    begin = time.monotonic()
    assert arc.watch(jobs, background=True) == jobs
    assert time.monotonic() - begin < 3
    assert capsys.readouterr().err == "0 of 2 jobs ended after 0 s: 2 submitted\n"
    jobs.wait()
    told = ""
    while not told and time.monotonic() - begin < 20:
        time.sleep(0.1)
        told = capsys.readouterr().err
    assert re.fullmatch(r"2 of 2 jobs ended after \d+ s: 2 completed\n", told)


@pytest.mark.filterwarnings("error")
def test_what_goes_wrong_in_the_background_is_told_by_the_board_alone(
    arc: ArcInterface, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = arc.submit(sleeping(300))
    arc.watch(jobs, background=True)
    capsys.readouterr()
    arc.close()
    begin, told = time.monotonic(), ""
    while not told and time.monotonic() - begin < 20:
        time.sleep(0.1)
        told = capsys.readouterr().err
    assert "the interface was closed while it watched" in told
    assert "Traceback" not in told


def test_no_jobs_at_all(arc: ArcInterface) -> None:
    assert arc.watch([]) == Jobs(arc, [])


class _Shown:
    line = "a line"

    def html(self) -> str:
        return ""

    def text(self) -> str:
        return "lines"


def test_what_cannot_be_shown_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        pause = rest = 0.01

        def show(self, *_: Any, **__: Any) -> None:
            raise OSError("nobody reads any more")

    monkeypatch.setattr(screens, "screen_here", lambda **_: Broken())
    done = []
    with Redrawn(_Shown, lambda: 0, alone=True):
        done.append("the work")
    assert done == ["the work"]


def test_what_changes_is_shown_soon_and_the_time_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        pause, rest = 0.01, 60.0
        shown = 0

        def show(self, *_: Any, **__: Any) -> None:
            self.shown += 1

    monkeypatch.setattr(screens, "screen_here", lambda **_: slow)
    slow, version = Slow(), [0]
    with Redrawn(_Shown, lambda: version[0], alone=True):
        time.sleep(0.3)
        assert slow.shown == 1
        version[0] += 1
        time.sleep(0.3)
        assert slow.shown == 2
    assert slow.shown == 3


def test_an_interrupt_while_a_board_is_drawn_leaves_nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[bool] = []

    class Interrupted:
        pause = rest = 0.01

        def show(self, _: object, *, last: bool) -> None:
            shown.append(last)
            if len(shown) == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(screens, "screen_here", lambda **_: Interrupted())
    with pytest.raises(KeyboardInterrupt), Redrawn(_Shown, lambda: len(shown), alone=True):
        raise AssertionError("the block was entered")
    time.sleep(0.1)
    assert shown == [False, True]
