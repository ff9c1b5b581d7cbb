"""Inputs are checked before anything is sent; the run script goes last."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from jasmin_arc.constants import RUN_SCRIPT_NAME
from jasmin_arc.description import JobDescription
from jasmin_arc.description.run_script import STDIN_NAME, run_script
from jasmin_arc.exceptions import InputFileError, JasminArcError, ServerError
from jasmin_arc.staging.inputs import StagedInput, plan_inputs, upload_all


def job(**values: object) -> JobDescription:
    return JobDescription(**{"executable": "/bin/true", "outputs": [], **values})  # type: ignore[arg-type]


def contents(description: JobDescription) -> dict[str, bytes]:
    read = {}
    for staged in plan_inputs(description)[:-1]:
        with staged.open() as stream:
            read[staged.name] = stream.read()
        assert staged.size == len(read[staged.name])
    return read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder ``data`` with files, a hidden one, an empty folder and links."""
    data = tmp_path / "data"
    (data / "deep" / "er").mkdir(parents=True)
    (data / "empty").mkdir()
    (data / "a.txt").write_bytes(b"a")
    (data / ".hidden").write_bytes(b"h")
    (data / "deep" / "er" / "b").write_bytes(b"b")
    (tmp_path / "elsewhere").write_bytes(b"e")
    (data / "link").symlink_to(tmp_path / "elsewhere")
    (data / "folder-link").symlink_to(data / "deep")
    return data


def test_the_run_script_is_always_the_last(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"123")
    description = job(inputs={"x": tmp_path / "x", "y": b"45", "z": "https://example.org/z"}, stdin=b"in")
    planned = plan_inputs(description)
    assert [(staged.name, staged.size) for staged in planned[:-1]] == [("x", 3), ("y", 2), (STDIN_NAME, 2)]
    script = run_script(description)
    assert planned[-1] == StagedInput(RUN_SCRIPT_NAME, script, len(script), commits=True)
    assert not any(staged.commits for staged in planned[:-1])


def test_the_place_makes_the_run_script(tmp_path: Path) -> None:
    (tmp_path / "tool").touch(0o755)

    def script(description: JobDescription, executables: Iterable[str]) -> bytes:
        return f"# {description.executable} {' '.join(executables)}".encode()

    *_, last = plan_inputs(job(inputs=[tmp_path / "tool"]), script=script)
    assert last == StagedInput(RUN_SCRIPT_NAME, b"# /bin/true tool", 16, commits=True)


def test_folders_become_their_files_and_links_what_they_lead_to(folder: Path) -> None:
    assert contents(job(inputs={"d": folder})) == {
        "d/.hidden": b"h",
        "d/a.txt": b"a",
        "d/deep/er/b": b"b",
        "d/folder-link/er/b": b"b",
        "d/link": b"e",
    }


def test_stdin_can_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"hello")
    assert contents(job(stdin=tmp_path / "in")) == {STDIN_NAME: b"hello"}
    with pytest.raises(InputFileError, match=r"^stdin: .*nothing does not exist"):
        plan_inputs(job(stdin=tmp_path / "nothing"))
    with pytest.raises(InputFileError, match=r"^stdin: .* is a folder"):
        plan_inputs(job(stdin=tmp_path))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    with pytest.raises(InputFileError, match=r"input 'x': .*nothing does not exist"):
        plan_inputs(job(inputs={"x": tmp_path / "nothing"}))
    with pytest.raises(InputFileError, match="dangling is a symbolic link to nothing"):
        plan_inputs(job(inputs=[tmp_path / "dangling"]))


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
@pytest.mark.parametrize("inside", [False, True])
def test_special_files_are_refused_and_never_opened(tmp_path: Path, kind: str, inside: bool) -> None:
    path = tmp_path / "d" / "special"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            server.bind(str(path))
        else:
            path.symlink_to("/dev/zero")
        with pytest.raises(InputFileError, match="special is not a file but"):
            plan_inputs(job(inputs=[path.parent if inside else path]))


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[Path]:
    """A folder that a user may enter who may not read everything, as root may; the test runs as that user."""
    if os.geteuid() != 0:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(0)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_cannot_be_read_is_named_with_the_reason(nobody: Path, kind: str) -> None:
    path = nobody / "secret"
    path.touch() if kind == "file" else path.mkdir()
    path.chmod(0)
    with pytest.raises(InputFileError, match="secret: Permission denied"):
        plan_inputs(job(inputs=[path]))
    path.chmod(0o700)


def test_a_link_that_leads_back_is_an_error(folder: Path) -> None:
    (folder / "deep" / "loop").symlink_to(folder)
    with pytest.raises(InputFileError, match=r"symbolic link .*loop leads back"):
        plan_inputs(job(inputs=[folder]))


def test_folders_without_end_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each folder holds two links to the next: a thousand files by ten folders.
    for number in range(10):
        (tmp_path / str(number)).mkdir()
        for name in "ab":
            (tmp_path / str(number) / name).symlink_to(tmp_path / str(number + 1))
    (tmp_path / "10").mkdir()
    monkeypatch.setattr("jasmin_arc.staging.inputs.MAX_FILES", 100)
    with pytest.raises(InputFileError, match="more than 100 files"):
        plan_inputs(job(inputs=[tmp_path / "0"]))


@pytest.mark.parametrize("name", [b"new\nline", b"\xff", b"bell\x07"])
def test_names_that_cannot_be_sent_are_refused(tmp_path: Path, name: bytes) -> None:
    data = tmp_path / "d"
    data.mkdir()
    Path(os.fsdecode(os.path.join(os.fsencode(data), name))).touch()
    with pytest.raises(InputFileError, match="cannot be sent under its name"):
        plan_inputs(job(inputs=[data]))


@pytest.mark.parametrize(
    "inputs",
    [
        {"d": "FOLDER", "d/a.txt": b"another"},
        {"d/a.txt": b"another", "d": "FOLDER"},
        {"d": "FOLDER", "d/a.txt": "https://example.org/x"},
        {"d": "FOLDER", "d/deep": b"a file"},
        {"d": b"a file", "d/x/y": b"below it"},
        {"d": "https://example.org/x", "d/x": b"below it"},
    ],
)
def test_two_inputs_in_one_place_are_refused(folder: Path, inputs: dict[str, object]) -> None:
    placed = {name: folder if source == "FOLDER" else source for name, source in inputs.items()}
    with pytest.raises(InputFileError, match="inputs: "):
        plan_inputs(job(inputs=placed))


def test_a_file_that_changed_since_it_was_checked_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"123")
    staged = plan_inputs(job(inputs=[path]))[0]
    path.write_bytes(b"1234")
    with pytest.raises(InputFileError, match="had 3 bytes when the job was checked and has 4 now"):
        staged.open()
    path.unlink()
    with pytest.raises(InputFileError, match="does not exist"):
        staged.open()


def test_contents_are_in_no_repr() -> None:
    assert "secret" not in repr(StagedInput("x", b"secret", 6))


# --- Uploads ---


class Server:
    """Takes uploads, and tells what came in which order."""

    def __init__(self, failing: set[tuple[str, str]] = frozenset()) -> None:  # type: ignore[assignment]
        self.begun: list[tuple[str, str]] = []
        self.ended: list[tuple[str, str]] = []
        self._failing = failing

    def put(self, job_id: str, staged: StagedInput) -> None:
        self.begun.append((job_id, staged.name))
        time.sleep(0.0005)
        if (job_id, staged.name) in self._failing:
            raise ServerError(f"no room for {staged.name}")
        self.ended.append((job_id, staged.name))


def inputs(*names: str) -> list[StagedInput]:
    return [StagedInput(name, name.encode(), len(name), commits=name == "last") for name in names]


def test_the_input_that_commits_a_job_waits_for_its_others() -> None:
    server = Server()
    jobs = {f"job{number}": inputs("a", "last", "b", "c") for number in range(20)}
    jobs["single"] = inputs("last")
    jobs["none"] = []
    assert upload_all(jobs, server.put) == {}
    for job_id, planned in jobs.items():
        done = [name for job, name in server.ended if job == job_id]
        assert sorted(done) == sorted(staged.name for staged in planned)
        if planned:
            assert done[-1] == "last"
            assert server.begun.index((job_id, "last")) > max(
                [server.begun.index((job_id, name)) for name in done[:-1]], default=-1
            )


def test_inputs_without_one_that_commits_are_all_uploaded() -> None:
    server = Server()
    assert upload_all({1: inputs("a", "b"), 2: []}, lambda job, staged: server.put(str(job), staged)) == {}
    assert sorted(server.ended) == [("1", "a"), ("1", "b")]


def test_the_input_that_commits_does_not_wait_for_those_of_other_jobs() -> None:
    server = Server()
    jobs = {f"job{number}": inputs("a", "b", "last") for number in range(4)}
    upload_all(jobs, server.put, workers=1)
    assert server.begun == [(f"job{number}", name) for number in range(4) for name in ("a", "b", "last")]


def test_a_job_whose_upload_failed_never_gets_its_last_input() -> None:
    server = Server({("bad", "b"), ("late", "last")})
    jobs = {name: inputs("a", "b", "c", "last") for name in ("good", "bad", "late")}
    failures = upload_all(jobs, server.put)
    assert {job_id: str(error) for job_id, error in failures.items()} == {
        "bad": "no room for b",
        "late": "no room for last",
    }
    assert all(isinstance(error, JasminArcError) for error in failures.values())
    assert ("bad", "last") not in server.begun
    assert ("good", "last") in server.ended


def test_uploads_go_in_parallel_but_not_too_many() -> None:
    together, lock = [0], threading.Lock()
    most = [0]
    barrier = threading.Barrier(4, timeout=30)

    def put(job_id: str, staged: StagedInput) -> None:
        with lock:
            together[0] += 1
            most[0] = max(most[0], together[0])
        barrier.wait()
        with lock:
            together[0] -= 1

    upload_all({f"job{number}": inputs("last") for number in range(8)}, put, workers=4)
    assert most == [4]


def test_an_unexpected_error_reaches_the_caller() -> None:
    def put(job_id: str, staged: StagedInput) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        upload_all({"job": inputs("a", "last")}, put)


def test_ctrl_c_ends_the_uploads_at_once() -> None:
    blocked, released = threading.Event(), threading.Event()
    begun: list[str] = []

    def put(job_id: str, staged: StagedInput) -> None:
        begun.append(job_id)
        blocked.set()
        released.wait(60)

    def interrupt() -> None:
        blocked.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        upload_all({f"job{number}": inputs("a", "last") for number in range(50)}, put, workers=2)
    assert time.monotonic() - start < 2
    released.set()
    for thread in threading.enumerate():
        if thread.name == "jasmin_arc worker":
            thread.join()
    # What had not begun was dropped.
    assert len(begun) <= 2
