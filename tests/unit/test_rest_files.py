from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.fake_ce import FakeJob
from faults.https_server import RESET, Certificates, Reply, Request, xml
from faults.rest_setup import Setup, rest_setup

from jasmin_arc import ArcInterface
from jasmin_arc.exceptions import JobNotFoundError, OutputError, ServerError
from jasmin_arc.job_info import RemoteFile


@pytest.fixture
def setup(tmp_path: Path, certificates: Certificates) -> Iterator[Setup]:
    with rest_setup(tmp_path, certificates, TIMEOUT=1) as made:
        made.ce.jobs["j"] = FakeJob(
            "j", "", files={"stdout": b"0123456789", "out/a b#?": b"A" * 3_000_000, "empty": b""}
        )
        yield made


def session(reply: Reply) -> object:
    return lambda request: reply if "/session" in request.path else None


def test_listing_one_directory(setup: Setup) -> None:
    top = setup.backend.list_files(setup.url("j"))
    assert sorted(top, key=lambda file: file.name) == [
        RemoteFile("empty", 0),
        RemoteFile("out", None, is_dir=True),
        RemoteFile("stdout", 10),
    ]
    assert setup.backend.list_files(setup.url("j"), "out") == [RemoteFile("out/a b#?", 3_000_000)]


def test_reading_whole_files_and_ends_of_files(setup: Setup) -> None:
    job_id = setup.url("j")
    with setup.backend.open(job_id, "out/a b#?") as stream:
        assert stream.read() == b"A" * 3_000_000
    assert setup.backend.open(job_id, "stdout", 7).read() == b"789"
    assert setup.backend.open(job_id, "stdout", 10).read() == b""
    assert setup.backend.open(job_id, "stdout", 11).read() == b""
    assert setup.backend.open(job_id, "empty").read() == b""
    assert setup.server.connections == 1


def test_a_stream_that_is_not_read_to_its_end_can_be_closed(setup: Setup) -> None:
    with setup.backend.open(setup.url("j"), "out/a b#?") as stream:
        assert stream.read(10) == b"A" * 10
    assert setup.backend.open(setup.url("j"), "stdout").read() == b"0123456789"


def test_an_empty_file_that_nobody_read_leaves_the_connection_in_order(setup: Setup) -> None:
    setup.backend.open(setup.url("j"), "empty").close()
    assert setup.backend.cancel([setup.url("j")]) == {}
    assert sum("action=kill" in request for request in setup.ce.requests) == 1


@pytest.mark.parametrize("path", ["nothing", "out", ""])
def test_what_is_no_file_cannot_be_opened(setup: Setup, path: str) -> None:
    with pytest.raises(JobNotFoundError):
        setup.backend.open(setup.url("j"), path)


def test_after_a_file_that_is_not_there_the_connection_serves_on(setup: Setup) -> None:
    # Whoever keeps the error keeps the reply that led to it.
    with pytest.raises(JobNotFoundError) as kept:
        setup.backend.open(setup.url("j"), "nothing")
    assert setup.backend.cancel([setup.url("j")]) == {}
    assert setup.server.connections == 1
    del kept


@pytest.mark.parametrize("path", ["stdout", "nothing"])
def test_what_is_no_directory_cannot_be_listed(setup: Setup, path: str) -> None:
    with pytest.raises(JobNotFoundError):
        setup.backend.list_files(setup.url("j"), path)


@pytest.mark.parametrize("path", ["../x", "a/../../x", "a\0b"])
def test_paths_stay_in_the_session_directory(setup: Setup, path: str) -> None:
    for call in (setup.backend.open, setup.backend.list_files):
        with pytest.raises(OutputError, match="inside the session directory"):
            call(setup.url("j"), path)
    assert setup.server.requests == []


@pytest.fixture
def foreign(setup: Setup) -> str:
    """A job that another tool has submitted, with names of its own for standard output and error."""
    files = {"logs/out": b"hello\n", "err.txt": b"oops: no such file\n", "d/result": b"r"}
    told = "<StdOut>logs/out</StdOut><StdErr>err.txt</StdErr><ExitCode>3</ExitCode>"
    setup.ce.jobs["f"] = FakeJob("f", "<nothing of ours/>", "FAILED", files=files, info=told)
    return setup.url("f")


def test_a_job_of_another_tool_can_be_read_followed_and_explained(setup: Setup, foreign: str) -> None:
    with ArcInterface(log=None, config=setup.config) as arc:
        assert arc.read(foreign) == arc.job(foreign).stdout() == "".join(arc.follow(foreign)) == "hello\n"
        assert arc.read(foreign, "stderr", limit=4) == "oops"
        assert any("oops: no such file" in line for line in arc.explain(foreign).evidence)
        with arc.open(foreign, offset=2) as stream:
            assert stream.read() == b"llo\n"


def test_all_that_a_job_of_another_tool_has_kept_is_saved(setup: Setup, foreign: str, tmp_path: Path) -> None:
    with ArcInterface(log=None, config=setup.config) as arc:
        (folder,) = arc.save_outputs([foreign], tmp_path / "all")
        assert folder is not None
        assert arc.save_job_outputs(foreign, directory=tmp_path / "one") == str(tmp_path / "one")
    for place in (Path(folder), tmp_path / "one"):
        found = {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        assert found == {"stdout.txt": b"hello\n", "stderr.txt": b"oops: no such file\n", "d/result": b"r"}


def test_a_stream_that_is_not_kept_is_not_found(setup: Setup) -> None:
    setup.ce.jobs["n"] = FakeJob("n", "", "FINISHED", info="<StdOut>/dev/null</StdOut><StdErr>../stderr</StdErr>")
    for name in ("stdout", "stderr", "other"):
        with pytest.raises(JobNotFoundError, match=name):
            setup.backend.open(setup.url("n"), name)
    assert not any("%2e%2e" in request.lower() or ".." in request for request in setup.ce.requests)


def test_a_stream_of_the_usual_name_costs_no_question(setup: Setup) -> None:
    with setup.backend.open(setup.url("j"), "stdout") as stream:
        stream.read()
    assert not any("action=info" in request for request in setup.ce.requests)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD + b"Content-Length: 100\r\n\r\nshort"],
        [HEAD + b"Content-Length: 100\r\n\r\nshort", RESET],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"],
        [HEAD + b"\r\nno length"],
        [HEAD + b"Content-Length: ten\r\n\r\nno length"],
        [HEAD + b"Content-Length: 100\r\n\r\nshort", 10.0],
    ],
    ids=["closed", "reset", "chunk missing", "no length", "odd length", "stalled"],
)
def test_a_transfer_cut_short_is_never_taken_for_the_end(setup: Setup, pieces: list[object]) -> None:
    setup.ce.before = lambda request: Reply(raw=pieces) if "/session" in request.path else None
    with pytest.raises(OutputError):
        setup.backend.open(setup.url("j"), "stdout").read()


def test_outputs_that_broke_off_leave_no_folder_that_nobody_knows(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    setup.ce.jobs["j"].files["stderr"] = b""
    cut = Reply(raw=[b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234"])
    setup.ce.before = lambda request: cut if request.path.endswith("/stdout") else None
    with ArcInterface(log=None, config=setup.config) as arc, pytest.raises(OutputError, match="broke off"):
        arc.save_job_outputs(setup.url("j"), files=[])
    assert not list((tmp_path / "tmp").iterdir())


def test_a_slow_transfer_is_read_to_its_end(setup: Setup) -> None:
    # It takes longer than an answer may, which is a second here.
    pieces = [HEAD + b"Content-Length: 180000\r\n\r\n", *([b"x" * 10_000, 0.1] * 18)]
    setup.ce.before = lambda request: Reply(raw=pieces) if "/session" in request.path else None
    assert setup.backend.open(setup.url("j"), "stdout").read() == b"x" * 180_000


def test_a_long_listing_is_read_to_its_end(setup: Setup) -> None:
    names = [f"file{number:06}" for number in range(20_000)]
    setup.ce.jobs["j"].files = dict.fromkeys(names, b"")
    assert [file.name for file in setup.backend.list_files(setup.url("j"))] == names


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"0123456789", {"Content-Type": "application/octet-stream"}),
        Reply(206, b"0123456789", {"Content-Range": "bytes 0-9/10"}),
        Reply(206, b"56789", {"Content-Range": "bytes 6-10/11"}),
        Reply(206, b"56789"),
    ],
)
def test_a_server_that_sends_another_part_than_asked_for(setup: Setup, reply: Reply) -> None:
    setup.ce.before = session(reply)  # type: ignore[assignment]
    with pytest.raises(OutputError, match="from byte 5 on"):
        setup.backend.open(setup.url("j"), "stdout", 5)


def test_an_endless_listing(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jasmin_arc.backends.rest.files._MAX_LISTING_BYTES", 1_000_000)

    def endless() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nTransfer-Encoding: chunked\r\n\r\n"
        while True:
            yield b"7d00\r\n" + b"<file>a</file>  " * 2000 + b"\r\n"

    setup.ce.before = lambda request: Reply(raw=endless()) if "/session" in request.path else None
    with pytest.raises(ServerError, match="more than"):
        setup.backend.list_files(setup.url("j"))


def test_a_hostile_listing(setup: Setup) -> None:
    setup.ce.before = session(xml('<list><file size="1">../../.bashrc</file></list>'))  # type: ignore[assignment]
    with pytest.raises(OutputError, match="impossible name"):
        setup.backend.list_files(setup.url("j"))


def test_opening_is_tried_again(setup: Setup) -> None:
    failures = [Reply(503), Reply(raw=[RESET])]

    def flaky(request: Request) -> Reply | None:
        return failures.pop() if failures and "/session" in request.path else None

    setup.ce.before = flaky
    assert setup.backend.open(setup.url("j"), "stdout").read() == b"0123456789"
