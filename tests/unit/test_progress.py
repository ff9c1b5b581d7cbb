"""A bar is there when work is long, also before the first piece is done; and not at all when nobody asked."""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from pathlib import Path

import pytest

from jasmin_arc import ArcInterface, JobDescription, JobStatuses
from jasmin_arc._support import progress
from jasmin_arc._support.progress import ProgressBar


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SHOW_AFTER", 0.2)


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


class _Full(io.StringIO):
    """A standard error on a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_bar_that_cannot_be_written_keeps_no_job_from_its_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SHOW_AFTER", 1e-9)
    monkeypatch.setattr(sys, "stderr", _Full())
    config = {"BACKEND": "local", "LOCAL_DIR": str(tmp_path / "d"), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
    with ArcInterface(config=config, log=None) as arc:
        ids = arc.submit_jobs([JobDescription(executable="/bin/true")] * 2, progress=True)
        assert arc.wait(ids, progress=True) == [JobStatuses.COMPLETED] * 2
