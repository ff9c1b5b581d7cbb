"""Warnings come in time, and only where there is a reason."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from jasmin_arc import ArcInterface, JobDescription, JobInfo
from jasmin_arc.constants import JobState
from jasmin_arc.explain.warnings import Warnings, sessions_ending, short_credentials
from jasmin_arc.site_info import QosInfo, QueueInfo, SiteInfo

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_a_job_that_may_outlast_its_proxy_draws_a_warning() -> None:
    short, long = (JobDescription(executable="x", wall_time=time) for time in ("1h", "13h"))
    ends = NOW + timedelta(hours=12)
    assert short_credentials([short, JobDescription(executable="x")], ends, now=NOW) is None
    warning = short_credentials([short, long], ends, now=NOW)
    assert warning is not None
    assert "2026-01-01 12:00 UTC" in warning
    assert "13 h" in warning
    assert "renew()" in warning
    of_token = short_credentials([short, long], ends, renewable=False, now=NOW)
    assert of_token is not None
    assert "the token ends at 2026-01-01 12:00 UTC" in of_token
    assert "cannot be renewed" in of_token
    assert "renew()" not in of_token


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
    warnings = sessions_ending(infos, {"saved"}, now=NOW)
    assert list(warnings) == ["soon"]
    assert "2026-01-01 02:00 UTC" in warnings["soon"]


# --- At submission ---

SITE = SiteInfo(
    "https://ce.example/arex",
    queues=(QueueInfo("short", max_wall_time=timedelta(hours=1)), QueueInfo("long")),
    default_queue="short",
)


def job(*command: str, **options: Any) -> JobDescription:
    return JobDescription(executable=command[0], arguments=command[1:], **options)


def warned(caplog: pytest.LogCaptureFixture, *jobs: JobDescription, site: SiteInfo | None = None) -> list[str]:
    Warnings(logging.getLogger("test")).submitted(jobs, expires=lambda: None, site=lambda: site)
    return [record.getMessage() for record in caplog.records]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("mean.py", "a.nc", "b.nc", "c.nc", "d.nc"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_script_that_stays_here_draws_a_warning(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert warned(caplog, job("python3", "mean.py", "-v", "no-file")) == [
        "mean.py is here, and is not among the inputs of the job; to have it where the program runs, send it along "
        "with inputs="
    ]


def test_many_jobs_draw_one_warning(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    jobs = [job("./mean.py", f"--in={name}.nc") for name in "abcd"]
    (warning,) = warned(caplog, *jobs, job("true"))
    assert warning.startswith("./mean.py, a.nc, b.nc and 2 more are here, and are not among the inputs of 4 jobs; ")
    assert warning.endswith("send them along with inputs=")


def test_a_loop_of_submissions_draws_one_warning_too(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    warnings = Warnings(logging.getLogger("test"))
    for _ in range(3):
        warnings.submitted([job("python3", "mean.py", wall_time="2h")], expires=lambda: None, site=lambda: SITE)
    assert len(caplog.records) == 2


def test_a_script_that_is_sent_draws_none(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert warned(caplog, job("python3", "mean.py", inputs=["mean.py"]), job("cat", "a.nc", outputs=["a.nc"])) == []


def test_jobs_that_can_never_start_draw_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    jobs = [job("x", wall_time="2h")] * 3 + [job("x", wall_time="30m"), job("x", wall_time="2h", queue="long")]
    assert warned(caplog, *jobs, site=SITE) == [
        "3 jobs may never start: wall_time: 2 h is over the limit of queue 'short', 1 h; queue 'long' allows it"
    ]


def test_jobs_draw_a_warning_that_may_be_put_into_a_queue_where_they_never_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    unknown = SiteInfo(SITE.endpoint, queues=SITE.queues)
    assert warned(caplog, job("x", wall_time="2h"), job("x", wall_time="2h", queue="long"), site=unknown) == [
        "the job may never start: wall_time: 2 h is over the limit of queue 'short', 1 h, where a job that names no "
        "queue may be put; queue 'long' allows it"
    ]


def test_an_account_that_a_queue_does_not_take_draws_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    site = SiteInfo(
        SITE.endpoint,
        queues=(QueueInfo("cpu"), QueueInfo("gpu", accounts=("orchid",))),
        qos=(QosInfo("standard", max_slots=1), QosInfo("high")),
        default_queue="cpu",
        default_account="mine",
        default_qos="standard",
    )
    jobs = [job("x", queue="gpu"), job("x", queue="gpu", account="orchid"), job("x", slots=2), job("x")]
    assert warned(caplog, *jobs, site=site) == [
        "the job may never start: queue 'gpu' cannot be used with account 'mine', only with orchid",
        "the job may never start: slots: 2 is over the limit of QoS 'standard', 1; QoS 'high' allows it",
    ]


def test_what_is_not_known_draws_none(caplog: pytest.LogCaptureFixture) -> None:
    unknown = SiteInfo(SITE.endpoint, queues=SITE.queues)
    assert warned(caplog, job("x", wall_time="30m"), site=unknown) == []
    assert warned(caplog, job("x", wall_time="2h", queue="new"), site=unknown) == []


def test_nothing_hides_that_the_jobs_were_submitted(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> SiteInfo:
        raise ZeroDivisionError

    with caplog.at_level(logging.DEBUG, "test"):
        Warnings(logging.getLogger("test")).submitted([job("x")], expires=lambda: None, site=broken)
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


def test_a_submission_warns(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = {"BACKEND": "local", "LOCAL_DIR": str(here / "d"), "JOBS_INFO_FILE": str(here / "jobs.dat")}
    with ArcInterface(config=options, log=None) as arc:
        arc.wait([arc.submit_job("cat", ["a.nc"], outputs=[])])
    assert [record.getMessage()[:12] for record in caplog.records if record.levelname == "WARNING"] == ["a.nc is here"]
