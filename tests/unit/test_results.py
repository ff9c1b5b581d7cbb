"""Jobs are named by their ids or by handles, one or many."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jasmin_arc import ArcInterface, JobNotFoundError, JobStatuses
from jasmin_arc._support.bulk import job_id_of, job_ids_of
from jasmin_arc.job import Job

ID = "https://ce.example/arex/rest/1.0/jobs/abc"


@pytest.fixture
def arc(tmp_path: Path) -> Iterator[ArcInterface]:
    config = {"BACKEND": "local", "LOCAL_DIR": str(tmp_path / "d"), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
    with ArcInterface(config=config, log=None) as arc:
        yield arc


def test_a_job_is_named_by_its_id_or_by_a_handle(arc: ArcInterface) -> None:
    assert job_id_of(ID) == job_id_of(arc.job(ID)) == ID
    assert job_ids_of([ID, arc.job(ID)]) == [ID, ID]
    assert arc.job(arc.job(ID)) == arc.job(ID)


@pytest.mark.parametrize("wrong", [5, None, b"https://ce.example/1", Path("/x")])
def test_what_is_neither_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="a job id or a Job"):
        job_id_of(wrong)


@pytest.mark.parametrize("wrong", [ID, ID.encode()])
def test_one_id_is_no_list_of_ids(wrong: Any) -> None:
    with pytest.raises(TypeError, match="list of jobs"):
        job_ids_of(wrong)


def test_one_job_is_no_list_of_jobs(arc: ArcInterface) -> None:
    one: Any = arc.job(ID)
    with pytest.raises(TypeError, match="a list of jobs is needed, not <Job "):
        arc.wait(one)


def test_a_text_that_is_no_id_is_not_found() -> None:
    with pytest.raises(JobNotFoundError, match="'7'"):
        job_ids_of([ID, "7"])


def test_every_method_that_takes_ids_says_that_it_takes_handles() -> None:
    said = {
        name: parameter.annotation
        for name, method in inspect.getmembers(ArcInterface, inspect.isfunction)
        for parameter in inspect.signature(method).parameters.values()
        if not name.startswith("_") and parameter.name in ("job_id", "job_ids")
    }
    assert len(said) > 15
    assert set(said.values()) == {"JobLike", "Sequence[JobLike]"}


def test_handles_instead_of_ids(arc: ArcInterface, tmp_path: Path) -> None:
    jobs = [arc.job(arc.submit_job("/bin/echo", [text])) for text in ("one", "two")]
    assert arc.wait(jobs) == arc.get_job_statuses(jobs) == [JobStatuses.COMPLETED] * 2
    assert {job.id for job in arc.as_completed(jobs)} == {job.id for job in jobs}
    assert [info.id for info in arc.get_job_infos([jobs[0], jobs[1].id])] == [job.id for job in jobs]
    assert (arc.get_job_status(jobs[0]), arc.get_job_info(jobs[0]).id) == (JobStatuses.COMPLETED, jobs[0].id)
    assert arc.read(jobs[0]) == "".join(arc.follow(jobs[0])) == "one\n"
    with arc.open(jobs[1]) as stream:
        assert stream.read() == b"two\n"
    assert {file.name for file in arc.list_files(jobs[0])} == {"stdout", "stderr"}
    assert arc.explain(jobs[0]).cause == "finished"
    assert arc.save_job_outputs(jobs[0], directory=tmp_path / "one") == str(tmp_path / "one")
    finished: list[Job] = list(arc.as_completed(jobs))
    assert None not in arc.save_outputs(finished, tmp_path / "all")
    (again,) = arc.resubmit_jobs([jobs[0]])
    arc.cancel_job(arc.job(again))
    arc.cancel_jobs([arc.job(again)])
    arc.wait([arc.job(again)])
    arc.clean_jobs([*jobs, arc.job(again)], force=True)
    assert arc.list_jobs() == []
