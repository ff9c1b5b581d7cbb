"""What the REST backend does on the real compute element that the contract does not ask of every backend."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import pytest
from conftest import MakeArc

from jasmin_arc import ArcInterface, JobDescription, JobStatuses, OperationNotPossibleError
from jasmin_arc.backends.http.client import Request
from jasmin_arc.backends.rest.backend import RestBackend

pytestmark = pytest.mark.grid
LIMIT = 180

_Value = TypeVar("_Value")


@pytest.fixture
def arc(make_arc: MakeArc) -> ArcInterface:
    return make_arc("rest")


def shell(script: str, **options: object) -> JobDescription:
    return JobDescription(executable="/bin/sh", arguments=["-c", script], **{"outputs": ["output"], **options})  # type: ignore[arg-type]


def eventually(ask: Callable[[], _Value], wanted: Callable[[_Value], object]) -> _Value:
    deadline = time.monotonic() + LIMIT
    while not wanted(answer := ask()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.2)
    return answer


@pytest.mark.parametrize("count", [20, pytest.param(100, marks=pytest.mark.soak)])
def test_many_jobs_at_once(arc: ArcInterface, count: int) -> None:
    ids = arc.submit_jobs([shell(f"echo {number}", name=f"bulk{number}") for number in range(count)])
    assert len(set(ids)) == count
    assert arc.job_list.ids() == ids
    # One that changes its state just then is not in the server's list.
    eventually(lambda: set(ids) - set(arc.backend.list_jobs()), lambda left: not left)
    assert set(arc.wait(ids, timeout=3 * LIMIT)) == {JobStatuses.COMPLETED}
    infos = arc.get_job_infos(ids)
    assert [info.name for info in infos] == [f"bulk{number}" for number in range(count)]
    assert arc.backend.open(ids[12], "stdout").read() == b"12\n"
    arc.clean_jobs(ids, force=True)
    eventually(lambda: set(ids) & set(arc.backend.list_jobs()), lambda left: not left)


def test_a_job_in_the_batch_system_is_seen_there(arc: ArcInterface) -> None:
    job_id = arc.submit_job("sleep", ["60"], slots=2)
    # That it runs is told live, and the rest once the server has written it.
    info = eventually(lambda: arc.get_job_info(job_id), lambda info: info.state == "Running" and bool(info.queue))
    assert (info.native_state, info.slots, info.queue) == ("RUNNING", 2, "short")
    arc.cancel_job(job_id)
    assert eventually(lambda: arc.get_job_info(job_id), lambda info: info.final).state == "Killed"


def test_cancelling_an_ended_job_changes_nothing(arc: ArcInterface) -> None:
    job_id = arc.submit_job("true")
    arc.wait([job_id], timeout=LIMIT)
    arc.cancel_job(job_id)
    time.sleep(2)
    assert arc.backend.states([job_id]) == {job_id: "Finished"}


def test_cleaning_a_job_that_has_not_ended(arc: ArcInterface) -> None:
    job_id = arc.submit_job("sleep", ["60"])
    assert isinstance(arc.backend.clean([job_id])[job_id], OperationNotPossibleError)
    arc.cancel_job(job_id)
    arc.wait([job_id], timeout=LIMIT)
    assert arc.backend.clean([job_id]) == {}
    eventually(lambda: arc.backend.states([job_id]), lambda states: not states)
    assert arc.backend.clean([job_id]) == {}


def test_the_exit_code_comes_with_the_end(arc: ArcInterface) -> None:
    job_id = arc.submit_job("/bin/sh", ["-c", "exit 7"])
    info = eventually(lambda: arc.backend.query([job_id])[job_id], lambda info: info.final)
    assert (info.state, info.exit_code) == ("Failed", 7)
    assert info.errors
    assert info.ended is not None


def test_a_refused_job_comes_with_the_server_s_reason(arc: ArcInterface) -> None:
    results = arc.backend.submit([shell("true"), shell("true", queue="no-such-queue"), shell("true")])
    assert [isinstance(result, str) for result in results] == [True, False, True]
    assert "queue" in str(results[1])


def test_files_are_read_from_where_one_likes(arc: ArcInterface) -> None:
    script = "mkdir -p 'output/a b'; printf 0123456789 > 'output/a b/#?%'; ln -s /etc/passwd output/link"
    (job_id,) = arc.submit_jobs([shell(script)])
    arc.wait([job_id], timeout=LIMIT)
    assert {file.name for file in arc.backend.list_files(job_id)} >= {"output", "stdout", "stderr"}
    assert [file.name for file in arc.backend.list_files(job_id, "output")] == ["output/a b"]
    (file,) = arc.backend.list_files(job_id, "output/a b")
    assert (file.name, file.size, file.is_dir) == ("output/a b/#?%", 10, False)
    assert arc.backend.open(job_id, file.name, 4).read() == b"456789"
    assert arc.backend.open(job_id, file.name, 10).read() == b""


def test_a_large_file_comes_as_a_stream(arc: ArcInterface) -> None:
    (job_id,) = arc.submit_jobs([shell("head -c 50000000 /dev/zero > output")])
    arc.wait([job_id], timeout=LIMIT)
    size = 0
    with arc.backend.open(job_id, "output") as stream:
        while piece := stream.read(1 << 20):
            size += len(piece)
    assert size == 50_000_000


def test_evidence_and_site(arc: ArcInterface) -> None:
    job_id = arc.submit_job("/bin/sh", ["-c", "exit 7"])
    arc.wait([job_id], timeout=LIMIT)
    evidence = arc.backend.evidence(job_id)
    assert "exitcode=7" in evidence["diag"]
    assert "Job failed" in evidence["failed"]
    site = arc.backend.site()
    queues = {queue.name: queue for queue in site.queues}
    assert queues["short"].max_wall_time == timedelta(hours=1)
    assert queues["long"].max_wall_time is None
    assert "org.nordugrid.arcrest" in site.interfaces


def test_restarting_is_up_to_the_server(arc: ArcInterface) -> None:
    job_id = arc.submit_job("/bin/sh", ["-c", "exit 7"])
    arc.wait([job_id], timeout=LIMIT)
    (error,) = arc.backend.restart([job_id]).values()
    assert isinstance(error, OperationNotPossibleError)
    assert job_id in str(error)


def credentials_end(arc: ArcInterface, job_id: str) -> datetime:
    """Ask the compute element for the delegated certificate; what it publishes of the job is not brought up to date."""
    from cryptography import x509

    assert isinstance(arc.backend, RestBackend)
    api = arc.backend._api
    (answer,) = api.query_jobs("delegations", [api.native_id(job_id)]).values()
    path = f"{api.base()}/delegations/{answer.delegations[0]}?action=get"
    return x509.load_pem_x509_certificates(api.client.once(Request("POST", path, b"")).body)[0].not_valid_after_utc


NEEDS_CREDENTIALS: dict[str, Any] = {"outputs": ["*.nc"]}


def test_a_job_that_needs_no_credentials_runs_and_renewing_it_is_no_failure(arc: ArcInterface) -> None:
    job_id = arc.submit_job("/bin/sh", ["-c", "mkdir output; echo 42 > output/result"])
    assert isinstance(arc.backend, RestBackend)
    (answer,) = arc.backend._api.query_jobs("delegations", [arc.backend._api.native_id(job_id)]).values()
    assert answer.delegations == ()
    arc.renew([job_id])
    assert arc.wait([job_id], timeout=LIMIT) == [JobStatuses.COMPLETED]
    assert arc.read(job_id, "output/result") == "42\n"


def test_the_next_process_finds_the_delegation_again(make_arc: MakeArc, tmp_path: Path) -> None:
    used = set()
    for _ in range(2):
        arc = make_arc("rest", PROXY_FILE=str(tmp_path / "shared.pem"))
        assert isinstance(arc.backend, RestBackend)
        job_id = arc.submit_job("true", **NEEDS_CREDENTIALS)
        (answer,) = arc.backend._api.query_jobs("delegations", [arc.backend._api.native_id(job_id)]).values()
        used.update(answer.delegations)
    assert len(used) == 1


def with_short_proxies(make_arc: MakeArc, folder: Path) -> ArcInterface:
    return make_arc(
        "rest", PROXY_FILE=str(folder / "short.pem"), PROXY_VALIDITY_PERIOD=7200, PROXY_RENEWAL_THRESHOLD=600
    )


def test_renewed_credentials_last_longer(make_arc: MakeArc, tmp_path: Path) -> None:
    short = with_short_proxies(make_arc, tmp_path)
    job_id = short.submit_job("sleep", ["60"], **NEEDS_CREDENTIALS)
    assert credentials_end(short, job_id) < datetime.now(timezone.utc) + timedelta(hours=3)
    long = make_arc("rest", PROXY_FILE=str(tmp_path / "long.pem"))
    assert long.backend.renew([job_id]) == {}
    assert credentials_end(short, job_id) > datetime.now(timezone.utc) + timedelta(hours=6)


def test_credentials_of_a_waiting_job_are_renewed_by_another_process(make_arc: MakeArc, tmp_path: Path) -> None:
    short = with_short_proxies(make_arc, tmp_path)
    job_id = short.submit_job("sleep", ["60"], **NEEDS_CREDENTIALS)
    eventually(lambda: short.get_job_info(job_id), lambda info: info.proxy_expires is not None)
    other = make_arc("rest", PROXY_FILE=str(tmp_path / "long.pem"), PROXY_RENEWAL_THRESHOLD=3 * 3600)
    assert other.get_job_status(job_id) != JobStatuses.COMPLETED
    assert credentials_end(short, job_id) > datetime.now(timezone.utc) + timedelta(hours=6)


def test_two_interfaces_see_the_same_jobs(make_arc: MakeArc) -> None:
    one, two = make_arc("rest"), make_arc("rest")
    job_id = one.submit_job("true")
    assert job_id in two.list_jobs()
    assert two.wait([job_id], timeout=LIMIT) == [JobStatuses.COMPLETED]


@pytest.mark.skipif(shutil.which("arcstat") is None, reason="ARC's command line is not installed")
def test_arcstat_lists_what_was_submitted_here(arc: ArcInterface) -> None:
    assert isinstance(arc.backend, RestBackend)
    job_id = arc.submit_job("true", name="for arcstat")
    arc.wait([job_id], timeout=LIMIT)
    config = arc.config
    environment = {**os.environ, "X509_USER_PROXY": str(arc.proxy.path()), "X509_CERT_DIR": config.CERTS_DIR}
    shown = subprocess.run(
        ["arcstat", "--joblist", config.JOBS_INFO_FILE, "--all"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert job_id in shown.stdout, shown.stderr
    assert "for arcstat" in shown.stdout
