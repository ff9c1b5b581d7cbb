"""ARC's own tools and this library's job list in one file, on the real grid."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from jasmin_arc import ArcInterface, JobStatuses
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.description import JobDescription
from jasmin_arc.job_list import JobList, JobRecord, new_token

pytestmark = pytest.mark.grid

XRSL = '&(executable="/bin/sh")(arguments="-c" "echo hello > result")(jobname="{name}")(outputfiles=("result" ""))'
FOREIGN = """
    &(executable="/bin/sh")(arguments="-c" "echo hello; echo oops >&2; mkdir folder; echo x > folder/x; echo k > kept;
    echo no > lost; exit 3")(stdout="out.txt")(stderr="logs.err")(gmlog="gmlog")
    (outputfiles=("kept" "")("folder/" ""))(queue="short")
"""

Arc = Callable[..., str]


@pytest.fixture
def arc_tool(grid_config: dict[str, Any], tmp_path: Path) -> Arc:
    """Run one of ARC's commands as a user whose job list is ``jobs.dat`` of the test."""
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "X509_USER_KEY": grid_config["CLIENT_KEY"],
        "X509_USER_CERT": grid_config["CLIENT_CERT"],
        "X509_CERT_DIR": grid_config["CERTS_DIR"],
        "X509_USER_PROXY": str(tmp_path / "proxy.pem"),
    }

    def run(*command: str, check: bool = True) -> str:
        result = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert result.returncode == 0 or not check, result.stdout + result.stderr
        return result.stdout

    run("arcproxy", "-c", "validityPeriod=12H")
    return run


@pytest.fixture
def submitted(arc_tool: Arc, grid_config: dict[str, Any], tmp_path: Path) -> Iterator[str]:
    """A job that arcsub has submitted, and written into ``jobs.dat``."""
    (tmp_path / "job.xrsl").write_text(XRSL.format(name="50% o'clock #1"))
    endpoint = ConnectionConfig(grid_config).endpoint
    output = arc_tool("arcsub", "-j", "jobs.dat", "-T", "arcrest", "-C", endpoint, "job.xrsl")
    job_id = output.rpartition("jobid:")[2].strip()
    yield job_id
    arc_tool("arckill", "-j", "jobs.dat", "-a", check=False)


def test_the_library_lists_what_arcsub_submitted(submitted: str, grid_config: dict[str, Any], tmp_path: Path) -> None:
    job_list = JobList(tmp_path / "jobs.dat")
    endpoint = ConnectionConfig(grid_config).endpoint
    assert job_list.ids() == job_list.ids(endpoint) == [submitted]
    start = datetime.now(timezone.utc) - timedelta(minutes=5)
    assert [job.id for job in job_list.select(endpoint, name="50% o*", since=start, last=1)] == [submitted]
    assert job_list.select(endpoint, since=start + timedelta(minutes=10)) == []
    found = job_list.get([submitted])[submitted]
    assert (found.name, found.endpoint) == ("50% o'clock #1", endpoint)
    assert found.delegation_id


def test_arcs_tools_see_and_end_what_the_library_lists(
    submitted: str, arc_tool: Arc, grid_config: dict[str, Any], tmp_path: Path
) -> None:
    config = ConnectionConfig(grid_config)
    job_list = JobList(tmp_path / "ours.dat")
    name = "ours: 50% o'clock #1"
    delegation_id = JobList(tmp_path / "jobs.dat").get([submitted])[submitted].delegation_id
    record = JobRecord(token=new_token(), endpoint=config.endpoint, name=name, delegation_id=delegation_id)
    job_list.intend([record])
    job_list.created({record.token: submitted})
    assert "No jobs found" in arc_tool("arcstat", "-j", "ours.dat", "-a", check=False)
    job_list.commit([submitted])
    assert f"Job: {submitted}\n Name: {name}" in arc_tool("arcstat", "-j", "ours.dat", "-a")
    assert submitted in arc_tool("arcstat", "-j", "ours.dat", "-a", "--print-jobids")
    _wait_for_end(arc_tool, "ours.dat")
    arc_tool("arcget", "-j", "ours.dat", "-D", "downloads", submitted)
    assert (tmp_path / "downloads" / submitted.rpartition("/")[2] / "result").read_text() == "hello\n"
    # arcget has cleaned the job and removed it from the list.
    assert job_list.ids() == []


def test_the_library_brings_what_a_job_of_arcsub_has_kept(
    arc_tool: Arc, grid_config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "job.xrsl").write_text(FOREIGN)
    endpoint = ConnectionConfig(grid_config).endpoint
    output = arc_tool("arcsub", "-j", "jobs.dat", "-T", "arcrest", "-C", endpoint, "job.xrsl")
    job_id = output.rpartition("jobid:")[2].strip()
    config = {**grid_config, "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
    with ArcInterface(config=config, log=None) as arc:
        assert "".join(arc.follow(job_id)) == "hello\n"
        assert arc.wait([job_id]) == [JobStatuses.FAILED]
        assert (arc.read(job_id), arc.read(job_id, "stderr")) == ("hello\n", "oops\n")
        folder = Path(arc.save_job_outputs(job_id) or "nothing")
        saved = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
        assert saved == {"stdout.txt": "hello\n", "stderr.txt": "oops\n", "kept": "k\n", "folder/x": "x\n"}
        assert any("oops" in line for line in arc.explain(job_id).evidence)
        arc.clean_jobs([job_id])
    shutil.rmtree(folder)


def test_both_write_one_file(submitted: str, arc_tool: Arc, grid_config: dict[str, Any], tmp_path: Path) -> None:
    job_list = JobList(tmp_path / "jobs.dat")
    endpoint = ConnectionConfig(grid_config).endpoint
    ours = f"{endpoint}/rest/1.0/jobs/0000000000"
    job_list.intend([JobRecord(token=new_token(), endpoint=endpoint, name="ours", id=ours)])
    job_list.commit([ours])
    output = arc_tool("arcsub", "-j", "jobs.dat", "-T", "arcrest", "-C", endpoint, "job.xrsl")
    theirs = output.rpartition("jobid:")[2].strip()
    assert set(job_list.ids(endpoint)) == {submitted, ours, theirs}
    job_list.set_final({submitted: "Finished"})
    arc_tool("arcclean", "-f", "-j", "jobs.dat", ours)
    assert set(job_list.ids()) == {submitted, theirs}
    assert job_list.get([submitted])[submitted].final_state == "Finished"


@pytest.mark.parametrize("backend", ["rest", "bindings"])
def test_a_content_given_as_bytes_is_kept_beside_the_list(
    make_arc: Callable[..., ArcInterface], tmp_path: Path, backend: str
) -> None:
    arc = make_arc(backend)
    content = os.urandom(500_000)
    job = JobDescription(executable="md5sum", arguments=["data"], inputs={"data": content}, stdin=content, outputs=[])
    ids = arc.submit_jobs([job, job])
    ids += arc.resubmit_jobs(ids[:1])
    assert (tmp_path / "jobs.dat").stat().st_size < 500_000
    (kept,) = (tmp_path / "jobs.dat.inputs").iterdir()
    assert kept.read_bytes() == content
    arc.wait(ids)
    assert {arc.read(job_id) for job_id in ids} == {f"{hashlib.md5(content).hexdigest()}  data\n"}
    arc.clean_jobs(ids, force=True)
    assert not kept.exists()


def _wait_for_end(arc_tool: Arc, job_list: str) -> None:
    end = time.monotonic() + 120
    while "State: Finished" not in arc_tool("arcstat", "-j", job_list, "-a"):
        assert time.monotonic() < end, "the job has not ended"
        time.sleep(1)
