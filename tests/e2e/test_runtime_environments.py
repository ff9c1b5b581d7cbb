"""The real grid offers two runtime environments: one of A-REX's own, and one that only this grid has."""

from __future__ import annotations

import pytest
from conftest import MakeArc

from jasmin_arc import ArcInterface, JobStatuses

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
