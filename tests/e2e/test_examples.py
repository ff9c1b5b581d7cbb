"""The examples run as they stand, as processes, and print what they say they print."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from jasmin_arc import ArcInterface

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
ARGUMENTS = {"many_jobs.py": ["10"]}
LIMIT = 240

Lines = Callable[[str], list[str]]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("bindings", marks=pytest.mark.grid),
        pytest.param("rest", marks=pytest.mark.grid),
        pytest.param("slurm", marks=pytest.mark.grid),
        "local",
    ],
)
def lines_of(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lines]:
    """Run all examples at the same time, and return the lines that one printed; their jobs are erased later."""
    folder = tmp_path_factory.mktemp("examples")
    options: dict[str, Any] = {"BACKEND": request.param, "LOCAL_DIR": str(folder / "local")}
    if request.param == "slurm":
        options = request.getfixturevalue("options_of")("slurm")
    elif request.param != "local":
        options = {**request.getfixturevalue("grid_config"), **options}
    options["JOBS_INFO_FILE"] = str(folder / "jobs.dat")
    config = folder / "config.json"
    config.write_text(json.dumps(options))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JASMIN_ARC_")}
    environment["TMPDIR"] = str(folder)

    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(EXAMPLES / name), str(config), *ARGUMENTS.get(name, [])]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
        )

    running = {path.name: start(path.name) for path in EXAMPLES.glob("*.py")}

    def lines(name: str) -> list[str]:
        printed, complaints = running[name].communicate(timeout=LIMIT)
        assert running[name].returncode == 0, printed + complaints
        return printed.splitlines()

    yield lines
    for process in running.values():
        process.kill()
        process.communicate()
    with ArcInterface(config, log=None) as arc:
        jobs = arc.job_list.ids()
        arc.cancel_jobs(jobs)
        arc.wait(jobs)
        arc.clean_jobs(jobs, force=True)


def test_basic(lines_of: Lines) -> None:
    assert lines_of("basic.py")[-1] == f"This job is running on {socket.gethostname()}"


def test_input_files(lines_of: Lines) -> None:
    # The order is that of the job's locale.
    assert sorted(lines_of("input_files.py")[-2:]) == ["2.5 3.1 4.0", "3.3 2.9 5.2"]


def test_download_outputs(lines_of: Lines) -> None:
    lines = lines_of("download_outputs.py")
    printed = lines[lines.index("result.txt:") :]
    assert printed[:4] == ["result.txt:", "This is kept", "stderr.txt:", "stdout.txt:"]
    assert {"result.txt", "scratch.txt"} <= set(printed[4:])


def test_log_output(lines_of: Lines) -> None:
    first, second = lines_of("log_output.py")
    assert first.startswith("/")
    assert second == "and nothing was logged about the second job"


def test_many_jobs(lines_of: Lines) -> None:
    lines = lines_of("many_jobs.py")
    table = lines[lines.index("station mean highest") :]
    assert len(table) == 11
    assert table[1] == "station000 10.00 22.00"
    assert table[10] == "station009 10.45 22.45"


def test_slurm_array(lines_of: Lines) -> None:
    lines = lines_of("slurm_array.py")
    table = lines[lines.index("step spread") + 1 :]
    assert [line.split()[0] for line in table] == ["0", "20", "40", "59"]
    assert float(table[0].split()[1]) < 1e-6 < float(table[-1].split()[1])


SLURM_STEPS = re.compile(r"<!-- (slurm|prints) -->\n```\w+\n(.*?)```", re.DOTALL)
CONFIGURATIONS = re.compile(r"```json\n(.*?)```", re.DOTALL)
FIRST_STEPS = re.compile(r"<!-- run -->\n```python\n(.*?)```", re.DOTALL)
LOCAL_LINE, CE_LINE = 'arc = ArcInterface(backend="local")', 'arc = ArcInterface("config.json")'
NOTHING_OF_ARC = """
import sys
sys.modules["arc"] = sys.modules["_arc"] = None  # whoever imports them gets an error
"""


@pytest.mark.grid
def test_the_first_steps_of_the_readme_lead_to_a_ce_without_anything_of_arc(
    options_of: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    steps = FIRST_STEPS.search(readme)
    assert steps and LOCAL_LINE in steps[1] and CE_LINE in readme
    options = {**options_of("rest"), "BACKEND": "rest", "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
    (tmp_path / "config.json").write_text(json.dumps(options))
    (tmp_path / "steps.py").write_text(NOTHING_OF_ARC + steps[1].replace(LOCAL_LINE, CE_LINE))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JASMIN_ARC_")}
    done = subprocess.run(
        [sys.executable, "steps.py"],
        cwd=tmp_path,
        env={**environment, "PATH": "/nowhere", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
    assert f"This job is running on {socket.gethostname()}" in done.stdout.splitlines()


@pytest.mark.grid
@pytest.mark.parametrize("place", ["lotus", "lotus-ssh"])
def test_the_page_on_slurm_runs_from_top_to_bottom(
    place: str,
    options_of: Callable[[str], dict[str, Any]],
    slurm_environment: Callable[[str], AbstractContextManager[None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the configurations that it shows; but a test has another host, and folders of its own."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "slurm.md").read_text(encoding="utf-8")
    on_a_server, on_a_laptop = (json.loads(text) for text in CONFIGURATIONS.findall(page))
    options = {**(on_a_laptop if place.endswith("ssh") else on_a_server), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
    names_of_the_grid = {"SLURM_BIN", "SLURM_DIR"} | ({"SLURM_HOST"} & set(options))
    options.update({name: options_of(place)[name] for name in names_of_the_grid})
    Path("config.json").write_text(json.dumps(options))
    with slurm_environment(place):
        run_steps(page, capsys)


def run_steps(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    try:
        printed = ""
        for mark, text in SLURM_STEPS.findall(page):
            if mark == "slurm":
                exec(text, names)
                printed = capsys.readouterr().out
            else:
                assert text.strip() in printed
    finally:
        with names["arc"] as arc:
            jobs = arc.job_list.ids()
            arc.cancel_jobs(jobs)
            arc.wait(jobs)
            arc.clean_jobs(jobs, force=True)


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_it_can_be_started_by_its_name(name: str) -> None:
    assert os.access(EXAMPLES / name, os.X_OK)
    assert (EXAMPLES / name).read_text().startswith("#!/usr/bin/env python3\n")
