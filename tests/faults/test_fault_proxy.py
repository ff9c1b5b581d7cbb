from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import MakeArc
from faults.fault_proxy import Fault, FaultProxy, seeded_script
from faults.settled import assert_settled

from jasmin_arc import (
    ArcInterface,
    JobDescription,
    JobStatuses,
    NoTargetsAvailableError,
    PartialFailureError,
    ServerUnavailableError,
    SubmissionUnknownError,
)
from jasmin_arc.backends.rest.backend import RestBackend
from jasmin_arc.config import ConnectionConfig

pytestmark = pytest.mark.grid


@pytest.fixture
def proxy(grid_config: dict[str, Any]) -> Iterator[FaultProxy]:
    parts = urlsplit(ConnectionConfig(grid_config).endpoint)
    with FaultProxy(parts.hostname or "", parts.port or 443) as made:
        yield made


@pytest.fixture
def arc(
    grid_config: dict[str, Any], proxy: FaultProxy, make_arc: MakeArc, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ArcInterface]:
    # Long enough that a job is not missed which A-REX moves from folder to folder, and so leaves out of its list.
    monkeypatch.setattr("jasmin_arc.backends.rest.recovery._STILL_ON_ITS_WAY", timedelta(seconds=5))
    parts = urlsplit(ConnectionConfig(grid_config).endpoint)
    made = make_arc("rest", ARC_SERVER=f"{parts.hostname}:{proxy.port}{parts.path}", TIMEOUT=3)
    yield made
    proxy.script = lambda number: Fault()
    proxy.break_all()


def rest(arc: ArcInterface) -> RestBackend:
    assert isinstance(arc.backend, RestBackend)
    return arc.backend


def description(name: str) -> JobDescription:
    return JobDescription(executable="true", name=name, outputs=[], inputs={"in": b"x" * 1000})


def recover_all(arc: ArcInterface) -> None:
    deadline = time.monotonic() + 60
    while arc.job_list.unfinished(arc.backend.endpoint):
        assert time.monotonic() < deadline
        arc.recover()
        time.sleep(0.5)


def test_a_server_that_refuses_connections(arc: ArcInterface, proxy: FaultProxy) -> None:
    proxy.refuse()
    with pytest.raises(NoTargetsAvailableError, match="cannot connect"):
        arc.submit_job("true")
    with pytest.raises(ServerUnavailableError):
        arc.list_jobs()


def test_a_server_that_accepts_and_never_answers(arc: ArcInterface, proxy: FaultProxy) -> None:
    proxy.script = lambda number: Fault(mute=True)
    began = time.monotonic()
    with pytest.raises(ServerUnavailableError):
        arc.list_jobs()
    assert time.monotonic() - began < 2 * arc.config.TIMEOUT


def test_a_connection_that_breaks_is_replaced(arc: ArcInterface, proxy: FaultProxy) -> None:
    arc.list_jobs()
    for _ in range(5):
        proxy.break_all()
        arc.list_jobs()


def test_a_slow_server_is_waited_for(arc: ArcInterface, proxy: FaultProxy) -> None:
    proxy.script = lambda number: Fault(pause=0.05)
    job_id = arc.submit_job("true")
    assert arc.wait([job_id], timeout=100) == [JobStatuses.COMPLETED]


@pytest.mark.parametrize("cut", ["cut_request", "cut_reply"])
def test_a_request_that_breaks_off_is_settled(arc: ArcInterface, proxy: FaultProxy, cut: str) -> None:
    backend, run = rest(arc), f"cut{uuid.uuid4().hex[:8]}"
    before = arc.list_jobs()
    backend._delegations.current()
    # A connection breaks off in the handshake, in the creating request, or in a later one of its own.
    unknown = 0
    for size in range(500, 8000, 500):
        fault = Fault(**{cut: size})
        proxy.script = lambda number, fault=fault: fault  # type: ignore[misc]
        try:
            (result,) = backend.submit([description(f"{run}-{size}")])
        except NoTargetsAvailableError:
            continue
        unknown += isinstance(result, SubmissionUnknownError)
    proxy.script = lambda number: Fault()
    recover_all(arc)
    assert unknown
    assert_settled(backend, arc.job_list, run, before)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 10))])
def test_whatever_the_network_does_every_job_is_accounted_for(arc: ArcInterface, proxy: FaultProxy, seed: int) -> None:
    backend, run = rest(arc), f"net{uuid.uuid4().hex[:8]}"
    before = arc.list_jobs()
    proxy.script = seeded_script(seed)
    promised = []
    for number in range(6):
        proxy.break_all()
        try:
            promised += arc.submit_jobs([description(f"{run}-{number}-{part}") for part in range(3)])
        except PartialFailureError as error:
            promised += [result for result in error.results if isinstance(result, str)]
        except NoTargetsAvailableError:
            continue
        except ServerUnavailableError:
            continue
    proxy.script = lambda number: Fault()
    proxy.break_all()
    recover_all(arc)
    jobs = assert_settled(backend, arc.job_list, run, before)
    assert set(promised) <= set(jobs)
    assert set(arc.wait(jobs, timeout=200)) <= {JobStatuses.COMPLETED}
