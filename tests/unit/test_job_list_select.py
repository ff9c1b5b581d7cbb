"""Looking up some jobs of a long list, without reading what is not asked for."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from job_list_kit import add as add_all

from jasmin_arc.job_list import JobList, JobRecord, JobSummary, new_token

ENDPOINT = "https://ce.example.org:443/arex"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def job_list(tmp_path: Path) -> JobList:
    return JobList(tmp_path / "jobs.dat")


def url(name: str) -> str:
    return f"{ENDPOINT}/rest/1.0/jobs/{name}"


def add(job_list: JobList, *names: str, **values: object) -> list[str]:
    """Add jobs that were submitted a minute after each other."""
    records = [
        JobRecord(
            **{  # type: ignore[arg-type]
                "token": new_token(),
                "endpoint": ENDPOINT,
                "name": name,
                "id": url(name),
                "submitted": START + timedelta(minutes=number),
                **values,
            }
        )
        for number, name in enumerate(names)
    ]
    add_all(job_list, records)
    return [record.id or "" for record in records]


def written_by_arc(job_list: JobList, name: str, submitted: datetime, *, endpoint: str = ENDPOINT) -> str:
    row = (f"{endpoint}/rest/1.0/jobs/{name}", name.replace("%", "%25"), endpoint, str(int(submitted.timestamp())))
    with closing(sqlite3.connect(job_list.path)) as database, database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute(
            "INSERT INTO jobs(id, name, managementurl, localsubmissiontime, delegationid) VALUES (?, ?, ?, ?, '')", row
        )
    return row[0]


def names(jobs: list[JobSummary]) -> list[str]:
    return [job.name for job in jobs]


def test_nothing_is_created_by_selecting(job_list: JobList) -> None:
    assert job_list.select(ENDPOINT, name="*", last=3) == []
    assert job_list.summaries([url("a")]) == {}
    assert job_list.neighbours([url("a")]) == {url("a"): ()}
    assert not job_list.path.exists()


def test_jobs_are_selected_by_name_and_time(job_list: JobList) -> None:
    ids = add(job_list, "model-1", "model-2", "other", "Model-3", "model-4")
    job_list.set_final({ids[1]: "Failed"})
    assert job_list.select(ENDPOINT, name="model-?", since=START + timedelta(minutes=1)) == [
        JobSummary(ids[1], "model-2", START + timedelta(minutes=1), "Failed"),
        JobSummary(ids[4], "model-4", START + timedelta(minutes=4), None),
    ]
    assert names(job_list.select(ENDPOINT)) == ["model-1", "model-2", "other", "Model-3", "model-4"]
    assert names(job_list.select(ENDPOINT, last=2)) == ["Model-3", "model-4"]
    assert names(job_list.select(ENDPOINT, name="*[!4]", last=1)) == ["Model-3"]
    assert job_list.select(ENDPOINT, last=0) == []
    assert job_list.select("https://elsewhere:443/arex") == []


def test_only_submitted_jobs_are_selected(job_list: JobList) -> None:
    job_list.intend([JobRecord(token=new_token(), endpoint=ENDPOINT, name="intended")])
    add(job_list, "submitted")
    assert names(job_list.select(ENDPOINT)) == ["submitted"]


def test_jobs_of_arcs_tools_are_selected_and_those_they_removed_are_not(job_list: JobList) -> None:
    ids = add(job_list, "a", "b", "c")
    written_by_arc(job_list, "50% theirs", START + timedelta(seconds=90))
    written_by_arc(job_list, "elsewhere", START, endpoint="https://elsewhere:443/arex")
    with closing(sqlite3.connect(job_list.path)) as database, database:
        database.execute("DELETE FROM jobs WHERE id = ?", (ids[0],))
    assert names(job_list.select(ENDPOINT)) == ["b", "50% theirs", "c"]
    assert names(job_list.select(ENDPOINT, last=2)) == ["50% theirs", "c"]
    assert names(job_list.select(ENDPOINT, last=1)) == ["c"]
    assert names(job_list.select(ENDPOINT, name="50%*")) == ["50% theirs"]
    assert names(job_list.select(ENDPOINT, since=START + timedelta(seconds=91))) == ["c"]


@given(
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["ours", "theirs", "elsewhere"])), max_size=12),
    st.none() | st.integers(0, 8),
    st.none() | st.integers(0, 6),
)
def test_a_selection_is_a_part_of_all_records(
    tmp_path_factory: pytest.TempPathFactory, jobs: list[tuple[int, str]], since: int | None, last: int | None
) -> None:
    job_list = JobList(tmp_path_factory.mktemp("list") / "jobs.dat")
    there = [(START, "ours", *add(job_list, "first"))]
    for number, (minute, whose) in enumerate(jobs):
        when = START + timedelta(minutes=minute)
        if whose == "ours":
            (job_id,) = add(job_list, f"job{number}", submitted=when)
        else:
            host = ENDPOINT if whose == "theirs" else "https://elsewhere:443/arex"
            job_id = written_by_arc(job_list, f"job{number}", when, endpoint=host)
        there.append((when, whose, job_id))
    # Of jobs of one time, those of ARC's tools come last.
    there.sort(key=lambda job: (job[0], job[1] != "ours"))
    assert set(job_list.ids()) == {job_id for _, _, job_id in there}
    start = START + timedelta(minutes=since or 0)
    expected = [job_id for when, whose, job_id in there if whose != "elsewhere" and when >= start]
    found = [job.id for job in job_list.select(ENDPOINT, since=None if since is None else start, last=last)]
    assert found == (expected if last is None else expected[len(expected) - min(last, len(expected)) :])


PATTERNS = st.text(alphabet="ab[]!^-*?\\", max_size=8) | st.text(
    st.characters(exclude_categories=["Cs", "Cc"]), max_size=5
)
NAMES = st.text(alphabet="ab[]!^-*?\\é", min_size=1, max_size=5)


@given(PATTERNS, st.lists(NAMES, max_size=8))
@example("[]", ["[]", "a"])
@example("[!]", ["[!]", "!"])
@example("[!]]", ["]", "a"])
@example("[^a]", ["^", "b"])
@example("[b-a]", ["a", "b", "-"])
@example("a[", ["a[", "a"])
def test_patterns_match_as_those_of_fnmatch(
    tmp_path_factory: pytest.TempPathFactory, pattern: str, known: list[str]
) -> None:
    job_list = JobList(tmp_path_factory.mktemp("list") / "jobs.dat")
    add_all(
        job_list,
        (
            JobRecord(token=new_token(), endpoint="local://x", name=name, id=f"local://x/{number}")
            for number, name in enumerate(known)
        ),
    )
    expected = [name for name in known if fnmatchcase(name, pattern)]
    assert names(job_list.select("local://x", name=pattern)) == expected


def test_summaries_are_what_is_known_of_each_job(job_list: JobList) -> None:
    first, second = add(job_list, "a", "b")
    theirs = written_by_arc(job_list, "theirs", START)
    job_list.set_final({second: "Killed"})
    assert job_list.summaries([theirs, second, url("unknown"), first]) == {
        theirs: JobSummary(theirs, "theirs", START, None),
        second: JobSummary(second, "b", START + timedelta(minutes=1), "Killed"),
        first: JobSummary(first, "a", START, None),
    }


def test_the_neighbours_of_an_id_are_those_beside_it(job_list: JobList) -> None:
    add(job_list, "b", "d")
    local = "local://host/1"
    add_all(job_list, [JobRecord(token=new_token(), endpoint="local://host", name="x", id=local)])
    written_by_arc(job_list, "c", START)
    job_list.intend([hidden := JobRecord(token=new_token(), endpoint=ENDPOINT, name="hidden")])
    job_list.created({hidden.token: url("ca")})
    assert job_list.neighbours([url("b"), url("c"), url("cc"), local]) == {
        url("b"): (url("c"),),
        url("c"): (url("b"), url("d")),
        url("cc"): (url("c"), url("d")),
        local: (url("d"),),
    }


@given(st.sets(st.text("abc", min_size=1, max_size=4), max_size=12), st.text("abc", max_size=4))
def test_neighbours_are_found_in_any_list(
    tmp_path_factory: pytest.TempPathFactory, known: set[str], wanted: str
) -> None:
    job_list = JobList(tmp_path_factory.mktemp("list") / "jobs.dat")
    add(job_list, *known)
    before = sorted(name for name in known if name < wanted)[-1:]
    after = sorted(name for name in known if name > wanted)[:1]
    assert job_list.neighbours([url(wanted)]) == {url(wanted): tuple(map(url, [*before, *after]))}


def test_a_list_of_a_former_version_gets_what_it_lacks(job_list: JobList) -> None:
    add(job_list, "a")
    with closing(sqlite3.connect(job_list.path)) as database, database:
        indexes = [
            name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE INDEX%'")
        ]
        for index in indexes:
            database.execute(f"DROP INDEX {index}")
        database.execute("DROP TABLE jasmin_arc_inputs")
    assert names(job_list.select(ENDPOINT, name="a", since=START, last=1)) == ["a"]
    add(job_list, "b")
    with closing(sqlite3.connect(job_list.path)) as database:
        there = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    assert {*indexes, "jasmin_arc_inputs"} <= there
    assert len(indexes) == 3
