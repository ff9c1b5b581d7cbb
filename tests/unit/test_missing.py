"""Outputs that were not made are noticed once, and looking for them never fails what somebody wanted."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from job_list_kit import add
from memory_backend import MemoryBackend

from jasmin_arc import ArcInterface, JobDescription, JobInfo, LogLevels
from jasmin_arc.constants import JobState
from jasmin_arc.exceptions import JasminArcError, JobNotFoundError, ServerError
from jasmin_arc.job_info import RemoteFile
from jasmin_arc.job_list import JobList, JobRecord
from jasmin_arc.staging.missing import MissingOutputs, missing_outputs, wanted_outputs

JOB = JobDescription(executable="x", outputs=["*.nc", "gone/a/b", "made", "sub/made", "sub/other", "text"])
FILES = {"made": b"1", "sub/made": b"", "sub/empty": None}
MISSING = ("gone/a/b", "sub/other", "text")


def test_only_what_must_be_there_is_looked_for() -> None:
    job = JobDescription(executable="x", outputs={"a/": None, "b": "https://store.example/b", "*.c": None, "d": None})
    assert wanted_outputs(job, ["d"]) == ["a"]
    assert wanted_outputs(JobDescription(executable="x"), []) == []


def test_what_is_not_there_is_missing_in_folders_too() -> None:
    backend = MemoryBackend(FILES)
    assert missing_outputs(backend, "job", JOB) == MISSING
    assert missing_outputs(backend, "job", JOB, ["text"]) == MISSING[:-1]
    # Each folder once, and none that is not there.
    assert backend.listed == ["", "sub"] * 2


def test_of_a_job_that_is_gone_nothing_is_known() -> None:
    with pytest.raises(JobNotFoundError):
        missing_outputs(MemoryBackend({}), "unknown", JOB)


class Broken(MemoryBackend):
    """Does not answer."""

    error: JasminArcError = ServerError("no answer")

    def list_files(self, job_id: str, path: str = "", *, recursive: bool = False):  # type: ignore[no-untyped-def]
        self.listed.append(path)
        raise self.error


@pytest.fixture
def job_list(tmp_path: Path) -> JobList:
    job_list = JobList(tmp_path / "jobs.dat")
    records = [
        JobRecord(f"token-{number}", MemoryBackend.endpoint, f"m-{number}", JOB.to_json(), f"memory:///{number}")
        for number in range(5)
    ]
    add(job_list, records)
    return job_list


IDS = [f"memory:///{number}" for number in range(5)]


def test_each_job_is_looked_at_once(job_list: JobList) -> None:
    backend = MemoryBackend(FILES)
    missing = MissingOutputs(backend, job_list, ["text"], logging.getLogger("test"))
    assert missing.look([*IDS[:2], IDS[0], "memory:///unlisted"]) == dict.fromkeys(IDS[:2], MISSING[:-1])
    assert missing.look(IDS[:2]) == {}
    assert len(backend.listed) == 4
    assert missing.known(IDS[0]) == MISSING[:-1]
    assert missing.known(IDS[4]) == ()


def test_jobs_that_were_saved_are_left_alone_by_whoever_waits(job_list: JobList) -> None:
    backend = MemoryBackend(FILES)
    missing = MissingOutputs(backend, job_list, ["text"], logging.getLogger("test"))
    job_list.mark_saved(IDS[:1])
    assert list(missing.look(IDS[:2], saved_too=False)) == IDS[1:2]
    assert missing.filled({IDS[0]: JobInfo(IDS[0], JobState.FINISHED)})[IDS[0]].missing_outputs == MISSING[:-1]


def test_a_look_that_fails_is_not_repeated_and_tells_nobody(
    job_list: JobList, caplog: pytest.LogCaptureFixture
) -> None:
    backend = Broken({})
    missing = MissingOutputs(backend, job_list, [], logging.getLogger("test"))
    with caplog.at_level("DEBUG", "test"):
        assert missing.look(IDS[:1]) == missing.look(IDS[:1]) == {}
    assert len(backend.listed) == 1
    assert {record.levelname for record in caplog.records} == {"DEBUG"}


class Hanging(MemoryBackend):
    """Answers when it is let go."""

    def __init__(self) -> None:
        super().__init__({})
        self.go = threading.Event()

    def list_files(self, job_id: str, path: str = "", *, recursive: bool = False) -> list[RemoteFile]:
        self.go.wait(60)
        return super().list_files(job_id, path, recursive=recursive)


@pytest.mark.parametrize("count", [1, 5])
def test_a_server_that_hangs_holds_nobody_up(job_list: JobList, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr("jasmin_arc.staging.missing._MOST_SECONDS", 0.1)
    backend = Hanging()
    missing = MissingOutputs(backend, job_list, [], logging.getLogger("test"))
    begin = time.monotonic()
    # The second time, those are left that hung the first time.
    assert missing.look(IDS[:count]) == missing.look(IDS[: min(count, 4)]) == {}
    assert time.monotonic() - begin < 10
    backend.go.set()


def test_a_job_list_that_cannot_be_read_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "broken").write_bytes(b"no database at all, but long enough to look like one" * 100)
    missing = MissingOutputs(MemoryBackend(FILES), JobList(tmp_path / "broken"), [], logging.getLogger("test"))
    assert missing.look(IDS) == {}
    missing.warn({IDS[0]: ["a"]})
    assert "0 completed, but did not make a; explain() tells more" in caplog.text


def test_one_line_names_the_first_jobs_and_files(job_list: JobList, caplog: pytest.LogCaptureFixture) -> None:
    missing = MissingOutputs(MemoryBackend(FILES), job_list, [], logging.getLogger("test"))
    missing.warn({})
    missing.warn(dict.fromkeys(IDS, ("a", "b", "c\x1b[", "d", "e")))
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith(
        "5 jobs completed, but did not make all their outputs: m-0 (0): a, b, c [ and 2 more; m-1 (1):"
    )
    assert message.endswith("; and 2 more; explain() tells more")


def test_the_answer_about_one_job_says_what_is_missing_and_many_are_not_looked_at(job_list: JobList) -> None:
    backend = MemoryBackend(FILES)
    missing = MissingOutputs(backend, job_list, [], logging.getLogger("test"))
    infos = {job_id: JobInfo(job_id, JobState.FINISHED) for job_id in IDS[:2]}
    assert missing.filled(infos) == infos
    assert missing.filled({IDS[0]: infos[IDS[0]]})[IDS[0]].missing_outputs == MISSING
    running = {IDS[1]: JobInfo(IDS[1], JobState.RUNNING)}
    assert missing.filled(running) == running
    assert [info.missing_outputs for info in missing.filled(infos).values()] == [MISSING, ()]
    assert backend.listed == ["", "sub"]


# --- With jobs that really run ---


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def arc(tmp_path: Path, log: io.StringIO) -> Iterator[ArcInterface]:
    config = {"BACKEND": "local", "LOCAL_DIR": str(tmp_path / "d"), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
    with ArcInterface(config=config, log=log, log_level=LogLevels.WARNING) as arc:
        yield arc


def submit(arc: ArcInterface, script: str, name: str = "m", **options: object) -> str:
    return arc.submit_job("/bin/sh", ["-c", script], name=name, **options)  # type: ignore[arg-type]


def test_waiting_saving_and_asking_say_it(arc: ArcInterface, log: io.StringIO, tmp_path: Path) -> None:
    jobs = {
        "good": submit(arc, "echo > a; mkdir folder", "good", outputs=["a", "folder", "*.nc"]),
        "bad": submit(arc, "true", "bad", outputs=["a", "sub/b"]),
        "failed": submit(arc, "exit 3", "failed", outputs=["a"]),
        "by default": submit(arc, "true", "by default"),
    }
    arc.wait(list(jobs.values()))
    arc.wait(list(jobs.values()))
    assert log.getvalue().count("did not make") == 1
    short = jobs["bad"].rpartition("/")[2][:8]
    assert f"bad ({short}) completed, but did not make a, sub/b; explain() tells more" in log.getvalue()
    assert [info.missing_outputs for info in arc.get_job_infos(list(jobs.values()))] == [(), ("a", "sub/b"), (), ()]
    arc.save_outputs(list(jobs.values()), tmp_path / "all")
    assert log.getvalue().count("did not make") == 2
    assert "good (" not in log.getvalue()
    arc.save_job_outputs(jobs["bad"], directory=tmp_path / "one")
    assert log.getvalue().count("did not make") == 3


def test_what_another_process_waited_for_is_looked_at_when_it_is_asked_about(arc: ArcInterface) -> None:
    job_id = submit(arc, "true", outputs=["a"])
    arc.wait([job_id])
    arc.close()
    assert arc.get_job_infos([job_id, job_id])[0].missing_outputs == ("a",)


def test_a_job_that_was_erased_draws_no_warning(arc: ArcInterface, log: io.StringIO) -> None:
    job_id = submit(arc, "echo > a", outputs=["a"])
    arc.follow(job_id)
    while not arc.get_job_info(job_id).final:
        pass
    arc.close()
    arc.backend.clean([job_id])
    arc.wait([job_id])
    assert arc.get_job_info(job_id).missing_outputs == ()
    assert log.getvalue() == ""
