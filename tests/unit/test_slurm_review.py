"""What users have on a cluster changes nothing: their variables, their other jobs, odd paths; nor do large numbers."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm

from jasmin_arc import JobDescription, SubmissionUnknownError
from jasmin_arc.backends.shell.shell import Shell
from jasmin_arc.backends.slurm import cluster, submission
from jasmin_arc.backends.slurm.states import read_look
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.constants import JobState
from jasmin_arc.exceptions import InvalidConfigError, OperationNotPossibleError

SCRIPTS = Path(cluster.__file__).parent / "remote"
BATCH = "20261122-010203-0123abcd"
TOKEN = "0123abcd000000"


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[FakeSlurm]:
    slurm = FakeSlurm(tmp_path)
    with slurm.arc:
        yield slurm


def run_there(folder: Path, script: str, call: str, **environment: str) -> str:
    text = f"dir='{folder}'\n{(SCRIPTS / script).read_text()}\n{call}\n"
    return subprocess.run(
        ["/bin/sh"], input=text, env={**os.environ, **environment}, text=True, check=True, stdout=subprocess.PIPE
    ).stdout


@pytest.mark.parametrize("comment", ["of runs number 5", f"{BATCH} young decided", "queue"])
def test_a_comment_of_several_lines_hides_no_job(comment: str) -> None:
    own = f"7|RUNNING|0|None|short|1|1|1|N/A|||normal|0|jasmin_arc/{BATCH}/0|"
    told = f"queue\n1700000000\n5|PENDING|0|None|short|1|1|1|N/A|||normal|first\nbatch {comment}|\n{own}\n"
    if comment.startswith(BATCH):
        told = told.replace(BATCH, BATCH.replace("abcd", "ffff"), 1)
    look = read_look(f"{told}\nbatch {BATCH}  decided\n{TOKEN}\nend\n", [BATCH])
    [row] = look.all_rows()
    assert (row.native_id, row.general) == ("7", JobState.RUNNING)
    assert look.young == set()


@pytest.mark.parametrize("variable", ["SBATCH_ARRAY_INX", "SBATCH_WAIT", "SBATCH_MEM_PER_NODE", "SLURM_EXIT_ERROR"])
def test_variables_that_change_what_is_submitted_do_not_reach_sbatch(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    slurm.fault("sbatch", f'[ -z "${variable}" ] || exit 3')
    [job_id] = slurm.backend.submit([JobDescription("true")])
    assert isinstance(job_id, str)


@pytest.mark.parametrize("why", ["Unable to contact slurm controller (receive failure)", "Message receive failure"])
def test_an_answer_that_did_not_arrive_is_no_refusal(slurm: FakeSlurm, why: str) -> None:
    slurm.fault("sbatch", f'echo "sbatch: error: Batch job submission failed: {why}" >&2; exit 1')
    [outcome] = slurm.backend.submit([JobDescription("true")])
    assert isinstance(outcome, SubmissionUnknownError)


def test_a_job_of_which_nobody_knows_whether_it_exists_is_not_called_cancelled(slurm: FakeSlurm) -> None:
    slurm.fault("sbatch", 'echo "sbatch: error: Socket timed out" >&2; exit 1')
    slurm.backend.submit([JobDescription("true")])
    [record] = slurm.arc.job_list.unfinished(slurm.backend.endpoint)
    assert record.id is not None
    [failure] = slurm.backend.cancel([record.id]).values()
    assert isinstance(failure, OperationNotPossibleError)


def test_inputs_are_as_new_as_their_arrival(slurm: FakeSlurm) -> None:
    # What is old is erased on many scratch disks.
    slurm.backend.submit([JobDescription("true", inputs={"data": b"x"})])
    [found] = slurm.dir.glob("*/*/session/data")
    assert time.time() - found.stat().st_mtime < 60


def test_names_of_outputs_are_written_as_inputs_are_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("latin-1"))
    job = submission._Job(JobDescription("true", outputs=["größe"]), place=cluster.Place(BATCH, TOKEN))
    files = dict(submission._files([submission._Group(BATCH, 0, [job])], [BATCH]))
    assert "größe\n".encode() in bytes(files[f"{BATCH}/{TOKEN}/keep"])  # type: ignore[arg-type]


def test_a_shell_works_in_a_process_with_more_than_a_thousand_open_files() -> None:
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(900)]
    while taken[-1] < 1100:
        try:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            break
    shell = Shell("", timeout=10)
    try:
        if taken[-1] < 1100:
            pytest.skip("this process may not open so many files")
        assert shell.ask("echo here") == "here\n"
        assert shell.run("echo there") == "there\n"
    finally:
        shell.close()
        for descriptor in taken:
            os.close(descriptor)


def test_whoever_reads_slowly_is_not_cut_off() -> None:
    shell = Shell("", timeout=2)
    with shell.open("echo first; sleep 3.5; echo second") as stream:
        assert stream.read(6) == b"first\n"
        time.sleep(2.2)
        assert stream.read() == b"second\n"
    shell.close()


def test_of_two_thousand_jobs_all_is_erased_quickly(tmp_path: Path) -> None:
    folders = [f"{BATCH}/{number:014x}" for number in range(2000)]
    (tmp_path / BATCH / "marks").mkdir(parents=True)
    for folder in folders:
        (tmp_path / folder).mkdir()
        (tmp_path / BATCH / "marks" / f"{folder[-14:]}.0").touch()
    began = os.times().children_user
    run_there(tmp_path, "clean.sh", f"clean {' '.join(folders[:-1])}")
    assert os.times().children_user - began < 1.0
    assert sorted(path.name for path in (tmp_path / BATCH).iterdir()) == [folders[-1][-14:], "marks"]
    assert [path.name for path in (tmp_path / BATCH / "marks").iterdir()] == [f"{folders[-1][-14:]}.0"]


def test_the_accounting_is_asked_once_by_whom_jobs_were_cancelled(tmp_path: Path) -> None:
    for name, script in {
        "sacct": "for i in 1 2 3; do echo \"$i|CANCELLED by 7|0:0|1|2|n|||\"; done; echo '4|FAILED|1:0|1|2|n|||'",
        "id": f"echo asked >>'{tmp_path}/calls'; echo jane",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    told = run_there(tmp_path, "accounts.sh", "accounts 1,2,3,4", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert [line.split("|")[1] for line in told.splitlines()] == ["CANCELLED by jane"] * 3 + ["FAILED"]
    assert (tmp_path / "calls").read_text() == "asked\n"


def test_a_folder_that_depends_on_where_one_is_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match="must begin with / or ~"):
        ConnectionConfig.load(config={"BACKEND": "slurm", "SLURM_DIR": "state/slurm"})


def test_the_scripts_need_only_a_shell_coreutils_and_tar(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    listed = subprocess.run(["dpkg", "-L", "coreutils"], text=True, check=True, stdout=subprocess.PIPE).stdout.split()
    for name in ("sh", "tar", *(Path(file).name for file in listed if "/bin/" in file)):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(tools))
    (tmp_path / "in").write_text("1961")
    ids = slurm.arc.submit_jobs([JobDescription("cat", ["in"], inputs=[str(tmp_path / "in")])] * 3)
    assert slurm.arc.list_files(ids[0])
    slurm.arc.cancel_jobs(ids)
    assert [info.state for info in slurm.arc.get_job_infos(ids)] == [JobState.KILLED] * 3
    assert slurm.arc.recover() == {}
    slurm.arc.clean_jobs(ids, force=True)
    assert [name for name in slurm.folders() if name[0].isdigit()] == []


def test_what_is_no_file_is_no_program_of_the_cluster(slurm: FakeSlurm) -> None:
    assert slurm.arc.find_software("umask") == []
    assert [line.split("/")[-1] for line in slurm.arc.find_software("tar")][:1] == ["tar"]
