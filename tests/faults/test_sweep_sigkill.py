"""A sweep whose process is killed again and again: each call is made once, and each result arrives."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sweeping


@pytest.mark.parametrize("kills", [8, pytest.param(60, marks=pytest.mark.soak)])
@pytest.mark.parametrize("backend", ["local", pytest.param("slurm", marks=pytest.mark.grid)])
def test_each_call_is_made_once_however_often_the_process_is_killed(
    backend: str, kills: int, options_of: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "calls"
    folder.mkdir(mode=0o777)
    config = tmp_path / "config.json"
    own = {"BACKEND": backend, "LOCAL_DIR": str(tmp_path / "local"), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
    config.write_text(json.dumps({**options_of(backend), **own, "LOCAL_SLOTS": 4}))
    command = [sys.executable, str(Path(sweeping.__file__)), str(config), str(folder)]
    chance = random.Random(kills)
    killed = 0
    for _ in range(kills):
        process = subprocess.Popen(command)
        try:
            process.wait(timeout=0.2 + chance.random() * 0.6)
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.wait()
    assert killed > 3
    subprocess.run(command, check=True, timeout=120)
    assert (folder / "results").read_text() == repr([number**2 for number in range(sweeping.CALLS)])
    made = sorted(int(path.name.split("-")[0]) for path in folder.glob("*-*"))
    assert made == list(range(sweeping.CALLS))
