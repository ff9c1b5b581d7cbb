from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import MakeArc
from faults.settled import assert_settled

from jasmin_arc import JobStatuses
from jasmin_arc.backends.rest.backend import RestBackend

SEED = 20261120


@pytest.mark.grid
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("place", "rounds"),
    [
        ("rest", 24),
        ("rest-7-token", 20),
        *(pytest.param(place, 110, marks=pytest.mark.soak) for place in ("rest", "rest-7-token")),
    ],
)
def test_wherever_a_submission_is_killed_no_job_is_lost_or_run_twice(
    make_arc: MakeArc, monkeypatch: pytest.MonkeyPatch, rounds: int, place: str
) -> None:
    arc = make_arc(place)
    backend = arc.backend
    assert isinstance(backend, RestBackend)
    run = f"kill{uuid.uuid4().hex[:8]}"
    before = backend.list_jobs()
    script = Path(__file__).with_name("killed_submitter.py")
    command = [sys.executable, str(script), json.dumps(arc.config.as_dict()), run, str(rounds), str(SEED)]
    output = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert output.returncode == 0, output.stderr
    assert json.loads(output.stdout)["killed"] > rounds // 2

    # Not a minute, as here no request is under way for longer.
    monkeypatch.setattr("jasmin_arc.backends.rest.recovery._STILL_ON_ITS_WAY", timedelta(seconds=5))
    time.sleep(5)
    arc.recover()
    assert arc.job_list.unfinished(backend.endpoint) == []
    jobs = assert_settled(backend, arc.job_list, run, before)
    assert jobs
    assert set(arc.wait(jobs, timeout=200)) == {JobStatuses.COMPLETED}
    assert arc.recover() == {}
