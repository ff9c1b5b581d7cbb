"""The executor plugin for Snakemake: Snakemake's own tests of executors, and what a user of a workflow sees."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from local_kit import alive, until

pytest.importorskip("snakemake")

import snakemake.common.tests as of_snakemake
from snakemake_executor_plugin_jasmin_arc import Executor, ExecutorSettings

from jasmin_arc import ArcInterface, JobDescription, JobNotFoundError, JobStatuses, ServerError

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "plugins" / "snakemake"

WITHOUT_SNAKEMAKE = """#!/bin/sh
# properties = {properties}
output=$(sed -n 's/^# properties = .*"output": \\["\\([^"]*\\)"\\].*/\\1/p' "$0")
echo $$ >> "$output.began"
"""
"""The start of a script for jobs that do not start Snakemake again, which takes more than a second each"""
DONE = 'echo done > "$output"\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArcInterface]:
    """A local backend of one's own, for the processes that a test starts as well."""
    options = {"BACKEND": "local", "LOCAL_DIR": str(tmp_path / "state"), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
    for name, value in {**options, "LOCAL_SLOTS": "4"}.items():
        monkeypatch.setenv(f"JASMIN_ARC_{name}", value)
    with ArcInterface(log=None) as arc:
        yield arc


class Workflow:
    """A folder with a Snakefile, and Snakemake running it in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def write(self, snakefile: str, job: str = "", *, resources: str = "") -> None:
        (self.folder / "Snakefile").write_text(
            snakefile.replace("FOLDER", str(self.folder)).replace("RESOURCES", resources)
        )
        (self.folder / "job.sh").write_text(WITHOUT_SNAKEMAKE + job)

    def start(self, *options: str, driver: str = "", fast: bool = True) -> subprocess.Popen[str]:
        """Start Snakemake.

        :param driver: Python code to run before it, in its process
        :param fast: whether the jobs are shell scripts, and not Snakemake again
        """
        code = f"{driver}\nimport sys\nfrom snakemake.cli import main\nmain(sys.argv[1:])"
        scripts = ("--jobscript", "job.sh") if fast else ()
        return subprocess.Popen(
            [sys.executable, "-c", code, "--executor", "jasmin-arc", "--jobs", "100", *scripts, *options],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": f"{PLUGIN}:{ROOT}", "HOME": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *options: str, driver: str = "", fast: bool = True) -> tuple[int, str]:
        """Run Snakemake, and return its exit code and what it printed."""
        process = self.start(*options, driver=driver, fast=fast)
        printed, _ = process.communicate(timeout=100)
        return process.returncode, printed

    def began(self, output: str) -> list[int]:
        """The processes of the jobs that were to make the file."""
        file = self.folder / f"{output}.began"
        return [int(line) for line in file.read_text().split()] if file.exists() else []


@pytest.fixture
def workflow(place: ArcInterface, tmp_path: Path) -> Workflow:
    return Workflow(tmp_path / "workflow")


class _SnakemakesOwn(of_snakemake.TestWorkflowsLocalStorageBase):  # type: ignore[misc]
    """The tests that Snakemake has for all executors; they run in this process."""

    def get_executor(self) -> str:
        return "jasmin-arc"

    def get_executor_settings(self) -> ExecutorSettings:
        return ExecutorSettings()

    @pytest.fixture(autouse=True)
    def _as_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.chdir(tmp_path)
        handler = signal.getsignal(signal.SIGTERM)
        yield
        signal.signal(signal.SIGTERM, handler)


@pytest.mark.usefixtures("place")
class TestSnakemakesOwnOnLocal(_SnakemakesOwn):
    __test__ = True


@pytest.mark.grid
@pytest.mark.soak  # it takes long, and each run has it on the local backend
class TestSnakemakesOwnOnSlurm(_SnakemakesOwn):
    __test__ = True

    @pytest.fixture(autouse=True)
    def _on_slurm(
        self,
        tmp_path: Path,
        options_of: Callable[[str], dict[str, Any]],
        slurm_environment: Callable[[str], AbstractContextManager[None]],
    ) -> Iterator[None]:
        self.config = tmp_path / "slurm.json"
        options = {**options_of("slurm"), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
        self.config.write_text(json.dumps(options))
        with slurm_environment("slurm"):
            yield
            with ArcInterface(self.config, log=None) as arc:
                assert arc.list_jobs(name="*") == []

    def get_executor_settings(self) -> ExecutorSettings:
        return ExecutorSettings(config=self.config)


MANY = """
rule all:
    input: "FOLDER/total"

rule one:
    output: "FOLDER/{n}.part"
    shell: "exit 9"

rule total:
    input: expand("FOLDER/{n}.part", n=range(50))
    output: "FOLDER/total"
    shell: "exit 9"
"""


def test_jobs_that_are_ready_are_submitted_at_once_and_erased_at_the_end(
    workflow: Workflow, place: ArcInterface
) -> None:
    workflow.write(MANY, DONE)
    code, printed = workflow.run()
    assert code == 0, printed
    submissions = [line.partition("submitted ")[2] for line in printed.splitlines() if "[INFO] submitted " in line]
    assert len(submissions) == 2, printed
    assert submissions[0].startswith("50 jobs to local://")
    assert len(list(workflow.folder.glob("*.part"))) == 50
    assert place.list_jobs() == []


ONE = """
rule one:
    output: "FOLDER/result"
    RESOURCES
    shell: "exit 9"
"""


def test_a_failure_is_told_as_explain_tells_it_and_the_job_is_kept(workflow: Workflow, place: ArcInterface) -> None:
    workflow.write('rule one:\n    output: "result"\n    shell: "echo no such cell: 17 >&2; exit 3"\n')
    code, printed = workflow.run(fast=False)
    assert code == 1
    (job,) = place.jobs()
    explanation = job.explain()
    assert explanation.summary == "The program ended with exit code 1: no such cell: 17"
    assert explanation.evidence[-1] == "stderr: no such cell: 17"
    for line in (explanation.summary, *explanation.evidence, explanation.advice):
        assert line in printed


def test_a_second_attempt_is_a_second_job(workflow: Workflow, place: ArcInterface) -> None:
    workflow.write(ONE, f'[ "$(wc -l < "$output.began")" = 2 ] || exit 5\n{DONE}')
    code, printed = workflow.run("--retries", "1")
    assert code == 0, printed
    assert "Trying to restart job" in printed
    assert len(workflow.began("result")) == 2
    assert place.get_job_statuses(place.list_jobs()) == [JobStatuses.FAILED]


SEVERAL = """
rule all:
    input: expand("FOLDER/{n}.part", n=range(3))

rule one:
    output: "FOLDER/{n}.part"
    shell: "exit 9"
"""


def test_ctrl_c_leaves_no_job_and_the_next_run_begins_anew(workflow: Workflow, place: ArcInterface) -> None:
    workflow.write(SEVERAL, "sleep 100\n")
    process = workflow.start()
    until(lambda: all(workflow.began(f"{n}.part") for n in range(3)), "for the jobs to begin")
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "Error in rule" not in printed
    assert place.list_jobs() == []
    assert not any(alive(pid) for n in range(3) for pid in workflow.began(f"{n}.part"))

    workflow.write(SEVERAL, DONE)
    code, printed = workflow.run()
    assert code == 0, printed


INTERRUPTED = """
import os, signal, time
from jasmin_arc import ArcInterface

submit_jobs = ArcInterface.submit_jobs

def interrupted(self, jobs):
    ids = submit_jobs(self, jobs)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)
    return ids

ArcInterface.submit_jobs = interrupted
"""


def test_ctrl_c_in_the_middle_of_a_submission_leaves_no_job(workflow: Workflow, place: ArcInterface) -> None:
    workflow.write(SEVERAL, "sleep 100\n")
    code, printed = workflow.run(driver=INTERRUPTED)
    assert code != 0
    assert "submitted 3 jobs" in printed.partition("Terminating processes on user request")[0]
    assert place.list_jobs() == []


@pytest.mark.parametrize("options", [("--rerun-incomplete",), pytest.param((), marks=pytest.mark.soak)])
def test_a_job_that_outlived_snakemake_is_not_run_again(
    workflow: Workflow, place: ArcInterface, options: tuple[str, ...]
) -> None:
    workflow.write(ONE, f'while ! [ -e "$output.go" ]; do sleep 0.1; done\n{DONE}')
    process = workflow.start()
    until(lambda: workflow.began("result"), "for the job to begin")
    until(lambda: any((workflow.folder / ".snakemake" / "incomplete").rglob("*")), "for Snakemake to know its id")
    process.kill()
    process.communicate()

    assert workflow.run("--unlock")[0] == 0
    again = workflow.start(*options)
    assert again.stdout is not None
    assert any("go on since an earlier run: local://" in line for line in again.stdout)
    (workflow.folder / "result.go").touch()
    printed, _ = again.communicate(timeout=100)
    assert again.returncode == 0, printed
    assert len(workflow.began("result")) == 1
    assert place.list_jobs() == []


REFUSED = """
from jasmin_arc import ArcInterface, JobSubmissionError, SubmissionUnknownError

def refused(self, jobs):
    for job in jobs:
        print("DESCRIBED", job.to_json(), flush=True)
    raise ERROR

ArcInterface.submit_jobs = refused
"""

OF_SLURM = """threads: 4
    resources: mem_mb=1001, runtime="2h", slurm_partition="short", slurm_account="forest", constraint="amd",
        slurm_extra="--nice=5 --exclusive"
"""


def described(workflow: Workflow, *options: str) -> dict[str, Any]:
    driver = REFUSED.replace("ERROR", 'JobSubmissionError("the site is closed")')
    code, printed = workflow.run(*options, driver=driver)
    assert code == 1
    assert "message: the site is closed" in printed
    (line,) = (line for line in printed.splitlines() if line.startswith("DESCRIBED "))
    return dict(json.loads(line.partition(" ")[2]))


def test_resources_are_fields_of_the_job(workflow: Workflow) -> None:
    workflow.write(ONE, resources=OF_SLURM)
    fields = described(workflow, "--jasmin-arc-backend", "slurm")
    expected = JobDescription(
        "snakejob",
        name="snakejob.one.0.sh",
        outputs=[],
        slots=4,
        slots_per_host=4,
        memory="251 MB",
        wall_time="2h",
        queue="short",
        account="forest",
    )
    assert {**fields, "inputs": {}} == {**json.loads(expected.to_json()), "inputs": {}}


def test_what_only_slurm_knows_is_left_out_elsewhere(workflow: Workflow) -> None:
    workflow.write(ONE, resources=OF_SLURM)
    fields = described(workflow)
    assert fields["slots"] == 4
    assert not {"queue", "account", "native"} & fields.keys()


def test_an_impossible_resource_is_told_before_anything_is_sent(workflow: Workflow) -> None:
    workflow.write(ONE, resources="resources: queue='two\\nlines'")
    code, printed = workflow.run(driver=REFUSED)
    assert code == 1
    assert "one: queue: " in printed
    assert "DESCRIBED" not in printed


def test_a_job_that_may_exist_is_not_submitted_again(workflow: Workflow) -> None:
    workflow.write(ONE)
    driver = REFUSED.replace("ERROR", 'SubmissionUnknownError("the answer was lost")')
    code, printed = workflow.run("--retries", "3", driver=driver)
    assert code == 1
    assert "the answer was lost" in printed
    assert printed.count("DESCRIBED") == 1


def test_a_backend_that_does_not_exist_is_told(workflow: Workflow) -> None:
    workflow.write(ONE)
    code, printed = workflow.run("--jasmin-arc-backend", "slrum")
    assert code == 1
    assert "slrum" in printed
    assert "Traceback" not in printed


class _Answers:
    """Stands for an interface: it gives or raises the answers about a job, one after another."""

    def __init__(self, *answers: JobStatuses | Exception) -> None:
        self.left = list(answers)

    async def status_when_ended(self, job_id: str) -> JobStatuses:
        answer = self.left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def failure(*answers: JobStatuses | Exception) -> str:
    executor = object.__new__(Executor)
    executor._arc = _Answers(*answers)  # type: ignore[assignment]
    return asyncio.run(executor._failure("local://here/1"))


def test_a_place_that_does_not_answer_ends_no_job() -> None:
    assert failure(ServerError("closed"), ServerError("closed"), JobStatuses.COMPLETED) == ""


def test_a_job_that_is_gone_is_no_success() -> None:
    assert "is gone" in failure(JobNotFoundError("the job is gone"))


def test_the_workflow_of_the_documentation_runs(place: ArcInterface, workflow: Workflow) -> None:
    page = (ROOT / "docs" / "other_tools.md").read_text()
    (snakefile,) = re.findall(r"^```text\n(rule all:.*?)^```$", page, re.M | re.S)
    workflow.write(snakefile)
    code, printed = workflow.run("--jasmin-arc-backend", "local", fast=False)
    assert code == 0, printed
    assert (workflow.folder / "total.txt").read_text() == "1961\n1962\n1963\n1964\n1965\n"
    assert place.list_jobs() == []
