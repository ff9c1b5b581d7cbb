"""What keeps a newcomer from a first job on Slurm is told in one line, with what to do."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm

from jasmin_arc import JasminArcError, JobDescription
from jasmin_arc.backends.shell.shell import ScriptError, Shell
from jasmin_arc.cli.process import run
from jasmin_arc.doctor import examine

UNKNOWN = "Invalid partition name specified"


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[FakeSlurm]:
    slurm = FakeSlurm(tmp_path)
    with slurm.arc:
        yield slurm


def refused(slurm: FakeSlurm) -> JasminArcError:
    with pytest.raises(JasminArcError) as caught:
        slurm.arc.submit(JobDescription("true", name="first"))
    return caught.value


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["Job rejected: no account!", "Batch job submission failed: Unspecified error"], "Job rejected: no account!"),
        (["invalid partition: a", f"Batch job submission failed: {UNKNOWN}"], f"invalid partition: a; {UNKNOWN}"),
        (["Batch job submission failed: Unspecified error"], "Unspecified error"),
    ],
)
def test_each_reason_of_sbatch_stands_for_itself(slurm: FakeSlurm, lines: list[str], told: str) -> None:
    echo = "".join(f"echo 'sbatch: error: {line}' >&2; " for line in lines)
    slurm.fault("sbatch", f"{echo} exit 1")
    assert refused(slurm).message == f"Slurm refuses the job 'first': {told}"


def test_the_doctor_says_what_to_set_when_slurm_would_refuse_a_job(slurm: FakeSlurm) -> None:
    slurm.fault(
        "sbatch", "echo 'sbatch: error: no account!' >&2; echo 'allocation failure: Unspecified error' >&2; exit 1"
    )
    (trial,) = [check for check in examine(config=slurm.config) if check.name == "trial"]
    assert trial.found == "Slurm would refuse a job with these settings: no account!"
    assert "SLURM_ACCOUNT" in trial.remedy


def test_a_folder_that_cannot_be_made_is_told_with_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    slurm = FakeSlurm(tmp_path, SLURM_DIR=f"{tmp_path}/file/jobs")
    with slurm.arc:
        error = refused(slurm)
    assert "jobs cannot be kept in SLURM_DIR" in error.message
    assert "Not a directory" in error.message
    assert "set it to a folder" in error.advice


def test_a_disk_that_is_full_is_told_with_what_to_do(slurm: FakeSlurm) -> None:
    slurm.program("tar", "cat >/dev/null; echo 'tar: x: Cannot write: No space left on device' >&2; exit 2")
    error = refused(slurm)
    assert "do not fit into SLURM_DIR (No space left on device)" in error.message
    assert "erase jobs" in error.advice


def test_where_no_command_of_slurm_is_found_the_two_ways_out_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "few").mkdir()
    os.symlink(str(shutil.which("head")), tmp_path / "few" / "head")
    monkeypatch.setenv("PATH", str(tmp_path / "few"))
    slurm = FakeSlurm(tmp_path, SLURM_BIN="")
    with slurm.arc:
        error = refused(slurm)
    assert "sbatch is not on the PATH on this machine" in error.message
    assert "SLURM_BIN" in error.advice
    assert "SLURM_HOST" in error.advice


def test_what_the_users_start_files_say_is_no_part_of_an_error() -> None:
    shell = Shell("", timeout=20)
    start = shell._command
    shell._command = lambda command: start(f"echo welcome; echo noise >&2; {command}")  # type: ignore[method-assign]
    for reason in ("the first", "the second"):
        with pytest.raises(ScriptError, match=f"^a command failed: {reason}$"):
            shell.ask(f"echo {reason} >&2; exit 3")
    shell.close()


def test_a_host_that_is_not_reached_is_tried_once_for_a_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm = FakeSlurm(tmp_path)
    slurm.arc.close()
    slurm.program("ssh", f'[ "$1" = -G ] || echo x >>{tmp_path}/tried; [ "$1" = -G ] || exit 255')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in {**slurm.config, "SLURM_HOST": "far"}.items():
        monkeypatch.setenv(f"JASMIN_ARC_{name}", value)
    assert run(["submit", "--", "true"]) == 1
    assert "nothing was submitted: ssh to far fails" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "tried").read_text() == "x\n"


def test_a_list_of_some_jobs_does_not_say_that_there_are_none_at_all(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in slurm.config.items():
        monkeypatch.setenv(f"JASMIN_ARC_{name}", value)
    slurm.arc.submit(JobDescription("true", name="first"))
    monkeypatch.setattr("sys.stdout", Screen())
    monkeypatch.setattr("sys.stderr", screen := Screen())
    assert run(["list", "--name", "second"]) == 0
    assert "No such jobs." in screen.getvalue()
