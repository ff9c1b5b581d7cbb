"""The real grid offers two runtime environments: one of A-REX's own, and one that only this grid has."""

from __future__ import annotations

import pytest
from conftest import MakeArc

from jasmin_arc import ArcInterface, JobDescription, JobStatuses
from jasmin_arc.backends.rest.backend import RestBackend
from jasmin_arc.constants import RUN_SCRIPT_NAME
from jasmin_arc.description.formats.adl import submission_adl

pytestmark = pytest.mark.grid
LIMIT = 120
GREETING, PROXY = "APPS/GREETING-1.0", "ENV/PROXY"


@pytest.fixture(params=["rest", "bindings"])
def arc(request: pytest.FixtureRequest, make_arc: MakeArc) -> ArcInterface:
    return make_arc(request.param)


def output_of(arc: ArcInterface, script: str, *environments: str) -> str:
    job_id = arc.submit_job("/bin/sh", ["-c", script], runtime_environments=environments)
    assert arc.wait([job_id], timeout=LIMIT) == [JobStatuses.COMPLETED]
    return arc.job(job_id).stdout()


def test_the_site_lists_its_runtime_environments(arc: ArcInterface) -> None:
    assert set(arc.site().runtime_environments) == {GREETING, PROXY}


def test_a_job_gets_the_runtime_environment_that_it_asks_for(arc: ArcInterface) -> None:
    assert output_of(arc, 'echo "${GRID_GREETING-none}"', GREETING) == "hello from the grid\n"
    assert output_of(arc, 'echo "${GRID_GREETING-none}"') == "none\n"


def test_a_job_gets_a_proxy_where_it_asks_for_one(arc: ArcInterface) -> None:
    script = (
        'head -n 1 "$X509_USER_PROXY"; stat -c %a "$X509_USER_PROXY"; ls "$X509_CERT_DIR" | wc -l; echo $GRID_GREETING'
    )
    first, mode, authorities, greeting = output_of(arc, script, PROXY, GREETING).splitlines()
    assert (first, mode, greeting) == ("-----BEGIN CERTIFICATE-----", "600", "hello from the grid")
    assert int(authorities) > 0


@pytest.mark.parametrize(("environments", "needed"), [([GREETING], False), ([PROXY], True), ([], False)])
def test_only_a_job_that_asks_for_a_proxy_has_a_delegation(
    make_arc: MakeArc, environments: list[str], needed: bool
) -> None:
    arc = make_arc("rest")
    assert isinstance(arc.backend, RestBackend)
    job_id = arc.submit_job("/bin/true", runtime_environments=environments)
    native_id = job_id.rpartition("/")[2]
    answer = arc.backend._api.query_jobs("delegations", [native_id])[native_id]
    assert answer.done and bool(answer.delegations) is needed
    assert arc.wait([job_id], timeout=LIMIT) == [JobStatuses.COMPLETED]


def test_the_compute_element_refuses_patterns_of_outputs_without_a_delegation(make_arc: MakeArc) -> None:
    """That is why such jobs get one."""
    arc = make_arc("rest")
    assert isinstance(arc.backend, RestBackend)
    description = JobDescription("/bin/true", outputs=["*.txt"])
    adl = submission_adl(description, [(RUN_SCRIPT_NAME, None)])
    (answer,) = arc.backend._api.job_creator()(f"<ActivityDescriptions>{adl}</ActivityDescriptions>".encode())
    assert not answer.done and "no delegation" in answer.reason
    assert arc.wait([arc.submit_jobs([description])[0]], timeout=LIMIT) == [JobStatuses.COMPLETED]
