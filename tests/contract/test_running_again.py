"""Running jobs again, and ending them: nothing is lost that was not asked to go."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import MakeArc
from contract_kit import LOCAL_SLOTS, ended, running, saved, shell, until

from jasmin_arc import (
    ArcInterface,
    InputFileError,
    JasminArcError,
    JobNotFoundError,
    JobStatuses,
    OperationNotPossibleError,
    PartialFailureError,
)
from jasmin_arc.backends.base import RENEW, RESTART


def failures(caught: pytest.ExceptionInfo[PartialFailureError]) -> list[JasminArcError | None]:
    return [entry if isinstance(entry, JasminArcError) else None for entry in caught.value.results]


@pytest.mark.core
def test_resubmitting_sends_the_same_again_and_links_it(arc: ArcInterface, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("first ")
    inputs = {"bytes": b"bytes \0 ", "file": tmp_path / "file"}
    description = shell(
        'cat bytes file - && printf "%s" "$A" > kept', inputs=inputs, stdin=b"stdin", outputs=["kept"],
        environment={"A": "as given $HOME"}, name="twice",
    )  # fmt: skip
    (old,) = arc.submit_jobs([description])
    ended(arc, old)
    (tmp_path / "file").write_text("second ")
    (new,) = arc.resubmit_jobs([old])
    assert new != old
    assert arc.job_list.get([new])[new].resubmission_of == old
    assert arc.get_job_info(new).name == "twice"
    assert ended(arc, old, new) == [JobStatuses.COMPLETED] * 2
    assert saved(arc, old)["stdout.txt"] == b"bytes \0 first stdin"
    files = saved(arc, new)
    assert (files["stdout.txt"], files["kept"]) == (b"bytes \0 second stdin", b"as given $HOME")


def test_resubmitting_what_cannot_be_sent_again(arc: ArcInterface, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    good, bad = arc.submit_jobs([shell("true"), shell("true", inputs=[tmp_path / "file"])])
    ended(arc, good, bad)
    (tmp_path / "file").unlink()
    with pytest.raises(PartialFailureError, match="1 of 2") as caught:
        arc.resubmit_jobs([bad, good])
    error, new = caught.value.results
    assert isinstance(error, InputFileError)
    assert arc.job_list.get([new])[new].resubmission_of == good
    assert ended(arc, new) == [JobStatuses.COMPLETED]


@pytest.mark.core
def test_resubmitting_a_job_that_this_list_never_saw(
    arc: ArcInterface, make_arc: MakeArc, backend_name: str, tmp_path: Path
) -> None:
    old = arc.submit_job("/bin/sh", ["-c", "echo '$1' \"$1\"", "sh", "a  b"], {"in": b"x"}, name="known elsewhere")
    ended(arc, old)
    elsewhere = make_arc(backend_name, LOCAL_SLOTS=LOCAL_SLOTS, JOBS_INFO_FILE=str(tmp_path / "other.dat"))
    assert elsewhere.job_list.get([old]) == {}
    (new,) = elsewhere.resubmit_jobs([old])
    assert elsewhere.job_list.get([new])[new].resubmission_of == old
    assert ended(elsewhere, new) == [JobStatuses.COMPLETED]
    assert saved(elsewhere, new)["stdout.txt"] == b"$1 a  b\n"
    assert elsewhere.get_job_info(new).name == "known elsewhere"


def test_restarting_is_for_jobs_that_allow_it(arc: ArcInterface) -> None:
    allowed, not_allowed = arc.submit_jobs([shell("date +%s%N > output; exit 4", rerun=2), shell("exit 4")])
    ended(arc, allowed, not_allowed)
    with pytest.raises(PartialFailureError) as caught:
        arc.restart_jobs([not_allowed])
    assert isinstance(caught.value.results[0], OperationNotPossibleError)
    if RESTART not in arc.backend.capabilities:
        with pytest.raises(PartialFailureError, match="cannot restart"):
            arc.restart_jobs([allowed])
        return
    first = arc.read(allowed, "output")
    arc.restart_jobs([allowed])
    # The program had its run: the place takes the job up where it failed, which is after that.
    assert ended(arc, allowed) == [JobStatuses.FAILED]
    assert arc.read(allowed, "output") == first
    info = arc.get_job_info(allowed)
    # A-REX 7 no longer knows it: its errors do not tell it either.
    assert info.exit_code == 4 or (info.exit_code is None and "(4)" not in " ".join(info.errors))


def test_renewing_is_for_jobs_with_credentials(arc: ArcInterface) -> None:
    job_id = arc.submit_job("/bin/sleep", ["300"])
    if RENEW in arc.backend.capabilities:
        arc.renew([job_id])
    else:
        with pytest.raises(PartialFailureError) as caught:
            arc.renew([job_id])
        assert isinstance(caught.value.results[0], OperationNotPossibleError)
    arc.cancel_job(job_id)
    ended(arc, job_id)


def test_ending_jobs_loses_no_outputs(arc: ArcInterface) -> None:
    late_script = "echo early > output; sleep 6; echo late > output"
    done, going, late = arc.submit_jobs([shell("echo 1 > output"), shell("sleep 300"), shell(late_script)])
    # What is saved while a job runs, or just a part of it, is not all that there will be.
    assert next(text for text in arc.follow(late, "output") if text) == "early\n"
    saved(arc, late)
    running(arc, going)
    ended(arc, done, late)
    saved(arc, done, files=["other"])
    with pytest.raises(PartialFailureError, match="never saved"):
        arc.clean_jobs([late])
    assert saved(arc, late)["output"] == b"late\n"
    arc.clean_jobs([late])
    with pytest.raises(PartialFailureError, match="2 of 2") as caught:
        arc.clean_jobs([done, going])
    never_saved, not_ended = failures(caught)
    assert isinstance(never_saved, OperationNotPossibleError)
    assert "never saved" in str(never_saved)
    assert isinstance(not_ended, OperationNotPossibleError)
    assert "not ended" in str(not_ended)
    assert saved(arc, done)["output"] == b"1\n"
    arc.clean_jobs([done])
    arc.cancel_jobs([going])
    arc.cancel_jobs([going])
    assert ended(arc, going) == [JobStatuses.FAILED]
    arc.cancel_jobs([going])
    # A job that the user ended has no outputs to be lost.
    arc.clean_jobs([going])
    until(lambda: not {done, going} & set(arc.list_jobs()))
    arc.clean_jobs([done, going])
    with pytest.raises(PartialFailureError):
        arc.cancel_jobs([done])
    with pytest.raises(JobNotFoundError):
        arc.save_job_outputs(done)


def test_outputs_that_nobody_wants(arc: ArcInterface) -> None:
    good, bad, gone = arc.submit_jobs([shell("echo 1 > output"), shell("exit 1"), shell("true", name="gone")])
    ended(arc, good, bad, gone)
    with pytest.raises(PartialFailureError, match="2 of 2"):
        arc.clean_jobs([good, bad])
    assert set(arc.list_jobs()) >= {good, bad}
    # Erased by the place itself: its end and its name are known all the same, and there is nothing left to be saved.
    arc.backend.clean([gone])
    until(lambda: gone not in arc.backend.list_jobs())
    info = arc.get_job_info(gone)
    assert (info.name, info.status) == ("gone", JobStatuses.COMPLETED)
    arc.clean_jobs([gone])
    assert gone not in arc.job_list.ids()
    arc.clean_jobs([good, bad], force=True)
    until(lambda: not {good, bad} & set(arc.list_jobs()))


def test_nothing_to_recover(arc: ArcInterface) -> None:
    assert arc.recover() == {}
    job_id = arc.submit_job("true")
    assert arc.recover() == {}
    assert ended(arc, job_id) == [JobStatuses.COMPLETED]


@pytest.mark.core
def test_nothing_to_do(arc: ArcInterface) -> None:
    assert arc.submit_jobs([]) == []
    assert arc.resubmit_jobs([]) == []
    assert arc.get_job_statuses([]) == []
    assert arc.get_job_infos([]) == []
    arc.cancel_jobs([])
    arc.clean_jobs([])
