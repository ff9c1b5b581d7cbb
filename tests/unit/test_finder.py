"""Jobs are found by what people call them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_list_kit import add
from memory_backend import MemoryBackend

from jasmin_arc import AmbiguousJobError, JobNotFoundError
from jasmin_arc.job_list import JobList, JobRecord
from jasmin_arc.job_list.finder import Finder

LISTED = {
    "https://ce/jobs/aaaa1": "model-1961",
    "https://ce/jobs/aaaa2": "model-1962",
    "https://ce/jobs/abcd1234ef": "aaa",
    "https://ce/jobs/cccc12": "",
    "https://ce/jobs/dddd": "twice",
    "https://ce/jobs/eeee": "twice",
}
ELSEWHERE = "https://other/jobs/ffff"


class Place(MemoryBackend):
    """A place that has one job that is not in the list."""

    endpoint = "https://ce/jobs"

    def __init__(self) -> None:
        super().__init__({})
        self.questions = 0

    def list_jobs(self) -> list[str]:
        self.questions += 1
        return ["https://ce/jobs/unlisted"]


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def finder(tmp_path: Path, place: Place) -> Finder:
    job_list = JobList(tmp_path / "jobs.dat")
    records = [
        JobRecord(token=job_id, endpoint=place.endpoint, name=name, id=job_id) for job_id, name in LISTED.items()
    ]
    add(job_list, [*records, JobRecord(token="t", endpoint="https://other", name="far-away", id=ELSEWHERE)])
    return Finder(place, job_list)


def test_jobs_are_found_by_id_part_name_and_pattern(finder: Finder, place: Place) -> None:
    one, two, named, nameless, *twice = LISTED
    words = {
        one: [one],
        "https://anywhere/else": ["https://anywhere/else"],
        "aaaa1": [one],
        "aaa": [named],
        "model-*": [one, two],
        "model-1962": [two],
        "abcd1234": [named],
        "d1234": [named],
        "cccc": [nameless],
        "twice": twice,
    }
    assert {word: finder.find(word) for word in words} == words
    assert place.questions == 0


def test_the_place_is_asked_once_for_jobs_that_are_not_listed(finder: Finder, place: Place) -> None:
    assert finder.find("unlis") == finder.find("unlisted") == ["https://ce/jobs/unlisted"]
    assert place.questions == 1


def test_a_part_of_several_ids_is_refused(finder: Finder) -> None:
    with pytest.raises(
        AmbiguousJobError, match=r"2 jobs match 'aaaa': aaaa1 \(model-1961\), aaaa2 \(model-1962\); type more of the id"
    ):
        finder.find("aaaa")


@pytest.mark.parametrize("word", ["c", "cc", "abc", "d12"])
def test_what_is_in_an_id_by_chance_means_no_job(finder: Finder, word: str) -> None:
    with pytest.raises(JobNotFoundError):
        finder.find(word)


def test_a_name_that_looks_like_a_pattern_means_its_own_job(tmp_path: Path, place: Place) -> None:
    job_list = JobList(tmp_path / "jobs.dat")
    names = {"https://ce/jobs/aaaa": "run1", "https://ce/jobs/bbbb": "run[1]"}
    add(job_list, [JobRecord(token=i, endpoint=place.endpoint, name=name, id=i) for i, name in names.items()])
    assert Finder(place, job_list).find("run[1]") == ["https://ce/jobs/bbbb"]


def test_many_jobs_are_found_by_their_names_in_little_time(tmp_path: Path, place: Place) -> None:
    job_list = JobList(tmp_path / "jobs.dat")
    ids = [f"https://ce/jobs/{number:08}" for number in range(2000)]
    add(job_list, [JobRecord(token=i, endpoint=place.endpoint, name=f"name-{i[-4:]}", id=i) for i in ids])
    begin = time.process_time()
    assert Finder(place, job_list).find_all([f"name-{i[-4:]}" for i in ids]) == ids
    assert time.process_time() - begin < 5


def test_a_name_that_several_jobs_have_means_the_newest_or_all(finder: Finder) -> None:
    *_, older, newer = LISTED
    assert finder.find_one("twice") == newer
    assert finder.find_all(["twice", newer, "dddd"]) == [older, newer]
    with pytest.raises(AmbiguousJobError, match=r"2 jobs are called 'twice': dddd \(twice\), eeee \(twice\)"):
        finder.find_one("twice", newest=False)
    with pytest.raises(AmbiguousJobError, match=r"2 jobs are called 'model-\*'"):
        finder.find_one("model-*")


def test_ids_alone_need_no_list(tmp_path: Path, place: Place) -> None:
    (tmp_path / "jobs.dat").write_text("this is no job list, and it is not read")
    assert Finder(place, JobList(tmp_path / "jobs.dat")).find_all(list(LISTED)) == list(LISTED)


def test_a_name_that_nobody_has_suggests_the_nearest(finder: Finder) -> None:
    with pytest.raises(JobNotFoundError, match=r"no job matches 'model-1692'; did you mean 'model-1962'\?"):
        finder.find("model-1692")
    with pytest.raises(JobNotFoundError, match=r"no job matches 'zzz'; list_jobs\(\) shows the jobs"):
        finder.find("zzz")


def test_a_job_of_another_place_is_named(finder: Finder) -> None:
    with pytest.raises(JobNotFoundError, match=rf"'far-away' at https://ce/jobs, but this one does: {ELSEWHERE}"):
        finder.find("far-away")


@given(st.text(max_size=8))
def test_no_word_means_a_job_by_accident(tmp_path_factory: pytest.TempPathFactory, word: str) -> None:
    job_list = JobList(tmp_path_factory.mktemp("jobs") / "jobs.dat")
    add(job_list, [JobRecord(token="t", endpoint="https://ce/jobs", name="only", id="https://ce/jobs/abc")])
    found = None
    try:
        found = Finder(Place(), job_list).find(word)
    except JobNotFoundError:
        assert word != "only"
    if found is not None:
        assert word.strip() and (
            word == "abc"
            or (len(word) > 3 and word in "unlisted")
            or set(word) & set("*?[")
            or "://" in word
            or word == "only"
        )


def test_a_name_that_looks_like_a_pattern_means_its_own_jobs_alone(tmp_path: Path, place: Place) -> None:
    job_list = JobList(tmp_path / "jobs.dat")
    names = ("sim[1]", "sim1", "sim[2]x")
    records = [
        JobRecord(token=name, endpoint=place.endpoint, name=name, id=f"https://ce/jobs/{name}") for name in names
    ]
    add(job_list, records)
    finder = Finder(place, job_list)
    assert finder.find("sim[1]") == ["https://ce/jobs/sim[1]"]
    assert finder.find_one("sim[1]") == "https://ce/jobs/sim[1]"
    assert finder.find("sim[12]") == ["https://ce/jobs/sim1"]
