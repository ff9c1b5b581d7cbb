"""What stands in a job's way is found before it is sent, and nothing else is held against it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from jasmin_site import JASMIN

from jasmin_arc import JobDescription
from jasmin_arc.explain.limits import check, check_all
from jasmin_arc.site_info import QueueInfo, SiteInfo

SITE = SiteInfo(
    "https://ce.example/arex",
    queues=(
        QueueInfo(
            "short",
            max_wall_time=timedelta(hours=24),
            max_cpu_time=timedelta(hours=24),
            max_slots=64,
            max_memory=4 << 30,
        ),
        QueueInfo("open"),
    ),
    runtime_environments=("ENV/PROXY",),
)


@pytest.mark.parametrize(
    "options",
    [
        {"queue": "short", "wall_time": "24h", "slots": 64, "memory": "4 GB"},
        # All slots together may use more CPU time than the limit, which is that of one.
        {"queue": "short", "slots": 8, "wall_time": "10h", "cpu_time": "80h"},
        {"queue": "open", "wall_time": "1000h", "slots": 10**10, "cpu_time": "1h"},
        {"wall_time": "24h", "runtime_environments": ["ENV/PROXY"]},
    ],
)
def test_nothing_stands_in_the_way(options: dict[str, object]) -> None:
    assert check(JobDescription(executable="x", **options), SITE) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queue": "shrot"}, "no queue 'shrot' at this site; did you mean 'short'?"),
        ({"runtime_environments": ["ENV/PROXI"]}, "did you mean 'ENV/PROXY'?"),
        ({"queue": "short", "slots": 8, "cpu_time": "193h"}, "cpu_time: 1 d 7 min 30 s per slot is over the limit"),
        ({"queue": "short", "slots": 65}, "slots: 65 is over the limit of queue 'short', 64"),
        ({"queue": "short", "memory": "5 GB"}, "memory: 5120 MB per slot is over"),
    ],
)
def test_what_stands_in_the_way_is_named(options: dict[str, object], words: str) -> None:
    (problem,) = check(JobDescription(executable="x", **options), SITE)  # type: ignore[arg-type]
    assert words in problem


LONG = JobDescription(executable="x", wall_time="48h")
OVER = "wall_time: 2 d is over the limit of queue 'short', 1 d"


def test_a_job_that_names_no_queue_is_judged_by_the_one_that_such_jobs_are_in() -> None:
    assert check(LONG, replace(SITE, default_queue="open")) == []
    assert check(LONG, replace(SITE, default_queue="short")) == [f"{OVER}; queue 'open' allows it"]
    assert check(LONG.replace(queue="short"), SITE) == [f"{OVER}; queue 'open' allows it"]


def test_where_nobody_knows_the_queue_the_danger_is_named() -> None:
    assert check(LONG, SITE) == [f"{OVER}, where a job that names no queue may be put; queue 'open' allows it"]


def test_the_only_queue_is_the_one_of_jobs_that_name_none() -> None:
    assert check(LONG, replace(SITE, queues=SITE.queues[:1])) == [OVER]
    assert check(LONG, replace(SITE, queues=())) == []


def test_a_job_that_no_queue_allows_is_told_so_of_each() -> None:
    short, other = SITE.queues[0], replace(SITE.queues[0], name="other")
    assert len(check(LONG, replace(SITE, queues=(short, other)))) == 2


# --- Accounts, qualities of service, and what may not be combined ---


def found(site: SiteInfo = JASMIN, **options: object) -> list[str]:
    return check(JobDescription(executable="x", **options), site)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"account": "no-project", "queue": "standard", "wall_time": "24h", "memory": "128 GB"},
        # This QoS stands above the queue's own limit.
        {"native": {"qos": "long"}, "wall_time": "120h"},
        {"native": {"qos": "high"}, "slots": 96, "memory": "10 GB"},
        {"queue": "debug", "native": {"qos": "debug"}, "slots": 8, "wall_time": "1h"},
        {"queue": "orchid", "account": "orchid"},
        {"runtime_environments": ["jaspy"]},
        {"account": "MyGWS", "native": {"qos": "HIGH"}, "slots": 96},
        # Slurm takes the first of them that can start the job.
        {"queue": "special,standard", "native": {"qos": "short"}, "slots": 1, "wall_time": "2h"},
    ],
)
def test_what_slurm_would_start_draws_no_objection(options: dict[str, object]) -> None:
    assert found(**options) == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"account": "mygsw"},
            "account 'mygsw' is not one of yours (mygws, no-project, orchid); did you mean 'mygws'?",
        ),
        (
            {"native": {"qos": "hihg"}},
            "QoS 'hihg' is not one of yours (standard, short, long, high, debug); did you mean 'high'?",
        ),
        ({"queue": "standrd"}, "there is no queue 'standrd' at this site; did you mean 'standard'?"),
        ({"queue": "Standard"}, "there is no queue 'Standard' at this site; did you mean 'standard'?"),
        ({"queue": "special,standrd"}, "there is no queue 'standrd' at this site; did you mean 'standard'?"),
        ({"queue": "orchid"}, "queue 'orchid' cannot be used with account 'mygws', only with orchid"),
        ({"queue": "debug"}, "queue 'debug' cannot be used with QoS 'standard', only with debug"),
        (
            {"account": "no-project", "native": {"qos": "high"}},
            "QoS 'high' cannot be used with account 'no-project', only with mygws",
        ),
        ({"slots": 9}, "slots: 9 is over the limit of QoS 'standard', 1; QoS 'high' allows it"),
        ({"slots": 8}, "slots: 8 is over the limit of QoS 'standard', 1; QoS 'high' or 'debug' allows it"),
        ({"slots": 9, "account": "no-project"}, "slots: 9 is over the limit of QoS 'standard', 1"),
        (
            {"wall_time": "30h"},
            "wall_time: 1 d 6 h is over the limit of queue 'standard', 1 d, and of QoS 'standard', 1 d; "
            "QoS 'long' or 'high' allows it",
        ),
        (
            {"memory": "20 GB", "slots": 96, "native": {"qos": "high"}},
            "memory: 1.9 TB for all slots is over the limit of QoS 'high', 1000 GB for all slots",
        ),
        (
            {"queue": "debug", "native": {"qos": "debug"}, "wall_time": "2h"},
            "wall_time: 2 h is over the limit of queue 'debug', 1 h, and of QoS 'debug', 1 h",
        ),
    ],
)
def test_what_slurm_refuses_or_never_starts_is_named(options: dict[str, object], problem: str) -> None:
    assert found(**options) == [problem]


def test_a_site_that_wants_an_account_is_told_apart() -> None:
    without = replace(JASMIN, default_account="")
    (problem,) = found(without)
    assert problem == "the job names no account, and there is no default; yours are mygws, no-project, orchid"
    assert found(without, account="mygws") == []
    assert found(replace(without, accounts=())) == []


def test_defaults_of_the_configuration_are_looked_at_too() -> None:
    (queue,) = found(replace(JASMIN, default_queue="standrd"))
    assert queue == "there is no queue 'standrd' at this site, though it is the default; did you mean 'standard'?"
    (account,) = found(replace(JASMIN, default_account="mygsw"))
    assert account.startswith("the default account 'mygsw' is not one of yours (")
    (qos,) = found(replace(JASMIN, default_qos="hihg"))
    assert qos.startswith("the default QoS 'hihg' is not one of yours (")
    assert found(replace(JASMIN, default_qos="hihg"), native={"qos": "high"}) == []


def test_the_default_qos_of_one_account_is_not_that_of_another() -> None:
    site = replace(JASMIN, default_qos="high")
    assert found(site, slots=97)[0].startswith("slots: 97 is over the limit of QoS 'high', 96")
    assert found(site, account="no-project", slots=97) == []


def test_qualities_of_service_need_no_queues() -> None:
    site = replace(JASMIN, queues=(), default_queue="")
    assert found(site, slots=9) == ["slots: 9 is over the limit of QoS 'standard', 1"]


def test_more_jobs_than_a_qos_allows_are_too_many() -> None:
    jobs = [JobDescription("x"), JobDescription("x", native={"qos": "long"})] * 5
    many = "5 jobs are more than QoS 'standard' allows you at a time, 4"
    assert check_all(jobs, JASMIN) == [[many], []] * 5
    assert check_all(jobs[:8], JASMIN) == [[]] * 8


def test_a_module_that_is_not_found_is_named() -> None:
    jobs = [JobDescription("x", runtime_environments=names) for names in (["jaspy"], ["jaspi", "jaspy"])]
    assert check_all(jobs, JASMIN, not_found=["jaspi"]) == [
        [],
        ["there is no runtime environment 'jaspi' at this site: no module has that in its name"],
    ]
