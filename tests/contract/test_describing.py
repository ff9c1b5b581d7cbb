"""Describing jobs: each part of a description does on every backend what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from contract_kit import LIMIT, ended, saved, shell, until

from jasmin_arc import (
    ArcInterface,
    InvalidJobDescription,
    JobDescription,
    JobInfo,
    JobStatuses,
    JobSubmissionError,
    PartialFailureError,
)
from jasmin_arc._support.quantities import duration
from jasmin_arc.backends.base import ACCOUNTS, QUEUES, RUNTIME_ENVIRONMENTS

MANY_FILES = """
    echo 1 > a.nc; echo 2 > "b c.nc"; echo 3 > result.txt; echo 4 > other.txt; echo 5 > output
    mkdir -p sub folder/deep; echo 6 > sub/d.nc; echo 7 > folder/e; echo 8 > "folder/deep/f g"
"""
STEPS = [["echo", "one"], ["sh", "-c", "echo two; exit 5"], ["sh", "-c", "echo three; exit 6"]]
XRSL = '&(executable="/bin/echo")(arguments="from" "x RSL")(jobname="in-xrsl")(stdout="log")'
ADL = """<?xml version="1.0"?>
<ActivityDescription xmlns="http://www.eu-emi.eu/es/2010/12/adl">
  <ActivityIdentification><Name>in-adl</Name></ActivityIdentification>
  <Application>
    <Executable><Path>/bin/echo</Path><Argument>from</Argument><Argument>a DL</Argument></Executable>
  </Application>
</ActivityDescription>"""
JSON = '{"executable": "/bin/cat", "stdin": {"base64": "ZnJvbSBKU09OCg=="}, "name": "in-json", "outputs": []}'
VARIABLES = {"A": "", "B_2": "é "}
NEEDS = {"slots": 2, "slots_per_host": 2, "memory": "100 MB", "wall_time": "10m", "cpu_time": "20m"}


def descriptions(arc: ArcInterface, folder: Path) -> dict[str, JobDescription]:
    (folder / "typed.txt").write_bytes(b"typed \0 \xff\n")
    queue = min(entry.name for entry in arc.site().queues) if QUEUES in arc.backend.capabilities else None
    return {
        "needs": shell("echo $HOME", queue=queue, **NEEDS),
        "outputs": shell(MANY_FILES, outputs=["*.nc", "folder", "result.txt", "never-made-*"]),
        "no outputs": shell("echo 1 > output; echo 2 > other", outputs=[]),
        "stdin": JobDescription(executable="cat", stdin=folder / "typed.txt", outputs=[]),
        "environment": JobDescription(
            executable="printenv", arguments=["A", "B_2"], environment={"A": "", "B_2": "é "}
        ),
        "stop": JobDescription(steps=STEPS, outputs=[]),
        "go on": JobDescription(steps=STEPS, stop_on_failure=False, outputs=[]),
        "all well": JobDescription(steps=[["true"], ["echo", "end"]], outputs=[]),
        "xrsl": JobDescription.from_xrsl(XRSL),
        "adl": JobDescription.from_adl(ADL),
        "json": JobDescription.from_json(JSON),
        "written as adl": JobDescription.from_adl(shell("echo again", outputs=["kept.txt"], wall_time=600).to_adl()),
        "written as xrsl": JobDescription.from_xrsl(shell("echo again", outputs=["kept"], slots=2).to_xrsl()),
    }


@dataclass
class Jobs:
    """Jobs that have all ended."""

    arc: ArcInterface
    ids: Mapping[str, str]

    def status(self, name: str) -> JobStatuses:
        return self.arc.get_job_status(self.ids[name])

    def info(self, name: str) -> JobInfo:
        return self.arc.get_job_info(self.ids[name])

    def saved(self, name: str) -> dict[str, bytes]:
        return saved(self.arc, self.ids[name])


@pytest.fixture(scope="module")
def jobs(shared_arc: ArcInterface, tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    described = descriptions(shared_arc, tmp_path_factory.mktemp("inputs"))
    ids = dict(zip(described, shared_arc.submit_jobs(list(described.values()))))
    shared_arc.wait(list(ids.values()), timeout=2 * LIMIT)
    return Jobs(shared_arc, ids)


def test_outputs_are_files_folders_and_patterns(jobs: Jobs) -> None:
    assert jobs.status("outputs") is JobStatuses.COMPLETED
    files = jobs.saved("outputs")
    assert (files.pop("stdout.txt", b""), files.pop("stderr.txt", b"")) == (b"", b"")
    # A pattern's * does not cross a slash, and OUTPUT_FILE is for jobs that name no outputs.
    assert files == {
        "a.nc": b"1\n",
        "b c.nc": b"2\n",
        "result.txt": b"3\n",
        "folder/e": b"7\n",
        "folder/deep/f g": b"8\n",
    }


def test_what_is_no_output_is_deleted(jobs: Jobs) -> None:
    names = {entry.name for entry in jobs.arc.list_files(jobs.ids["outputs"])}
    assert {"a.nc", "b c.nc", "result.txt", "folder"} <= names
    assert not {"other.txt", "output", "sub/d.nc"} & names
    assert jobs.saved("no outputs").keys() <= {"stdout.txt", "stderr.txt"}


def test_stdin_from_a_file(jobs: Jobs) -> None:
    assert jobs.saved("stdin")["stdout.txt"] == b"typed \0 \xff\n"


def test_variables_may_be_empty_and_not_ascii(jobs: Jobs) -> None:
    assert jobs.saved("environment")["stdout.txt"].decode() == "\né \n"


def test_what_a_job_needs_is_seen_in_its_info(jobs: Jobs) -> None:
    info = jobs.info("needs")
    assert (info.status, info.exit_code) == (JobStatuses.COMPLETED, 0)
    assert info.slots == 2
    assert info.queue in [queue.name for queue in jobs.arc.site().queues]
    if QUEUES in jobs.arc.backend.capabilities:
        assert info.queue == min(entry.name for entry in jobs.arc.site().queues)


def test_steps_stop_at_the_first_failure_or_do_not(jobs: Jobs) -> None:
    stopped, gone_on = jobs.info("stop"), jobs.info("go on")
    assert (stopped.status, stopped.exit_code) == (JobStatuses.FAILED, 5)
    assert (gone_on.status, gone_on.exit_code) == (JobStatuses.FAILED, 5)
    assert jobs.saved("stop")["stdout.txt"] == b"one\ntwo\n"
    assert jobs.saved("go on")["stdout.txt"] == b"one\ntwo\nthree\n"
    assert (jobs.status("all well"), jobs.saved("all well")["stdout.txt"]) == (JobStatuses.COMPLETED, b"end\n")


@pytest.mark.parametrize(
    ("language", "printed"), [("xrsl", b"from x RSL\n"), ("adl", b"from a DL\n"), ("json", b"from JSON\n")]
)
def test_descriptions_in_other_languages_run(jobs: Jobs, language: str, printed: bytes) -> None:
    assert jobs.info(language).name == f"in-{language}"
    assert jobs.status(language) is JobStatuses.COMPLETED
    assert jobs.saved(language)["stdout.txt"] == printed


@pytest.mark.parametrize("name", ["written as adl", "written as xrsl"])
def test_what_was_written_for_other_tools_runs_here_too(jobs: Jobs, name: str) -> None:
    assert jobs.saved(name)["stdout.txt"] == b"again\n"


def test_an_impossible_value_is_refused_before_anything_is_sent(arc: ArcInterface) -> None:
    with pytest.raises(InvalidJobDescription, match="wall_time"):
        arc.submit_job("/bin/true", wall_time="two hours or so")
    with pytest.raises(InvalidJobDescription, match="outputs"):
        arc.submit_job("/bin/true", outputs=["../escape"])
    with pytest.raises(InvalidJobDescription, match=r"no field 'wall_tim'.*wall_time"):
        JobDescription.from_json('{"executable": "true", "wall_tim": 5}')
    assert arc.list_jobs(since=timedelta(hours=1)) == []


@pytest.mark.core
def test_an_unknown_runtime_environment_is_refused_or_explained(arc: ArcInterface) -> None:
    try:
        job_id = arc.submit_job("/bin/true", runtime_environments=["NO/SUCH-1.0"])
    except JobSubmissionError as error:
        assert "NO/SUCH-1.0" in str(error)
        return
    assert RUNTIME_ENVIRONMENTS in arc.backend.capabilities
    assert ended(arc, job_id) == [JobStatuses.FAILED]
    explained = until(lambda: "NO/SUCH-1.0" in (found := arc.explain(job_id)).summary and found)
    assert explained.advice


def test_native_options_are_refused_where_they_mean_nothing(shared_arc: ArcInterface) -> None:
    description = shell("true", native={"hold": True})
    with pytest.raises(PartialFailureError) as caught:
        shared_arc.submit_jobs([description])
    assert isinstance(caught.value.results[0], InvalidJobDescription)


def test_an_account_is_refused_where_there_is_no_such(shared_arc: ArcInterface) -> None:
    if ACCOUNTS in shared_arc.backend.capabilities and not shared_arc.site().accounts:
        # Slurm without accounting takes any.
        assert ended(shared_arc, shared_arc.submit_job("/bin/true", account="gws1")) == [JobStatuses.COMPLETED]
        return
    with pytest.raises(PartialFailureError, match="account") as caught:
        shared_arc.submit_jobs([shell("true", account="gws1")])
    assert isinstance(caught.value.results[0], (InvalidJobDescription, JobSubmissionError))


@pytest.mark.core
def test_an_unknown_queue_is_refused(arc: ArcInterface) -> None:
    with pytest.raises(JobSubmissionError, match="no-such-queue"):
        arc.submit_job("/bin/true", queue="no-such-queue")
    assert arc.list_jobs(since=timedelta(hours=1)) == []


@pytest.mark.core
def test_check_finds_typos_and_what_is_too_much(shared_arc: ArcInterface) -> None:
    arc, queue = shared_arc, shared_arc.site().queues[0]
    assert arc.check(shell("true", queue=queue.name)) == []
    (typo,) = arc.check(shell("true", queue=queue.name + "s"))
    assert f"did you mean {queue.name!r}" in typo
    (missing,) = arc.check(shell("true", runtime_environments=["NO/SUCH"]))
    assert "NO/SUCH" in missing
    (slots,) = arc.check(shell("true", queue=queue.name, slots=10**6))
    assert slots.startswith("slots: 1000000 is over the limit")
    good, bad = arc.check_jobs([shell("true", queue=queue.name), shell("true", queue=queue.name, slots=10**6)])
    assert (good, bad) == ([], [slots])
    # Local jobs have no limit; that the queue short has one is a test of REST.
    site = arc.site()
    above = [qos.max_wall_time for qos in site.qos if qos.name == site.default_qos and qos.overrides_wall_time]
    for limited in site.queues:
        limit = above[0] if above else limited.max_wall_time
        if limit is not None and not limited.accounts:
            (wall,) = arc.check(shell("true", queue=limited.name, wall_time=2 * limit))
            assert wall.startswith("wall_time: ")
            assert duration(limit) in wall
