"""The command line as a person sees it: in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_kit import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path, {"JASMIN_ARC_BACKEND": "local"})
    yield shell
    shell.run("cancel", "--all")


def test_tables_have_headings_and_colours(shell: Shell) -> None:
    (job_id,) = shell.ids("submit", "--", "true")
    shell.run("wait", job_id)
    shown = shell.terminal("list")
    heading, line = shown.out.splitlines()
    assert heading.split() == ["JOB", "STATUS", "STATE", "EXIT", "SUBMITTED", "NAME"]
    assert line.split()[:2] == [job_id.rpartition("/")[2][:8], "completed"]
    assert "\x1b[32m" in shown.err
    assert shell.run("status", line.split()[0]).code == 0


def test_no_color_and_the_width_are_respected(shell: Shell) -> None:
    shell.ids("submit", "--name", "a-rather-long-name-for-a-job", "--", "true")
    plain = Shell(shell.home, {**shell.options, "NO_COLOR": "1"}).terminal("list", columns=50)
    assert "\x1b[32m" not in plain.err
    assert "SUBMITTED" not in plain.out
    assert max(len(line.rstrip()) for line in plain.out.splitlines()) <= 50


def test_a_newcomer_is_led_on(shell: Shell) -> None:
    assert "jasmin-arc submit --" in shell.terminal("list").out
    assert "jasmin-arc status " in shell.terminal("submit", "--", "true").out
    assert "jasmin-arc run -- hostname" in shell.terminal("doctor").out
    assert "Usage: jasmin-arc" in shell.terminal().out


def test_what_takes_long_says_so_and_leaves_nothing_behind(shell: Shell) -> None:
    shown = shell.terminal("run", "--", "sh", "-c", "sleep 2; echo done")
    assert "running " in shown.out
    assert shown.err.endswith("\x1b[Kdone\r\n")


def test_ctrl_c_while_waiting(shell: Shell) -> None:
    (job_id,) = shell.ids("submit", "--", "sleep", "60")
    shown = shell.terminal("wait", job_id, keys={"waiting ...": "\x03"})
    assert shown.code == 130
    assert "the job goes on: 'jasmin-arc wait " in shown.out


def test_the_watch_view(shell: Shell) -> None:
    shell.ids("submit", "--name", "long", "--", "sleep", "60")
    shown = shell.terminal("list", "--watch", "--interval", "0.5", keys={"in progress": "\x03"})
    assert shown.code == 130
    assert "1 jobs, 1 in progress" in shown.out
    assert shown.err.count("\x1b[?1049h") == shown.err.count("\x1b[?1049l") == 1
    assert "the job goes on" in shown.out


def test_standard_input_of_a_terminal_is_not_waited_for(shell: Shell) -> None:
    shown = shell.terminal("status")
    assert shown.code == 2
    assert "say which jobs" in shown.out
