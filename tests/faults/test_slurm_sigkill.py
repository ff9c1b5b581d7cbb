"""Submitters that are killed: no job is lost, none runs twice, none is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeArc, slurm_folder
from faults.slurm_kit import Place, assert_settled, make_place, settle

pytestmark = pytest.mark.grid
SEED = 20261122


@pytest.fixture
def place(
    request: pytest.FixtureRequest,
    options_of: Callable[[str], dict[str, Any]],
    slurm_environment: Callable[[str], AbstractContextManager[None]],
) -> Iterator[Place]:
    backend = getattr(request, "param", "slurm")
    with slurm_environment(backend):
        place = make_place(slurm_folder(request, backend), options_of(backend), "kill")
        yield place
        place.wipe()


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("place", ["slurm", "slurm-ssh"], indirect=True)
@pytest.mark.parametrize("rounds", [40, pytest.param(250, marks=pytest.mark.soak)])
def test_wherever_a_submission_is_killed_no_job_is_lost_or_run_twice(
    place: Place, make_arc: MakeArc, monkeypatch: pytest.MonkeyPatch, rounds: int
) -> None:
    arc = make_arc("slurm", **place.options)
    script = str(Path(__file__).with_name("killed_slurm_submitter.py"))
    command = [sys.executable, script, json.dumps(arc.config.as_dict()), str(place.grid), "k", str(rounds), str(SEED)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    output = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2500, env=environment)
    assert output.returncode == 0, output.stderr
    told = json.loads(output.stdout)
    print(told, output.stderr)
    assert told["killed"] > rounds // 2
    assert told["failed"] == 0, output.stderr

    monkeypatch.setattr("jasmin_arc.backends.slurm.recovery._STILL_ON_ITS_WAY", timedelta(seconds=5))
    settle(arc)
    ids = assert_settled(arc, place, [f"k-first-{number}" for number in range(4)])
    arc.clean_jobs(ids, force=True)
    assert place.folders() == set()
