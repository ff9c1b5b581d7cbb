"""The command line as a person sees it: in a terminal."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from datetime import datetime
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
    zone = f"({datetime.now().astimezone().tzname()})"
    assert heading.split() == ["JOB", "STATUS", "STATE", "EXIT", "SUBMITTED", zone, "NAME"]
    assert line.split()[:2] == [job_id.rpartition("/")[2][:8], "completed"]
    assert "\x1b[32m" in shown.err
    assert shell.run("status", line.split()[0]).code == 0


def test_no_color_and_the_width_are_respected(shell: Shell) -> None:
    shell.ids("submit", "--name", "a-rather-long-name-for-a-job", "--", "true")
    plain = Shell(shell.home, {**shell.options, "NO_COLOR": "1"}).terminal("list", columns=50)
    assert "\x1b[32m" not in plain.err
    assert "SUBMITTED" not in plain.out
    assert max(len(line.rstrip()) for line in plain.out.splitlines()) <= 50


def test_messages_break_between_words(shell: Shell) -> None:
    shown = shell.terminal("sumbit", columns=40).out
    assert shown.splitlines() == ["jasmin-arc: there is no command", "'sumbit'; did you mean 'submit'?"]
    shown = shell.terminal("submit", "--", "true", columns=40).out
    assert [len(line) <= 40 for line in shown.splitlines()[1:]] == [True] * len(shown.splitlines()[1:])
    assert "'" not in shown


def test_a_newcomer_is_led_on(shell: Shell) -> None:
    assert "jasmin-arc submit --" in shell.terminal("list").out
    assert "jasmin-arc status " in shell.terminal("submit", "--", "true").out
    assert "jasmin-arc run -- hostname" in shell.terminal("doctor").out
    assert "Usage: jasmin-arc" in shell.terminal().out


def test_what_takes_long_says_so_and_leaves_nothing_behind(shell: Shell) -> None:
    shown = shell.terminal("run", "--", "sh", "-c", "sleep 2; echo done")
    assert "running " in shown.err
    assert shown.err.endswith("\x1b[Kdone\r\n")


def test_the_bar_counts_states_and_its_clock_goes_on(shell: Shell) -> None:
    shell = Shell(shell.home, {**shell.options, "JASMIN_ARC_LOCAL_SLOTS": "1"})
    ids = [shell.ids("submit", "--", "sh", "-c", script)[0] for script in ("exit 3", "sleep 4", "true")]
    bars = shell.terminal("wait", *ids, columns=60).err.split("\r")
    waiting = {bar.partition("[")[2] for bar in bars if "1/3" in bar}
    assert {state.partition(", ")[2] for state in waiting} >= {"1 queued, 1 running, 1 failed]"}
    assert len({state.partition(", ")[0] for state in waiting}) >= 2
    assert max(len(bar.rstrip()) for bar in bars if "/3" in bar) <= 60
    assert any("3/3" in bar and "2 completed, 1 failed]" in bar for bar in bars)


def test_ctrl_c_while_waiting(shell: Shell) -> None:
    (job_id,) = shell.ids("submit", "--", "sleep", "60")
    shown = shell.terminal("wait", job_id, keys={"waiting ...": "\x03"})
    assert shown.code == 130
    assert "the job goes on: 'jasmin-arc wait " in shown.out


def test_ctrl_c_never_suggests_more_than_what_goes_on(shell: Shell) -> None:
    ended = [shell.ids("submit", "--name", f"z{number}", "--", "true")[0] for number in range(3)]
    shell.run("wait", *ended)
    (running,) = shell.ids("submit", "--name", "other", "--", "sleep", "60")
    shown = shell.terminal("wait", "--backend", "local", "z*", "other", columns=200, keys={"3/4": "\x03"})
    assert shown.code == 130
    short = running.rpartition("/")[2][:8]
    back, end = f"jasmin-arc --backend local wait {short}", f"jasmin-arc --backend local cancel {short}"
    assert f"the job goes on: '{back}' leads back, '{end}' ends it" in shown.out


def test_ctrl_c_with_many_jobs(shell: Shell) -> None:
    (shell.home / "t.csv").write_text("seconds\n" + "".join(f"{60 + number}\n" for number in range(6)))
    ids = shell.ids("submit", "--table", "t.csv", "--", "sleep", "{seconds}")
    for args in (["wait", "--all"], ["list", "--watch", "--interval", "0.5"]):
        shown = shell.terminal(*args, columns=200, keys={"/6" if "wait" in args else "6 jobs": "\x03"})
        assert shown.code == 130
        told = shown.out[shown.out.index("the 6 jobs go on (") :]
        assert told.startswith(f"the 6 jobs go on ({ids[0].rpartition('/')[2][:8]}, ")
        assert "'jasmin-arc wait JOB...' leads back, 'jasmin-arc cancel JOB...' ends them" in told
        assert "--all" not in told


def test_narrow_terminals_cut_no_number(shell: Shell) -> None:
    name = "n" * 75
    (job_id,) = shell.ids("submit", "-o", name, "--", "sh", "-c", f"head -c 123456 /dev/zero > {name}; exit 3")
    shell.run("wait", job_id)
    files = shell.terminal("files", job_id, columns=60).out
    assert "121 kB" in files
    assert files.count("n") == 75
    shown = shell.terminal("show", job_id, columns=40).out
    assert re.search(r"^exit code +3 *$", shown, re.M)
    assert job_id in re.sub(r"\s", "", shown)
    site = shell.run("site", "--json").json["results"][0]["queues"][0]
    shown = shell.terminal("site", columns=40).out
    assert str(site["total_slots"]) in shown
    assert "SLOTS" in shown


def test_the_doctor_says_that_a_silent_server_takes_long(shell: Shell) -> None:
    (shell.home / "ca").mkdir()
    with socket.create_server(("localhost", 0)) as silent:
        place = {"JASMIN_ARC_BACKEND": "rest", "JASMIN_ARC_ARC_SERVER": f"localhost:{silent.getsockname()[1]}/arex"}
        limits = {"JASMIN_ARC_TIMEOUT": "3", "JASMIN_ARC_CERTS_DIR": str(shell.home / "ca")}
        shown = Shell(shell.home, {**shell.options, **place, **limits}).terminal("doctor")
    assert "checking ..." in shown.err[shown.err.index("name resolution") :]


def test_the_watch_view(shell: Shell) -> None:
    shell.ids("submit", "--name", "long", "--", "sleep", "60")
    shown = shell.terminal("list", "--watch", "--interval", "0.5", keys={"in progress": "\x03"})
    assert shown.code == 130
    assert "1 job, 1 in progress" in shown.out
    assert shown.err.count("\x1b[?1049h") == shown.err.count("\x1b[?1049l") == 1
    assert "the job goes on" in shown.out


def test_standard_input_of_a_terminal_is_not_waited_for(shell: Shell) -> None:
    shown = shell.terminal("status")
    assert shown.code == 2
    assert "say which jobs" in shown.out
