"""Marks of processes, checked from other processes."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

from jasmin_arc.job_list.process_mark import owner_lives, owner_mark

LONG_AGO = datetime.now(timezone.utc) - timedelta(days=1)


def now() -> datetime:
    return datetime.now(timezone.utc)


def changed(**parts: str) -> str:
    names = ("host", "boot", "namespace", "pid", "start")
    return " ".join({**dict(zip(names, owner_mark().split(" "))), **parts}.values())


def test_this_process_lives() -> None:
    assert owner_lives(owner_mark(), LONG_AGO)


def test_a_process_lives_until_it_ends() -> None:
    script = "from jasmin_arc.job_list.process_mark import owner_mark; print(owner_mark(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as child:
        assert child.stdout is not None
        mark = child.stdout.readline().decode().strip()
        assert owner_lives(mark, LONG_AGO)
        child.kill()
        # Ended, but not reaped: a zombie.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not owner_lives(mark, now())
    assert not owner_lives(mark, now())


def test_another_process_with_the_same_number_is_not_it() -> None:
    assert not owner_lives(changed(start="1"), now())


def test_no_process_survives_a_reboot() -> None:
    assert not owner_lives(changed(boot="another"), now())


@pytest.mark.parametrize("elsewhere", [{"host": "elsewhere", "boot": "another"}, {"namespace": "pid:[1]"}])
def test_what_cannot_be_looked_up_counts_as_alive_for_a_while(elsewhere: dict[str, str]) -> None:
    assert owner_lives(changed(**elsewhere), now())
    assert not owner_lives(changed(**elsewhere), LONG_AGO)


@pytest.mark.parametrize("mark", ["", "nonsense", "a b c d e", "a b c 1"])
def test_what_is_no_mark_is_nobodys(mark: str) -> None:
    assert not owner_lives(mark, now())
