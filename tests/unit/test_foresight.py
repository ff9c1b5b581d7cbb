"""Warnings come in time, and only where there is a reason."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from jasmin_arc import JobDescription, JobInfo
from jasmin_arc.constants import JobState
from jasmin_arc.explain.warnings import of_sessions_ending, of_short_proxy

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_a_job_that_may_outlast_its_proxy_draws_a_warning() -> None:
    short, long = (JobDescription(executable="x", wall_time=time) for time in ("1h", "13h"))
    ends = NOW + timedelta(hours=12)
    assert of_short_proxy([short, JobDescription(executable="x")], ends, now=NOW) is None
    warning = of_short_proxy([short, long], ends, now=NOW)
    assert warning is not None
    assert "2026-01-01 12:00 UTC" in warning
    assert "13:00:00" in warning
    assert "renew()" in warning


def test_outputs_about_to_be_erased_draw_a_warning_once_they_are_final() -> None:
    def info(name: str, state: str, hours: float | None) -> JobInfo:
        expires = None if hours is None else NOW + timedelta(hours=hours)
        return JobInfo(id=name, state=state, session_expires=expires)

    infos = [
        info("soon", JobState.FINISHED, 2),
        info("saved", JobState.FINISHED, 2),
        info("later", JobState.FAILED, 100),
        info("running", JobState.RUNNING, 2),
        info("unknown", JobState.FINISHED, None),
    ]
    warnings = of_sessions_ending(infos, {"saved"}, now=NOW)
    assert list(warnings) == ["soon"]
    assert "2026-01-01 02:00 UTC" in warnings["soon"]
