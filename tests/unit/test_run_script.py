"""The run script, run by a real shell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jasmin_arc import JobDescription
from jasmin_arc.backends.posix.clean_session import listed_outputs
from jasmin_arc.description.run_script import OUTPUT_LIST_NAME, STDIN_NAME, run_script

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)


def run(
    job: JobDescription, folder: Path, shell: str = "/bin/sh", executables: Sequence[str] = ()
) -> subprocess.CompletedProcess[bytes]:
    (folder / ".run").write_bytes(run_script(job, executables))
    return subprocess.run([shell, ".run"], cwd=folder, capture_output=True, stdin=subprocess.DEVNULL)


@settings(deadline=None, max_examples=50)
@given(st.lists(texts, max_size=5), texts)
def test_arguments_and_environment_arrive_exactly(
    tmp_path_factory: pytest.TempPathFactory, arguments: list[str], value: str
) -> None:
    job = JobDescription(
        executable="/bin/sh",
        arguments=["-c", 'printf "%s\\0" "$VALUE" "$@"', "sh", *arguments],
        environment={"VALUE": value},
    )
    done = run(job, tmp_path_factory.mktemp("run"))
    assert done.stdout.decode().split("\0")[:-1] == [value, *arguments], done.stderr


def test_a_name_of_a_variable_is_never_a_command(tmp_path: Path) -> None:
    job = JobDescription(executable="true", environment={"A": "b c"})
    # No method of the description allows this.
    dict.__setitem__(job.environment, "A; touch x; B", "x")  # type: ignore[arg-type]
    run(job, tmp_path)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("node", "environment", "seen"),
    [({}, {}, "1"), ({"PYTHONUNBUFFERED": ""}, {}, ""), ({"PYTHONUNBUFFERED": "x"}, {"PYTHONUNBUFFERED": ""}, "")],
)
def test_python_hands_on_at_once_what_it_prints_unless_somebody_wants_it_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: dict[str, str], environment: dict[str, str], seen: str
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    for name, value in node.items():
        monkeypatch.setenv(name, value)
    job = JobDescription(executable="printenv", arguments=["PYTHONUNBUFFERED"], environment=environment)
    assert run(job, tmp_path).stdout.decode() == f"{seen}\n"


def test_bytes_that_are_no_text_arrive(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    assert run(JobDescription(executable="echo", arguments=[name]), tmp_path).stdout == b"caf\xe9\n"


def test_the_program_takes_the_shells_place(tmp_path: Path) -> None:
    job = JobDescription(executable="/bin/sh", arguments=["-c", "kill -TERM $$"])
    assert run(job, tmp_path).returncode == -15


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize("options", [{}, {"outputs": ["*"]}])
def test_variables_that_are_the_shells_own_arrive_exactly_too(
    tmp_path: Path, shell: str, options: dict[str, list[str]]
) -> None:
    names = ["UID", "GROUPS", "SECONDS", "RANDOM", "SHLVL", "OPTIND", "_", "BASH_VERSINFO", "PWD", "IFS", "PS4", "ENV"]
    environment = {name: f"{number} x" for number, name in enumerate(names)}
    done = run(JobDescription(executable="/usr/bin/env", environment=environment, **options), tmp_path, shell)  # type: ignore[arg-type]
    assert {f"{name}={value}" for name, value in environment.items()} <= set(done.stdout.decode().splitlines())
    assert done.stderr == b""


def test_a_program_with_an_equals_sign_is_no_variable(tmp_path: Path) -> None:
    (tmp_path / "exp=1").mkdir()
    (tmp_path / "exp=1" / "run").write_text("#!/bin/sh\nexit 3\n")
    job = JobDescription(executable="exp=1/run", inputs={"exp=1": "x"}, environment={"SECONDS": "5"})
    assert run(job, tmp_path).returncode == 3


@pytest.mark.parametrize(
    "environment", [{"PATH": "/opt/bin:$PATH"}, {"IFS": "/.an"}, {"LC_ALL": "none"}, {"LD_PRELOAD": "/no/such.so"}]
)
def test_the_environment_of_a_job_is_for_its_program_alone(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "program").write_text("#!/bin/sh\n: > a.nc\n")
    for outputs in (["a.nc"], ["*.nc"]):
        (tmp_path / "program").chmod(0o600)
        job = JobDescription(executable="program", inputs={"program": "x"}, environment=environment, outputs=outputs)
        done = run(job, tmp_path)
        assert done.returncode == 0, done.stderr
        assert b".run" not in done.stderr
    assert listed_outputs((tmp_path / OUTPUT_LIST_NAME).read_text()) == ["a.nc"]


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize(("program", "code"), [("/no/such", 127), ("no-such-program", 127), ("/etc/passwd", 126)])
def test_what_cannot_run_says_so(tmp_path: Path, shell: str, program: str, code: int) -> None:
    done = run(JobDescription(executable=program), tmp_path, shell)
    assert done.returncode == code
    assert program.encode() in done.stderr


def test_an_input_runs_whatever_its_mode(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    for name in ("pro gram", "tree/inner", "a/b/c/deep"):
        (tmp_path / name).write_text("#!/bin/sh\necho $0 $1\n")
        (tmp_path / name).chmod(0o600)
    inputs = {"pro gram": "x", "tree": "y", "a/b": "z"}
    for program in ("pro gram", "./pro gram", "tree/inner", "a/b/c/deep"):
        done = run(JobDescription(executable=program, arguments=["arg"], inputs=inputs), tmp_path)
        assert done.stdout.split()[-1] == b"arg", done.stderr


def test_other_inputs_are_executable_if_asked_for_however_many(tmp_path: Path) -> None:
    names = [f"-tool {number}" for number in range(250)]
    for name in names:
        (tmp_path / name).touch(mode=0o600)
    done = run(JobDescription(executable="true"), tmp_path, executables=names)
    assert (done.returncode, done.stderr) == (0, b"")
    assert all(os.access(tmp_path / name, os.X_OK) for name in names)


def test_stdin_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / STDIN_NAME).write_bytes(b"typed")
    assert run(JobDescription(executable="cat", stdin=b"typed"), tmp_path).stdout == b"typed"


@pytest.mark.parametrize(
    ("stop", "output", "code"),
    [(True, b"1\n2\n", 3), (False, b"1\n2\n4\n", 3)],
)
def test_steps_run_one_after_another(tmp_path: Path, stop: bool, output: bytes, code: int) -> None:
    steps = [["echo", "1"], ["sh", "-c", "echo 2; exit 3"], ["echo", "4"]]
    done = run(JobDescription(steps=steps, stop_on_failure=stop), tmp_path)
    assert (done.stdout, done.returncode) == (output, code)


def test_steps_without_failure_succeed(tmp_path: Path) -> None:
    assert run(JobDescription(steps=[["true"], ["exit.sh"]], inputs={"exit.sh": "x"}), tmp_path).returncode == 126 + 1
    assert run(JobDescription(steps=[["true"], ["true"]]), tmp_path).returncode == 0


def test_patterns_are_listed_when_the_program_has_ended(tmp_path: Path) -> None:
    script = "mkdir d; touch a1.nc 'b 2.nc' c.txt d/x.nc @x.nc 'new\nline.nc' 'back\\slash.nc'; touch 'q$x.nc'; exit 5"
    job = JobDescription(
        executable="/bin/sh", arguments=["-c", script], outputs=["*.nc", "d/[x-z].nc", "none*", "q$?.nc", "plain"]
    )
    done = run(job, tmp_path)
    assert (done.returncode, done.stderr) == (5, b"")
    listed = listed_outputs((tmp_path / OUTPUT_LIST_NAME).read_text())
    assert sorted(set(listed)) == ["a1.nc", "b 2.nc", "back\\slash.nc", "d/x.nc", "q$x.nc"]


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_hidden_files_are_listed_but_not_folders_above_nor_our_own(tmp_path: Path, shell: str) -> None:
    (tmp_path / "session" / "sub").mkdir(parents=True)
    (tmp_path / "x").touch()
    job = JobDescription(
        executable="/bin/sh",
        arguments=["-c", "touch .h sub/.h .jasmin_arc_mine x sub/x"],
        outputs=[".*", "sub/.*", ".*/x", "*/x"],
    )
    done = run(job, tmp_path / "session", shell)
    assert done.returncode == 0, done.stderr
    listed = listed_outputs((tmp_path / "session" / OUTPUT_LIST_NAME).read_text())
    assert sorted(set(listed) - {".run"}) == [".h", "sub/.h", "sub/x"]
