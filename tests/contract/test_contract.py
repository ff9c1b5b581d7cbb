"""What holds on every backend, told in scenarios: the same jobs, the same answers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from contract_kit import LIMIT, ended, running, saved, shell, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jasmin_arc import (
    ArcInterface,
    InputFileError,
    JobDescription,
    JobNotFoundError,
    JobStatuses,
    OperationNotPossibleError,
    OutputError,
    PartialFailureError,
    WaitTimeoutError,
)


@pytest.mark.core
def test_a_job_runs_and_its_output_comes_back(arc: ArcInterface) -> None:
    job_id = arc.submit_job("/bin/bash", ["-c", "echo out; echo err >&2; echo kept > output; echo lost > other"])
    assert "://" in job_id
    assert ended(arc, job_id) == [JobStatuses.COMPLETED]
    assert arc.get_job_status(job_id) is JobStatuses.COMPLETED
    assert saved(arc, job_id) == {"output": b"kept\n", "stderr.txt": b"err\n", "stdout.txt": b"out\n"}


@pytest.mark.core
def test_what_is_known_of_a_job_that_failed(arc: ArcInterface) -> None:
    job_id = arc.submit_job("/bin/sh", ["-c", "echo partial > output; exit 3"], name="précip-3")
    assert ended(arc, job_id) == [JobStatuses.FAILED]
    info = arc.get_job_info(job_id)
    assert (info.state, info.final, info.exit_code, info.name) == ("Failed", True, 3, "précip-3")
    assert info.errors
    assert info.submitted is not None
    assert info.submitted.utcoffset() is not None
    assert saved(arc, job_id)["output"] == b"partial\n"


def test_a_missing_executable_fails_and_says_which(arc: ArcInterface) -> None:
    job_id = arc.submit_job("/no/such/program")
    assert ended(arc, job_id) == [JobStatuses.FAILED]
    assert arc.get_job_info(job_id).exit_code == 127
    assert b"/no/such/program" in saved(arc, job_id)["stderr.txt"]


@pytest.mark.core
def test_input_files_arrive_whole(arc: ArcInterface, tmp_path: Path) -> None:
    (tmp_path / "f1.txt").write_text("This is file 1... ")
    (tmp_path / "f2.txt").write_text("And this is file 2")
    job_id = arc.submit_job("/bin/bash", ["-c", "cat *.txt"], [str(tmp_path / "f1.txt"), str(tmp_path / "f2.txt")])
    assert ended(arc, job_id) == [JobStatuses.COMPLETED]
    assert saved(arc, job_id)["stdout.txt"] == b"This is file 1... And this is file 2"


@pytest.mark.core
def test_inputs_may_be_folders_contents_and_other_names(arc: ArcInterface, tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "a").write_bytes(b"A")
    (tmp_path / "tree" / "sub" / "b").write_bytes(b"B")
    inputs = {"data": tmp_path / "tree", "text": b"from memory", "names/with space": tmp_path / "tree" / "a"}
    description = shell("cat data/a data/sub/b text 'names/with space'", inputs=inputs)
    (job_id,) = arc.submit_jobs([description])
    assert ended(arc, job_id) == [JobStatuses.COMPLETED]
    assert saved(arc, job_id)["stdout.txt"] == b"ABfrom memoryA"


@pytest.mark.core
def test_an_executable_among_the_inputs_runs_whatever_its_mode(arc: ArcInterface, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\necho ran with $1\n")
    script.chmod(0o600)
    job_id = arc.submit_job("run.sh", ["it"], [script])
    assert ended(arc, job_id) == [JobStatuses.COMPLETED]
    assert saved(arc, job_id)["stdout.txt"] == b"ran with it\n"


def test_a_program_without_a_slash_is_found_on_the_path(arc: ArcInterface) -> None:
    job_id = arc.submit_job("printf", ["%s|", "a", ""])
    assert ended(arc, job_id) == [JobStatuses.COMPLETED]
    assert saved(arc, job_id)["stdout.txt"] == b"a||"


@pytest.mark.core
def test_a_folder_as_output_keeps_its_tree(arc: ArcInterface) -> None:
    job_id = arc.submit_job("/bin/sh", ["-c", "mkdir -p output/sub; echo 1 > output/one; echo 2 > output/sub/two"])
    assert ended(arc, job_id) == [JobStatuses.COMPLETED]
    files = saved(arc, job_id)
    assert (files["output/one"], files["output/sub/two"]) == (b"1\n", b"2\n")


ARGUMENTS = [
    "",
    "$HOME `id` $(id) $i",
    "quote \" and ' and \\ and \\n",
    "line\nbreak\ttab\r\x01\x7f",
    "<&>%n%s",
    "naïve ☃ 漢字",
    "*",
    "-n",
    "x" * 100_000,
]


def echo_arguments(arguments: list[str]) -> JobDescription:
    return JobDescription(executable="/usr/bin/printf", arguments=["%s\\0", *arguments], outputs=[])


def arguments_of(arc: ArcInterface, job_id: str) -> list[str]:
    return saved(arc, job_id)["stdout.txt"].decode().split("\0")[:-1]


@pytest.mark.core
def test_arguments_arrive_exactly_as_given(arc: ArcInterface) -> None:
    (job_id,) = arc.submit_jobs([echo_arguments(ARGUMENTS)])
    assert ended(arc, job_id) == [JobStatuses.COMPLETED]
    assert arguments_of(arc, job_id) == ARGUMENTS


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(texts, min_size=1, max_size=30), min_size=4, max_size=4))
def test_hostile_arguments_arrive_exactly_as_given(arc: ArcInterface, lists: list[list[str]]) -> None:
    job_ids = arc.submit_jobs([echo_arguments(arguments) for arguments in lists])
    assert ended(arc, *job_ids) == [JobStatuses.COMPLETED] * len(lists)
    assert [arguments_of(arc, job_id) for job_id in job_ids] == lists


@pytest.mark.core
def test_the_environment_and_stdin_arrive_exactly_as_given(arc: ArcInterface) -> None:
    value = "a\nb \\n $HOME \"'`"
    description = shell('printf "%s|" "$VALUE"; cat', environment={"VALUE": value}, stdin=b"from \0 stdin\n")
    (job_id,) = arc.submit_jobs([description])
    assert ended(arc, job_id) == [JobStatuses.COMPLETED]
    assert saved(arc, job_id)["stdout.txt"] == value.encode() + b"|from \0 stdin\n"


@pytest.mark.core
def test_bad_inputs_are_refused_before_anything_is_sent(arc: ArcInterface, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no-such-file"):
        arc.submit_job("/bin/true", [], [tmp_path / "no-such-file"])
    assert not Path(arc.config.JOBS_INFO_FILE).exists() or arc.job_list.ids() == []


@pytest.mark.core
def test_an_unknown_job_is_not_found(arc: ArcInterface) -> None:
    known = arc.submit_job("/bin/true")
    head, _, last = known.rpartition("/")
    unknown = head + "/" + "".join(reversed(last))
    for call in (arc.get_job_status, arc.get_job_info, arc.cancel_job, arc.save_job_outputs):
        with pytest.raises(JobNotFoundError):
            call(unknown)
    with pytest.raises(JobNotFoundError, match="no job matches"):
        arc.get_job_status("512")


@pytest.mark.core
def test_cancel_while_running(arc: ArcInterface) -> None:
    job_id = arc.submit_job("/bin/sleep", ["300"])
    running(arc, job_id)
    # A job that has not ended is never erased.
    assert isinstance(arc.backend.clean([job_id])[job_id], OperationNotPossibleError)
    assert arc.get_job_status(job_id) is JobStatuses.IN_PROGRESS
    arc.cancel_job(job_id)
    assert ended(arc, job_id) == [JobStatuses.FAILED]
    assert arc.get_job_info(job_id).state == "Killed"
    arc.cancel_job(job_id)


def test_one_bad_job_does_not_spoil_the_rest(arc: ArcInterface, tmp_path: Path) -> None:
    good = [shell(f"echo {number}") for number in range(3)]
    bad = shell("true", inputs=[tmp_path / "missing"])
    with pytest.raises(PartialFailureError, match="1 of 4") as caught:
        arc.submit_jobs([good[0], bad, *good[1:]])
    results = caught.value.results
    assert isinstance(results[1], InputFileError)
    job_ids = [result for result in results if isinstance(result, str)]
    assert ended(arc, *job_ids) == [JobStatuses.COMPLETED] * 3
    assert arc.get_job_statuses(job_ids) == [JobStatuses.COMPLETED] * 3
    folders = arc.save_outputs(job_ids, tmp_path / "results")
    assert [Path(folder, "stdout.txt").read_text() for folder in folders if folder] == ["0\n", "1\n", "2\n"]
    assert set(job_ids) <= set(arc.list_jobs())
    arc.clean_jobs(job_ids)
    until(lambda: not set(job_ids) & set(arc.list_jobs()))
    with pytest.raises(PartialFailureError):
        arc.get_job_statuses(job_ids)
    arc.clean_jobs(job_ids)


@pytest.mark.core
def test_another_process_knows_the_job(arc: ArcInterface) -> None:
    job_id = arc.submit_job("/bin/sh", ["-c", "echo hello > output"])
    script = (
        "import json, sys; from jasmin_arc import ArcInterface\n"
        "with ArcInterface(log=None, config=json.loads(sys.argv[1])) as arc:\n"
        f"    print(arc.wait([sys.argv[2]], timeout={LIMIT})[0].value)\n"
        "    print(open(arc.save_job_outputs(sys.argv[2]) + '/output').read())\n"
    )
    command = [sys.executable, "-c", script, json.dumps(arc.config.as_dict()), job_id]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stdout.split()) == (0, ["completed", "hello"]), done.stderr


def test_waiting(arc: ArcInterface) -> None:
    quick, slow = arc.submit_jobs([shell("true"), shell("sleep 300")])
    with pytest.raises(WaitTimeoutError) as caught:
        arc.wait([quick, slow], timeout=0.5)
    assert slow in caught.value.unfinished
    assert next(iter(arc.as_completed([slow, quick], timeout=LIMIT))).id == quick

    async def both() -> list[JobStatuses]:
        arc.cancel_job(slow)
        return list(await asyncio.wait_for(asyncio.gather(arc.job(quick), arc.job(slow)), LIMIT))

    assert asyncio.run(both()) == [JobStatuses.COMPLETED, JobStatuses.FAILED]
    # Without waiting, it looks; and a job that is named twice is there twice.
    assert arc.wait([quick, slow, quick], timeout=0) == [
        JobStatuses.COMPLETED,
        JobStatuses.FAILED,
        JobStatuses.COMPLETED,
    ]


def test_saving_never_overwrites_unless_asked(arc: ArcInterface, tmp_path: Path) -> None:
    job_id = arc.submit_job("/bin/echo", ["hello"])
    ended(arc, job_id)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "stdout.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"stdout\.txt"):
        arc.save_job_outputs(job_id, directory=tmp_path / "here")
    assert (tmp_path / "here" / "stdout.txt").read_text() == "mine"
    assert arc.save_job_outputs(job_id, directory=tmp_path / "here", overwrite=True) == str(tmp_path / "here")
    assert (tmp_path / "here" / "stdout.txt").read_text() == "hello\n"
