"""How often Slurm is asked while many processes wait, counted by a wrapper of squeue."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeArc

from jasmin_arc import ArcInterface, JobDescription

pytestmark = [pytest.mark.grid, pytest.mark.timeout(900)]
PROCESSES = 5
WAIT = """
import json, sys, time
from jasmin_arc import ArcInterface, WaitTimeoutError
with ArcInterface(log=None, config=json.loads(sys.argv[1])) as arc:
    until = time.monotonic() + float(sys.argv[2])
    try:
        for job in arc.as_completed(arc.job_list.ids(), timeout=until - time.monotonic()):
            print(job.id, time.time(), flush=True)
    except WaitTimeoutError:
        pass
"""


@pytest.fixture
def counted(
    make_arc: MakeArc,
    options_of: Callable[[str], dict[str, Any]],
    slurm_environment: Callable[[str], AbstractContextManager[None]],
    tmp_path: Path,
) -> Iterator[tuple[ArcInterface, Path]]:
    """An interface, and the file to which squeue adds a line each time it is asked."""
    programs, calls = Path(options_of("slurm")["SLURM_BIN"]), tmp_path / "calls"
    calls.touch()
    (tmp_path / "bin").mkdir()
    for name in ("sbatch", "scancel", "scontrol", "sacct", "sinfo"):
        (tmp_path / "bin" / name).symlink_to(programs / name)
    squeue = tmp_path / "bin" / "squeue"
    squeue.write_text(f'#!/bin/sh\necho asked >>"{calls}"\nexec "{programs}/squeue" "$@"\n')
    squeue.chmod(0o755)
    with slurm_environment("slurm"):
        yield make_arc("slurm", SLURM_BIN=str(squeue.parent), SLURM_DIR=str(tmp_path / "dir")), calls


@pytest.mark.parametrize(("seconds", "most"), [(45, 5), pytest.param(600, 25, marks=pytest.mark.soak)])
def test_many_who_wait_ask_as_rarely_as_one_and_see_ends_at_once(
    counted: tuple[ArcInterface, Path], seconds: int, most: int
) -> None:
    arc, calls = counted
    late = [JobDescription("true", outputs=[], native={"begin": "now+1hour"}) for _ in range(999)]
    ends_alone = JobDescription("sleep", [str(seconds * 2 // 3)], outputs=[], memory="64 MB")
    *_, last = arc.submit_jobs([*late, ends_alone])
    calls.write_text("")
    command = [sys.executable, "-c", WAIT, json.dumps(arc.config.as_dict()), str(seconds)]
    waiting = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    seen = [process.communicate(timeout=seconds + 120)[0].split() for process in waiting]
    asked = len(calls.read_text().splitlines())
    assert 1 <= asked <= most
    ended = arc.get_job_info(last).ended
    assert ended is not None
    for job_id, moment in seen:
        assert job_id == last
        assert float(moment) - ended.timestamp() < 3, time.ctime(float(moment))
