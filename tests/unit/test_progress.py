"""A bar is there when work is long, also before the first piece is done; and not at all when nobody asked."""

from __future__ import annotations

import time

import pytest

from jasmin_arc import progress
from jasmin_arc.progress import ProgressBar


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", 0.2)


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
