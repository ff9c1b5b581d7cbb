"""Each scenario of the contract runs on each backend; what differs is what a backend says that it can do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeArc
from contract_kit import LOCAL_SLOTS

from jasmin_arc import ArcInterface


@pytest.fixture(
    params=[
        pytest.param("bindings", marks=pytest.mark.grid),
        pytest.param("rest", marks=pytest.mark.grid),
        "local",
    ],
    scope="module",
)
def backend_name(request: pytest.FixtureRequest) -> str:
    """How the configuration calls the backend."""
    return str(request.param)


@pytest.fixture
def arc(backend_name: str, make_arc: MakeArc) -> ArcInterface:
    """An interface of one scenario's own."""
    return make_arc(backend_name, LOCAL_SLOTS=LOCAL_SLOTS)


@pytest.fixture(scope="module")
def shared_arc(
    options_of: Callable[[str], dict[str, Any]],
    backend_name: str,
    erase_later: Callable[[ArcInterface, Iterable[str]], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ArcInterface]:
    """An interface for jobs that the scenarios of a module share: submitted together, waited for once."""
    folder = tmp_path_factory.mktemp(backend_name)
    options = {**options_of(backend_name), "LOCAL_DIR": str(folder / "local"), "LOCAL_SLOTS": LOCAL_SLOTS}
    options.update(BACKEND=backend_name, JOBS_INFO_FILE=str(folder / "jobs.dat"))
    with ArcInterface(log=None, config=options) as arc:
        yield arc
        if Path(arc.config.JOBS_INFO_FILE).exists():
            ids = arc.job_list.ids()
            arc.backend.cancel(ids)
            erase_later(arc, arc.backend.clean(ids))
