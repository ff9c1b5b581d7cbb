"""What stands in a job's way is found before it is sent, and nothing else is held against it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from jasmin_arc import JobDescription
from jasmin_arc.explain.limits import check
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
