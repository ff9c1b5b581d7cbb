"""Each scenario of the contract runs on each backend; what differs is what a backend says that it can do.

Where two places differ in little, the second one has the scenarios with the mark ``core`` in each run, and all others
in ``make soak``. The core is about the methods that the bindings backend has of its own: in all else it is the REST
backend, so it has no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeArc
from contract_kit import LOCAL_SLOTS

from jasmin_arc import ArcInterface

WHOLE = ["rest", "rest-7-token", "slurm-ssh", "lotus"]
# What differs here from the places above are the credentials that A-REX 6 takes, too, and the way to the commands of
# Slurm. All scenarios run on these in make soak.
IN_PART = ["rest-7", "rest-7-voms", "slurm", "lotus-ssh"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend_name" in metafunc.fixturenames:
        core = any(metafunc.definition.iter_markers("core"))
        on_grid = [*WHOLE, *(["bindings", *IN_PART] if core else [])]
        rarely = ["bindings-7"] if core else IN_PART
        names = [pytest.param(name, marks=pytest.mark.grid) for name in on_grid]
        names += [pytest.param(name, marks=[pytest.mark.grid, pytest.mark.soak]) for name in rarely]
        metafunc.parametrize("backend_name", [*names, "local"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def backend_name(
    request: pytest.FixtureRequest, slurm_environment: Callable[[str], AbstractContextManager[None]]
) -> Iterator[str]:
    """How the configuration calls the backend; ``lotus`` is Slurm with the habits of JASMIN's, ``-ssh`` is over SSH."""
    name = str(request.param)
    with slurm_environment(name) if name.startswith(("slurm", "lotus")) else nullcontext():
        yield name


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
    options = {
        "BACKEND": backend_name,
        **options_of(backend_name),
        "LOCAL_DIR": str(folder / "local"),
        "LOCAL_SLOTS": LOCAL_SLOTS,
    }
    options.update(JOBS_INFO_FILE=str(folder / "jobs.dat"))
    with ArcInterface(log=None, config=options) as arc:
        yield arc
        if Path(arc.config.JOBS_INFO_FILE).exists():
            ids = arc.job_list.ids()
            arc.backend.cancel(ids)
            erase_later(arc, arc.backend.clean(ids))
