"""A bar is there when work is long, also before the first piece is done; and not at all when nobody asked."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from jasmin_arc import ArcInterface, JobDescription, JobStatuses, LogLevels
from jasmin_arc._support import progress
from jasmin_arc._support.logs import make_logger
from jasmin_arc._support.progress import ProgressBar
from jasmin_arc.constants import JobState


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SHOW_AFTER", 0.2)
    monkeypatch.setattr(progress, "_INTERVAL", 0.2)


def test_long_work_is_seen_before_its_first_piece_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(5, "job", show=True):
        time.sleep(0.6)
        assert "0/5" in capsys.readouterr().err
    assert capsys.readouterr().err.endswith("\n")


def test_nothing_is_shown_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(5, "job", show=False) as bar:
        bar.expect(6)
        bar.update(6)
    assert capsys.readouterr() == ("", "")


class _Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def lines(screen: io.StringIO) -> list[str]:
    return [line.strip() for line in screen.getvalue().split("\r") if line.strip()]


@pytest.mark.parametrize("waits", [True, False])
def test_the_clock_goes_on_though_nothing_happens(monkeypatch: pytest.MonkeyPatch, waits: bool) -> None:
    monkeypatch.setattr(sys, "stderr", screen := _Screen())
    with ProgressBar(5, "job", show=True, waits=waits) as bar:
        bar.update(1)
        time.sleep(2.5)
    assert {"1/5 [00:01", "1/5 [00:02"} <= {line[line.index("1/5") :][:10] for line in lines(screen)}
    assert ("s/job" in screen.getvalue()) is not waits


def test_the_states_of_jobs_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := _Screen())
    with ProgressBar(6, "job", show=True, waits=True) as bar:
        waiting = {"a": JobState.QUEUING, "b": JobState.PREPARING, "c": JobState.RUNNING, "d": JobState.FINISHING}
        bar.see({**waiting, "e": JobState.FINISHED, "f": JobState.FAILED})
        bar.update(2)
        time.sleep(0.5)
        bar.see({**dict.fromkeys(waiting, JobState.FINISHED), "a": JobState.KILLED})
        bar.update(4)
    assert "2/6 [00:00, 2 queued, 2 running, 1 failed]" in lines(screen)[0]
    assert "6/6 [00:00, 4 completed, 1 failed, 1 cancelled]" in lines(screen)[-1]


def test_a_message_stands_on_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := _Screen())
    log = make_logger(screen, LogLevels.INFO)
    log.info("before")
    with ProgressBar(5, "job", show=True) as bar:
        log.info("early")
        time.sleep(0.5)
        log.info("amid")
        bar.update(5)
    assert re.search(
        r"\] before\n.*\] early\n\r *0%.*\r +\r[^\r]*\] amid\n\r *0%.*\r100%[^\r]*\n$", screen.getvalue(), re.S
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_process_does_not_wait_for_the_bars_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := _Screen())
    log = make_logger(screen, LogLevels.INFO)
    drawn, over = threading.Event(), threading.Event()

    def draw(bar: ProgressBar) -> None:
        with bar._lock:
            drawn.set()
            over.wait(20)

    with ProgressBar(5, "job", show=True) as bar:
        thread = threading.Thread(target=draw, args=[bar])
        thread.start()
        drawn.wait()
        if not (child := os.fork()):
            log.info("from the child")
            os._exit(0)
        try:
            until = time.monotonic() + 10
            while not (ended := os.waitpid(child, os.WNOHANG)[0]) and time.monotonic() < until:
                time.sleep(0.05)
        finally:
            if not ended:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            over.set()
            thread.join()
    assert ended == child


def test_a_log_gets_no_line_for_each_tick(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(5, "job", show=True):
        time.sleep(1)
    assert capsys.readouterr().err.count("0/5") == 2


class _Notebook:
    """A stand-in for IPython in a notebook without widgets: what it shows can be replaced."""

    def __init__(self) -> None:
        self.kernel = "the kernel"
        self.outputs: list[str] = []

    def get_ipython(self) -> _Notebook:
        return self

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> _Notebook:
        assert raw
        assert display_id
        self.outputs.append(data["text/plain"])
        return self

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.outputs[-1] = data["text/plain"]


@pytest.mark.filterwarnings("error")
def test_a_notebook_without_widgets_has_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = _Notebook()
    for name in ("IPython", "IPython.display"):
        monkeypatch.setitem(sys.modules, name, notebook)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with ProgressBar(3, "job", show=True, waits=True) as bar:
        for _ in range(3):
            time.sleep(0.4)
            bar.update(1)
    (line,) = notebook.outputs
    assert "3/3" in line
    assert capsys.readouterr() == ("", "")


def test_work_that_is_done_soon_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(None, "B", show=True) as bar:
        bar.expect(100)
        bar.update(100)
    assert capsys.readouterr().err == ""


class _Full(io.StringIO):
    """A standard error on a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_bar_that_cannot_be_written_keeps_no_job_from_its_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SHOW_AFTER", 1e-9)
    monkeypatch.setattr(progress, "_INTERVAL_OF_FILES", 1e-3)
    monkeypatch.setattr(sys, "stderr", _Full())
    config = {"BACKEND": "local", "LOCAL_DIR": str(tmp_path / "d"), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
    with ArcInterface(config=config, log=None) as arc:
        ids = arc.submit_jobs([JobDescription(executable="/bin/true")] * 2, progress=True)
        assert arc.wait(ids, progress=True) == [JobStatuses.COMPLETED] * 2


def test_a_bar_that_could_not_be_written_keeps_no_other_bar_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", _Full())
    with ProgressBar(5, "job", show=True):
        time.sleep(0.5)
    monkeypatch.setattr(sys, "stderr", screen := _Screen())

    def show() -> None:
        with ProgressBar(5, "job", show=True) as bar:
            time.sleep(0.5)
            bar.update(5)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    thread.join(10)
    assert "5/5" in screen.getvalue()


def test_a_bar_that_cannot_be_made_keeps_no_job_from_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    # The threads of others, such as those of the test runner, start as usual.
    monkeypatch.setattr(progress.threading, "Thread", NoThread)
    monkeypatch.setattr(sys, "stderr", None)
    with ProgressBar(1, "job", show=True, waits=True) as bar:
        bar.see({"a": JobState.FINISHED})
        bar.update(1)
