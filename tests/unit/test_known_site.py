"""A site's limits are remembered for a day, and whatever is wrong with the file, nobody notices."""

from __future__ import annotations

import io
import json
import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_list_kit import add
from memory_backend import MemoryBackend
from pytest_mock import MockerFixture

from jasmin_arc import ArcInterface, JobDescription, JobInfo, LogLevels
from jasmin_arc.constants import JobState
from jasmin_arc.exceptions import OperationNotPossibleError, ServerError
from jasmin_arc.explain import site_file
from jasmin_arc.explain.known_site import KnownSite
from jasmin_arc.job_list import JobList, JobRecord
from jasmin_arc.site_info import QosInfo, QueueInfo, SiteInfo

HOUR = timedelta(hours=1)
ENDPOINT = MemoryBackend.endpoint
SITE = SiteInfo(
    ENDPOINT,
    queues=(QueueInfo("short", HOUR, HOUR, 8, 2**33, 64), QueueInfo("long")),
    runtime_environments=("ENV/PROXY",),
)
KEPT = SiteInfo(ENDPOINT, queues=SITE.queues, default_queue="short")
SLURM = SiteInfo(
    ENDPOINT,
    queues=(QueueInfo("debug", HOUR, total_slots=192, accounts=("a", "b"), qos=("debug",)),),
    accounts=("a", "b"),
    qos=(QosInfo("debug", HOUR, 8, 2**40, 32, overrides_wall_time=True, accounts=("a",)), QosInfo("none")),
    default_account="a",
    default_qos="debug",
    default_queue="debug",
)


class Place(MemoryBackend):
    """Counts how often it is asked."""

    def __init__(self, site: SiteInfo = SITE) -> None:
        super().__init__({})
        self.offered = site
        self.asked = 0
        self.lately: SiteInfo | None = None
        self.queues: dict[str, str] = {}

    def owns(self, job_id: str) -> bool:
        return job_id.startswith(ENDPOINT)

    def site(self) -> SiteInfo:
        self.asked += 1
        return self.offered

    def known_site(self) -> SiteInfo | None:
        return self.lately

    def query(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:  # type: ignore[override]
        return {job_id: info(job_id, self.queues[job_id]) for job_id in job_ids if job_id in self.queues}


def info(job_id: str, queue: str) -> JobInfo:
    return JobInfo(job_id, JobState.RUNNING, queue=queue)


@pytest.fixture
def job_list(tmp_path: Path) -> JobList:
    return JobList(tmp_path / "jobs.dat")


def listed(job_list: JobList, number: int, queue: str | None) -> str:
    job_id = f"{ENDPOINT}{number}"
    text = JobDescription(executable="x", queue=queue).to_json()
    add(job_list, [JobRecord(f"token-{number}", ENDPOINT, "x", text, job_id)])
    return job_id


# --- The file ---


@pytest.mark.parametrize("kept", [KEPT, SLURM])
def test_what_is_kept_comes_back(kept: SiteInfo) -> None:
    now = time.time()
    site_file.write(now, kept)
    assert site_file.read(ENDPOINT) == (now, kept)
    assert site_file.read(ENDPOINT + "other") is None


def test_the_file_is_the_users_alone() -> None:
    site_file.write(time.time(), KEPT)
    path = site_file.path_of(ENDPOINT)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    path.chmod(0o622)
    assert site_file.read(ENDPOINT) is None


@pytest.mark.parametrize("age", [site_file.MAX_AGE + 1, -3600])
def test_what_is_old_or_of_the_future_is_not_believed(age: float) -> None:
    site_file.write(time.time() - age, KEPT)
    assert site_file.read(ENDPOINT) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    site_file.write(time.time(), KEPT)
    path = site_file.path_of(ENDPOINT)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert site_file.read(ENDPOINT) is None


def test_a_pipe_does_not_hold_up_anybody() -> None:
    path = site_file.path_of(ENDPOINT)
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    assert site_file.read(ENDPOINT) is None


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    site_file.write(time.time(), KEPT)
    assert site_file.read(ENDPOINT) is None


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    path = site_file.path_of(ENDPOINT)
    # Nothing can take the place of a folder.
    (path / "x").mkdir(parents=True)
    site_file.write(time.time(), KEPT)
    assert list(path.parent.iterdir()) == [path]


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "max_slots"]), inner),
    max_leaves=6,
)
TEXTS = {name: ODD | st.text(max_size=5) for name in ("default_queue", "default_account", "default_qos")}
QUEUE_KEYS = ["name", "max_wall_time", "max_cpu_time", "max_slots", "max_memory", "total_slots", "accounts", "qos"]
QOS_KEYS = ["name", "max_wall_time", "max_slots", "max_memory", "max_jobs", "overrides_wall_time", "accounts"]


def lists(keys: list[str]) -> st.SearchStrategy[object]:
    named = st.fixed_dictionaries({"name": st.text(max_size=5)}, optional=dict.fromkeys(keys[1:], ODD))
    return ODD | st.lists(st.dictionaries(st.sampled_from(keys), ODD) | named, max_size=2)


@given(
    st.fixed_dictionaries(
        {"endpoint": st.just(ENDPOINT), "time": st.just(0) | ODD, **TEXTS},
        optional={"queues": lists(QUEUE_KEYS), "qos": lists(QOS_KEYS), "accounts": ODD | st.lists(st.text(max_size=5))},
    )
)
def test_no_content_is_an_error(kept: dict[str, object]) -> None:
    path = site_file.path_of(ENDPOINT)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**kept, "time": time.time() if kept["time"] == 0 else kept["time"]}))
    path.chmod(0o600)
    found = site_file.read(ENDPOINT)
    if found is not None:
        site = found[1]
        names = [entry.name for entry in (*site.queues, *site.qos)]
        lists_of_names = [site.accounts, *(entry.accounts for entry in (*site.queues, *site.qos))]
        defaults = [site.default_queue, site.default_account, site.default_qos]
        assert all(name.isprintable() for name in chain(names, defaults, *lists_of_names))


# --- The site ---


def test_another_process_needs_no_question(job_list: JobList) -> None:
    place = Place()
    assert KnownSite(place, job_list).recall() is None
    assert KnownSite(place, job_list).ask() == SITE
    assert KnownSite(place, job_list).recall() == replace(SITE, runtime_environments=())
    assert place.asked == 1


def test_without_a_file_the_memory_does(job_list: JobList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    known = KnownSite(Place(), job_list)
    known.ask()
    assert known.recall() == SITE


def test_what_the_backend_has_read_for_itself_is_used(job_list: JobList) -> None:
    place = Place()
    known = KnownSite(place, job_list)
    place.lately = SITE
    assert known.recall() == SITE
    assert place.asked == 0


def test_what_the_backend_did_not_ask_for_itself_is_not_forgotten(job_list: JobList) -> None:
    place = Place(SLURM)
    KnownSite(place, job_list).ask()
    place.lately = SiteInfo(ENDPOINT, queues=(QueueInfo("new"),), default_queue="new", default_account="b")
    known = KnownSite(place, job_list).recall()
    assert known == replace(SLURM, queues=place.lately.queues, default_queue="new", default_account="b")


def test_the_queue_of_jobs_that_name_none_is_learned_from_answers(job_list: JobList) -> None:
    known = KnownSite(Place(), job_list)
    named, unnamed, foreign = listed(job_list, 1, "long"), listed(job_list, 2, None), "https://other.example/1"
    known.learn({named: info(named, "long"), foreign: info(foreign, "long"), "unlisted": info("unlisted", "x")})
    assert known.ask().default_queue == ""
    known.learn({unnamed: info(unnamed, "")})
    known.learn({unnamed: info(unnamed, "short")})
    assert known.ask().default_queue == "short"
    assert KnownSite(Place(), job_list).ask().default_queue == "short"
    # A newer job knows better.
    newer = listed(job_list, 3, None)
    known.learn({unnamed: info(unnamed, "short"), newer: info(newer, "long")})
    assert known.ask().default_queue == "long"


def test_it_is_asked_for_where_it_matters(job_list: JobList) -> None:
    place = Place()
    place.queues = {listed(job_list, 1, "long"): "long", listed(job_list, 2, None): "short"}
    assert KnownSite(place, job_list).ask_all().default_queue == "short"


def test_that_it_cannot_be_had_is_no_error(job_list: JobList, monkeypatch: pytest.MonkeyPatch) -> None:
    listed(job_list, 1, None)
    place = Place()

    def broken(_: Sequence[str]) -> dict[str, JobInfo]:
        raise ServerError("no answer")

    monkeypatch.setattr(place, "query", broken)
    assert KnownSite(place, job_list).ask_all() == SITE


def test_a_queue_that_is_gone_is_not_the_one(job_list: JobList) -> None:
    unnamed = listed(job_list, 1, None)
    known = KnownSite(Place(), job_list)
    known.learn({unnamed: info(unnamed, "old")})
    assert known.ask().default_queue == ""


def test_a_default_that_the_place_publishes_is_not_learned_from_jobs(job_list: JobList) -> None:
    place = Place(SLURM)
    known = KnownSite(place, job_list)
    first, second = listed(job_list, 1, None), listed(job_list, 2, None)
    known.learn({first: info(first, "before")})
    assert known.ask() == SLURM
    known.learn({second: info(second, "before")})
    assert known.recall() == known.ask_all() == SLURM
    assert KnownSite(place, job_list).recall() == SLURM
    # The configuration may name a queue that is not there, which a check tells.
    place.offered = replace(SLURM, default_queue="bedug")
    assert known.ask().default_queue == "bedug"


def test_older_jobs_do_not_undo_what_newer_ones_told(job_list: JobList) -> None:
    known = KnownSite(Place(), job_list)
    known.ask()
    infos = {job_id: info(job_id, "short") for job_id in (listed(job_list, number, None) for number in range(20))}
    newer = {job_id: info(job_id, "long") for job_id in (listed(job_list, number, None) for number in range(20, 40))}
    for _ in range(2):
        known.learn({**infos, **newer})
        found = known.recall()
        assert found is not None
        assert found.default_queue == "long"


def test_limits_of_this_machine_are_those_of_now(tmp_path: Path) -> None:
    options = {"BACKEND": "local", "LOCAL_DIR": str(tmp_path / "d"), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
    with ArcInterface(config={**options, "LOCAL_SLOTS": 1}, log=None) as arc:
        arc.site()
    log = io.StringIO()
    with ArcInterface(config={**options, "LOCAL_SLOTS": 2}, log=log, log_level=LogLevels.WARNING) as arc:
        arc.submit("true", slots=2).wait()
    assert log.getvalue() == ""


def test_modules_are_looked_for_where_there_is_no_list_of_them(tmp_path: Path, mocker: MockerFixture) -> None:
    options = {"BACKEND": "local", "LOCAL_DIR": str(tmp_path / "d"), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
    modules = {"jaspy": ["jaspy/3.11"], "python": ["/usr/bin/python"], "jaspi": []}

    def find(name: str) -> list[str]:
        if name not in modules:
            raise ServerError("no answer")
        return modules[name]

    with ArcInterface(config=options, log=None) as arc:
        mocker.patch.object(arc.backend, "site", return_value=SiteInfo(ENDPOINT, runtime_environments=None))
        asked = mocker.patch.object(arc.backend, "find_software", side_effect=find)
        jobs = [JobDescription("x", runtime_environments=[name]) for name in (*modules, "jaspi", "unknown", "a;b")]
        found = arc.check_jobs(jobs)
        assert asked.call_count == 4
        assert [bool(problems) for problems in found] == [False, True, True, True, False, False]
        assert found[1] == ["there is no runtime environment 'python' at this site: no module has that in its name"]
        with pytest.raises(ValueError, match="one word of letters, digits"):
            arc.find_software("a b")
        assert arc.find_software("jaspy") == ["jaspy/3.11"]
        assert asked.call_count == 5


@given(st.text(max_size=8))
def test_no_name_of_software_can_mean_anything_to_a_shell(name: str) -> None:
    with (
        ArcInterface(backend="local", log=None) as arc,
        pytest.raises((ValueError, OperationNotPossibleError)) as caught,
    ):
        arc.find_software(name)
    if isinstance(caught.value, OperationNotPossibleError):
        assert shlex.quote(name) == name
        assert not name.startswith(("-", "/", "."))


def test_many_descriptions_are_checked_with_one_question(tmp_path: Path, mocker: MockerFixture) -> None:
    options = {"BACKEND": "local", "LOCAL_DIR": str(tmp_path / "d"), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
    with ArcInterface(config={**options, "LOCAL_SLOTS": 1}, log=None) as arc:
        asked = mocker.spy(arc.backend, "site")
        found = arc.check_jobs([JobDescription("true", slots=slots) for slots in (1, 2, 3)])
    assert [len(problems) for problems in found] == [0, 1, 1]
    assert asked.call_count == 1
