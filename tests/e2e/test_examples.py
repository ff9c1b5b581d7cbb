"""The examples run as they stand, as processes, and print what they say they print."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jasmin_arc import ArcInterface

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LIMIT = 240

RunExample = Callable[..., list[str]]


@pytest.fixture(
    params=[
        pytest.param("bindings", marks=pytest.mark.grid),
        pytest.param("rest", marks=pytest.mark.grid),
        "local",
    ]
)
def run_example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunExample]:
    """Run an example with a configuration file, and return the lines that it printed; its jobs are erased later."""
    options: dict[str, Any] = {"BACKEND": request.param, "LOCAL_DIR": str(tmp_path / "local")}
    if request.param != "local":
        options = {**request.getfixturevalue("grid_config"), **options}
    options["JOBS_INFO_FILE"] = str(tmp_path / "jobs.dat")
    config = tmp_path / "config.json"
    config.write_text(json.dumps(options))

    def run(name: str, *arguments: str) -> list[str]:
        command = [sys.executable, str(EXAMPLES / name), str(config), *arguments]
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=LIMIT)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    yield run
    with ArcInterface(config, log=None) as arc:
        arc.clean_jobs(arc.job_list.ids(), force=True)


def test_basic(run_example: RunExample) -> None:
    assert run_example("basic.py")[-1] == f"This job is running on {socket.gethostname()}"


def test_input_files(run_example: RunExample) -> None:
    # The order is that of the job's locale.
    assert sorted(run_example("input_files.py")[-2:]) == ["2.5 3.1 4.0", "3.3 2.9 5.2"]


def test_download_outputs(run_example: RunExample) -> None:
    lines = run_example("download_outputs.py")
    printed = lines[lines.index("result.txt:") :]
    assert printed[:4] == ["result.txt:", "This is kept", "stderr.txt:", "stdout.txt:"]
    assert {"result.txt", "scratch.txt"} <= set(printed[4:])


def test_log_output(run_example: RunExample) -> None:
    first, second = run_example("log_output.py")
    assert first.startswith("/")
    assert second == "and nothing was logged about the second job"


def test_many_jobs(run_example: RunExample) -> None:
    lines = run_example("many_jobs.py", "10")
    table = lines[lines.index("station mean highest") :]
    assert len(table) == 11
    assert table[1] == "station000 10.00 22.00"
    assert table[10] == "station009 10.45 22.45"


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_it_can_be_started_by_its_name(name: str) -> None:
    assert os.access(EXAMPLES / name, os.X_OK)
    assert (EXAMPLES / name).read_text().startswith("#!/usr/bin/env python3\n")
