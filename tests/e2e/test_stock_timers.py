"""Jobs on a compute element of their own, with the timers that users' have: how fresh a start and an end are, and
outages."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jasmin_arc import ArcInterface, JobDescription, JobInfo, JobStatuses

pytestmark = pytest.mark.grid
LIMIT = 240
_BUSY = 8.0
"""Seconds, for a machine that does other things as well; the server itself tells a start up to a minute late"""
GRID = Path(__file__).resolve().parents[1] / "grid" / "grid.sh"
BACKENDS = ["bindings", "rest"]


@dataclass
class OwnGrid:
    """A grid that a test may stop."""

    folder: Path
    port: int

    def __call__(self, *command: str) -> None:
        settings = {"GRID_DIR": str(self.folder), "GRID_PORT": str(self.port), "GRID_TIMERS": "stock"}
        done = subprocess.run(
            [GRID, *command], env={**os.environ, **settings}, capture_output=True, text=True, timeout=LIMIT
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def config(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "config.json").read_text()))

    def noted(self, job_id: str) -> float:
        """When A-REX wrote the job's end down."""
        (status,) = (self.folder / "arc" / "control" / "finished").glob(f"*{job_id.rpartition('/')[2]}*status")
        assert status.read_text().strip() == "FINISHED"
        return status.stat().st_mtime


@pytest.fixture(scope="module")
def own_grid(grid_config: dict[str, Any]) -> Iterator[OwnGrid]:
    """Only where the other grid is: what starts one starts two."""
    # The job's user must be able to enter the folder, which pytest's own do not allow.
    folder = Path(tempfile.mkdtemp(prefix="jasmin-arc-own-", dir="/tmp"))
    grid = OwnGrid(folder, 9000 + os.getpid() % 900)
    try:
        grid("up")
        yield grid
    finally:
        grid("wipe")


@pytest.fixture
def watching(own_grid: OwnGrid, tmp_path: Path) -> Iterator[dict[str, tuple[ArcInterface, io.StringIO]]]:
    """An interface on the own grid for each backend, and its log."""
    made = {}
    for backend in BACKENDS:
        folder = tmp_path / backend
        folder.mkdir()
        log = io.StringIO()
        config = {**own_grid.config(), "BACKEND": backend, "JOBS_INFO_FILE": str(folder / "jobs.dat")}
        made[backend] = ArcInterface(log=log, config={**config, "PROXY_FILE": str(folder / "proxy.pem")}), log
    yield made
    for arc, _ in made.values():
        arc.close()


def seen_ends(arc: ArcInterface, job_ids: list[str]) -> dict[str, float]:
    return {job.id: time.time() for job in arc.as_completed(job_ids, timeout=LIMIT)}


def seen_start(arc: ArcInterface, job_id: str) -> tuple[float, JobInfo]:
    deadline = time.monotonic() + LIMIT
    while arc.get_job_status(job_id) is not JobStatuses.IN_PROGRESS:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return time.time(), arc.get_job_info(job_id)


def test_a_start_is_seen_soon(watching: dict[str, tuple[ArcInterface, io.StringIO]]) -> None:
    delays = {}
    # The second pair, as the server may by chance just have looked when the first one began.
    for backend in [*BACKENDS, *BACKENDS]:
        arc, _ = watching[backend]
        job_id = arc.submit_job("/bin/sh", ["-c", "date +%s.%N; sleep 30"], outputs=[])
        seen, info = seen_start(arc, job_id)
        began = float(arc.job(job_id).stdout())
        delays[job_id] = seen - began
        assert info.started is not None and abs(info.started.timestamp() - began) < _BUSY
        arc.cancel_job(job_id)
    assert max(delays.values()) < _BUSY, delays


def test_an_end_is_seen_soon_after_a_rex_has_noted_it(
    own_grid: OwnGrid, watching: dict[str, tuple[ArcInterface, io.StringIO]]
) -> None:
    jobs = [JobDescription(executable="sleep", arguments=[str(number)], outputs=[]) for number in range(3)]
    submitted = {arc: arc.submit_jobs(jobs) for arc, _ in watching.values()}
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(seen_ends, submitted.keys(), submitted.values()))
    delays = {job_id: seen - own_grid.noted(job_id) for ends in results for job_id, seen in ends.items()}
    assert len(delays) == 6
    # 2 s is the promise; the rest is for a machine that does other things as well.
    assert max(delays.values()) < 3, delays
    assert min(delays.values()) > -0.1, delays


def test_a_wait_survives_a_restart_of_the_compute_element(
    own_grid: OwnGrid, watching: dict[str, tuple[ArcInterface, io.StringIO]]
) -> None:
    ids = {backend: arc.submit_job("sleep", ["5"], outputs=[]) for backend, (arc, _) in watching.items()}
    with ThreadPoolExecutor() as pool:
        waits = {
            backend: pool.submit(arc.wait, [ids[backend]], timeout=LIMIT) for backend, (arc, _) in watching.items()
        }
        own_grid("stop-arex")
        try:
            deadline = time.monotonic() + 60
            while not all("waiting goes on" in log.getvalue() for _, log in watching.values()):
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            own_grid("start-arex")
        assert {backend: wait.result() for backend, wait in waits.items()} == {
            backend: [JobStatuses.COMPLETED] for backend in BACKENDS
        }
    for _, log in watching.values():
        assert log.getvalue().count("waiting goes on") == 1, log.getvalue()
        assert "can be asked about again" in log.getvalue()
