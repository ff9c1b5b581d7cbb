"""The facade on a real compute element: large files, the 2017 quickstart, and the end of a script."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeArc

from jasmin_arc import JobStatuses

pytestmark = pytest.mark.grid
LIMIT = 240
BACKENDS = ["bindings", "rest"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_fifty_megabytes_travel_both_ways(make_arc: MakeArc, tmp_path: Path, backend: str) -> None:
    arc = make_arc(backend)
    content = os.urandom(1 << 20) * 50
    (tmp_path / "big").write_bytes(content)
    job_id = arc.submit_job("/bin/sh", ["-c", "sha256sum < big; cat big > output"], [tmp_path / "big"])
    assert arc.wait([job_id], timeout=LIMIT) == [JobStatuses.COMPLETED]
    folder = arc.save_job_outputs(job_id, directory=tmp_path / "saved")
    assert folder is not None
    expected = hashlib.sha256(content).hexdigest()
    assert Path(folder, "stdout.txt").read_text().split()[0] == expected
    assert hashlib.sha256(Path(folder, "output").read_bytes()).hexdigest() == expected


# As in the documentation of 2017, but for the path of the configuration.
QUICKSTART = """\
import time
import os.path
from jasmin_arc import ArcInterface, JobStatuses

arc_iface = ArcInterface("/path/to/config.json")
job_id = arc_iface.submit_job("/bin/bash",
                              args=["-c", "echo 'This job is running on `/bin/hostname`'"])

while True:
    status = arc_iface.get_job_status(job_id)
    print("Job status is {}".format(status))

    if status == JobStatuses.COMPLETED:
       print("Job is finished!")
       break

    time.sleep(1)

out_dir = arc_iface.save_job_outputs(job_id)

if out_dir:
    print("Saved job outputs to {}".format(out_dir))
    print("stdout was:")
    with open(os.path.join(out_dir, "stdout.txt")) as stdout:
        print(stdout.read())
else:
    print("Error saving job outputs")
"""


def write_config(grid_config: dict[str, Any], folder: Path, **options: str) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**grid_config, "JOBS_INFO_FILE": str(folder / "jobs.dat"), **options}))
    return path


def run_script(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TMPDIR": str(folder)}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=LIMIT)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_quickstart_of_2017(grid_config: dict[str, Any], tmp_path: Path, backend: str) -> None:
    config = write_config(grid_config, tmp_path, BACKEND=backend)
    done = run_script(QUICKSTART.replace("/path/to/config.json", str(config)), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.split("\n")
    # The backticks stand between single quotes of the job's own shell.
    assert lines[lines.index("stdout was:") + 1] == "This job is running on `/bin/hostname`"
    assert "Job is finished!" in lines


ENDS = """
import atexit, sys, time
from jasmin_arc import ArcInterface
atexit.register(lambda: print("last", time.time(), flush=True))
arc = ArcInterface({config!r}, log=None)
job_id = arc.submit_job("true", outputs=[])
arc.wait([job_id])
print(arc.save_job_outputs(job_id), "and what was not flushed", end=" ")
sys.exit(7)
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_script_ends_at_its_end_with_its_own_exit_code(
    grid_config: dict[str, Any], tmp_path: Path, backend: str
) -> None:
    config = write_config(grid_config, tmp_path, BACKEND=backend)
    done = run_script(ENDS.format(config=str(config)), tmp_path)
    seen = time.time()
    assert (done.returncode, done.stderr) == (7, "")
    before, _, last = done.stdout.rpartition("last ")
    assert "and what was not flushed" in before
    # Within a second where nothing else runs; a deadlock at the end of the interpreter would last for ever.
    assert seen - float(last) < 5
