"""What README.md promises of a grid, on one of its own beside the usual one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.grid
GRID = Path(__file__).with_name("grid.sh")
DAEMONS = ["munged", "slurmctld", "slurmd", "sshd", "arex-ws", "arex", "accelerate"]


class Grid:
    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    def run(self, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "GRID_DIR": str(self.folder), "GRID_PORT": str(self.port), **settings}
        return subprocess.run([GRID, *command], env=environment, capture_output=True, text=True, timeout=240)

    def up(self) -> None:
        done = self.run("up")
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{self.folder}/config.json\n"

    def pids(self) -> dict[str, int]:
        lines = self.run("status").stdout.splitlines()
        return {line.split(":")[0]: int(line.split()[-1]) for line in lines if ": running, pid " in line}

    def ports(self) -> list[int]:
        """Those of its ports that somebody listens on."""
        found = []
        for port in (self.port, self.port + 1, self.port + 8000, self.port + 16000):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    found.append(port)
        return found


@pytest.fixture(scope="module")
def grid(grid_config: dict[str, Any]) -> Iterator[Grid]:
    """Only where the usual grid is."""
    folder = Path(tempfile.mkdtemp(prefix="jasmin-arc-test-grid-", dir="/tmp"))
    grid = Grid(folder, 10000 + os.getpid() % 900)
    try:
        yield grid
    finally:
        grid.run("wipe")
        shutil.rmtree(folder, ignore_errors=True)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has waited for yet does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_port_that_is_taken_is_named_and_nothing_is_started(grid: Grid) -> None:
    with socket.create_server(("127.0.0.1", grid.port + 16000)):
        done = grid.run("up")
    assert done.returncode == 1
    assert f"port {grid.port + 16000} is in use by" in done.stderr
    assert "GRID_SLURMD_PORT" in done.stderr
    assert grid.pids() == {}


def test_it_comes_up_beside_another_and_a_second_call_changes_nothing(grid: Grid, grid_config: dict[str, Any]) -> None:
    grid.up()
    before = grid.pids()
    assert sorted(before) == sorted(DAEMONS)
    assert grid.ports() == [grid.port, grid.port + 1, grid.port + 8000, grid.port + 16000]
    config = json.loads((grid.folder / "config.json").read_text())
    assert config["ARC_SERVER"] == f"localhost:{grid.port}/arex" != grid_config["ARC_SERVER"]
    assert Path(config["CLIENT_KEY"]).stat().st_mode & 0o777 == 0o600
    grid.up()
    assert grid.pids() == before
    assert grid.run("status").returncode == 0


def test_other_settings_are_refused_while_it_runs(grid: Grid) -> None:
    grid.up()
    timers, port = grid.run("up", GRID_TIMERS="stock"), grid.run("up", GRID_PORT=str(grid.port + 1))
    assert (timers.returncode, port.returncode) == (1, 1)
    assert "running with short timers, not stock" in timers.stderr
    assert f"running on port {grid.port}, not" in port.stderr


def test_a_rex_stops_and_starts_without_slurm_noticing(grid: Grid) -> None:
    grid.up()
    before = grid.pids()
    assert grid.run("stop-arex").returncode == 0
    assert sorted(grid.pids()) == ["munged", "slurmctld", "slurmd", "sshd"]
    assert grid.run("start-arex").returncode == 0
    after = grid.pids()
    assert {name for name in DAEMONS if after[name] != before[name]} == {"arex", "arex-ws", "accelerate"}


def test_it_recovers_from_daemons_that_were_killed(grid: Grid) -> None:
    grid.up()
    for name, pid in grid.pids().items():
        if name in ("munged", "arex", "arex-ws"):
            os.kill(pid, 9)
    assert grid.run("status").returncode == 3
    grid.up()


def test_down_leaves_no_process_and_no_port_and_spares_strangers(grid: Grid) -> None:
    grid.up()
    pids = grid.pids()
    with subprocess.Popen(["sleep", "300"]) as stranger:
        # as if the pid of a daemon that has died belonged to another process by now
        (grid.folder / "arc" / "run" / "accelerate.pid").write_text(f"{stranger.pid}\n")
        for _ in range(2):
            assert grid.run("down").returncode == 0
        assert stranger.poll() is None
        stranger.kill()
    assert not [name for name, pid in pids.items() if alive(pid)]
    assert grid.ports() == []
    assert grid.run("status").returncode == 3
    assert (grid.folder / "arc" / "log" / "arex.log").stat().st_size > 0
