"""What all tests share: the real grid's configuration, and interfaces that clean up after themselves."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from jasmin_arc import ArcInterface, JasminArcError

pytest_plugins = ["which_tests"]

if not os.environ.get("CI"):
    # With CI, hypothesis does so by itself: how long an example takes says nothing on a busy machine.
    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def _no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nor for interfaces that several tests share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _no_configuration_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in list(os.environ):
        ours = variable.startswith("JASMIN_ARC_") and not variable.startswith("JASMIN_ARC_TEST_")
        if ours or variable.startswith("BEARER_TOKEN"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg-config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg-cache"))


@pytest.fixture(autouse=True)
def _a_leak_fails_the_test_that_leaks() -> Iterator[None]:
    """Collect garbage after each test: what was left open warns here, and not in some later test."""
    yield
    gc.collect()


def pytest_collection_finish() -> None:
    """Leave what was imported out of the collections after each test, so that these are quick."""
    gc.collect()
    gc.freeze()


def pytest_configure() -> None:
    """Let Ctrl-C reach the processes that tests start, also where the tests themselves run in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def grid_config() -> dict[str, Any]:
    """The configuration for the real grid (``make grid-up``)."""
    path = os.environ.get("JASMIN_ARC_TEST_CONFIG")
    if path and Path(path).is_file():
        return dict(json.loads(Path(path).read_text()))
    reason = "no grid: start it with 'make grid-up' and set JASMIN_ARC_TEST_CONFIG to its config.json"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def other_grid(variable: str, file: str, what: str) -> Path:
    """The folder of a grid beside the first one, which a variable names."""
    path = os.environ.get(variable)
    if path and (Path(path) / file).is_file():
        return Path(path)
    reason = f"no {what}: 'tests/grid/grid.sh with-all' starts one and sets {variable}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def site_folder() -> Path:
    """The folder of the grid that is like JASMIN (``GRID_SITE=jasmin``): Slurm with accounts and limits, and no CE."""
    return other_grid("JASMIN_ARC_TEST_SITE", "slurm.json", "site like JASMIN")


@pytest.fixture(scope="session")
def arc7_folder() -> Path:
    """The folder of the grid with A-REX 7 (``GRID_ARC=7``), which takes certificates, tokens and attributes of a VO."""
    return other_grid("JASMIN_ARC_TEST_ARC7", "config-token.json", "A-REX 7")


@pytest.fixture(scope="session")
def vomses(arc7_folder: Path) -> Path:
    """The file that names the server of the VO of that grid. This library and arcproxy find it from now on."""
    path = arc7_folder / "client" / "vomses"
    # To the end: several tests at a time may need it, each for another while.
    os.environ["X509_VOMSES"] = str(path)
    return path


@pytest.fixture
def site_to_oneself(site_folder: Path) -> Iterator[None]:
    """For one test at a time: those that take the node ``frail`` down, or fill the node ``scarce``."""
    with (site_folder / "work" / ".one-test").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def options_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Any]]:
    """What is configured for a backend. REST does without anything of ARC: its proxies are made natively.

    ``rest-7`` and ``bindings-7`` speak to A-REX 7, ``rest-7-token`` and ``rest-7-voms`` with other credentials.
    """
    proxies = tmp_path_factory.mktemp("native")

    def options(backend: str) -> dict[str, Any]:
        if backend == "local":
            return {}
        if backend.startswith(("slurm", "lotus")):
            return slurm_options(request, backend)
        kind, seven, credentials = backend.partition("-7")
        native = {"ARCPROXY_PATH": "/nowhere/arcproxy", "PROXY_FILE": str(proxies / backend)} if kind == "rest" else {}
        if not seven:
            return {**request.getfixturevalue("grid_config"), **native}
        folder = request.getfixturevalue("arc7_folder")
        if credentials == "-voms":
            request.getfixturevalue("vomses")
        config = folder / f"config{credentials}.json"
        return {**json.loads(config.read_text()), **native, "BACKEND": kind}

    return options


def slurm_folder(request: pytest.FixtureRequest, backend: str) -> Path:
    """The folder of the grid that a backend stands for: ``lotus`` is the one with the habits of JASMIN's."""
    request.getfixturevalue("grid_config")
    if backend.startswith("slurm"):
        return Path(os.environ["JASMIN_ARC_TEST_CONFIG"]).parent
    folder: Path = request.getfixturevalue("site_folder")
    return folder


def slurm_options(request: pytest.FixtureRequest, backend: str) -> dict[str, Any]:
    name = "slurm-ssh.json" if backend.endswith("-ssh") else "slurm.json"
    options = dict(json.loads((slurm_folder(request, backend) / name).read_text()))
    # There, the QoS standard is for jobs of one processor.
    return {**options, "SLURM_QOS": "high"} if backend.startswith("lotus") else options


@pytest.fixture(scope="session")
def slurm_environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], contextlib.AbstractContextManager[None]]:
    """Sets the environment for a backend, so that ssh finds the hosts of its grid."""
    sockets = {name: tmp_path_factory.mktemp("s") for name in ("slurm", "lotus")}

    @contextlib.contextmanager
    def environment(backend: str) -> Iterator[None]:
        folder = slurm_folder(request, backend)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{folder}/ssh/bin:{os.environ['PATH']}")
            patch.setenv("MODULEPATH", f"{folder}/modules")
            patch.setenv("XDG_RUNTIME_DIR", str(sockets[backend[:5]]))
            yield

    return environment


MakeArc = Callable[..., ArcInterface]


@pytest.fixture(scope="session")
def erase_later() -> Iterator[Callable[[ArcInterface, Iterable[str]], None]]:
    """Erase, once all tests have run, jobs on the grid that a test has left and that have not ended yet."""
    left: dict[tuple[str, ...], tuple[ArcInterface, list[str]]] = {}

    def later(arc: ArcInterface, job_ids: Iterable[str]) -> None:
        if arc.config.BACKEND in ("local", "slurm"):
            return
        config = arc.config.as_dict()
        owner = (arc.config.endpoint, *(str(config.get(name)) for name in ("AUTH", "CLIENT_CERT", "VOMS")))
        if owner not in left:
            config["BACKEND"] = "rest"
            # The proxy of a test may be gone with the test. One with attributes is shared, and is there.
            if not config["VOMS"]:
                config["PROXY_FILE"] = str(Path(folder) / f"proxy-{len(left)}")
            left[owner] = (ArcInterface(log=None, config=config), [])
        left[owner][1].extend(job_ids)

    with tempfile.TemporaryDirectory() as folder:
        yield later
        deadline = time.monotonic() + 60
        for arc, job_ids in left.values():
            # A server that a test put between is gone by now.
            with contextlib.suppress(JasminArcError), arc:
                while (job_ids := list(arc.backend.clean(job_ids))) and time.monotonic() < deadline:
                    time.sleep(1)


@pytest.fixture
def make_arc(
    options_of: Callable[[str], dict[str, Any]],
    erase_later: Callable[[ArcInterface, Iterable[str]], None],
    tmp_path: Path,
) -> Iterator[MakeArc]:
    """Make interfaces for a backend; jobs that a test leaves are erased."""
    made: list[ArcInterface] = []

    def make(backend: str, **options: Any) -> ArcInterface:
        own = {"LOCAL_DIR": str(tmp_path / "local"), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
        arc = ArcInterface(log=None, config={"BACKEND": backend, **options_of(backend), **own, **options})
        made.append(arc)
        return arc

    yield make
    erased = set()
    for arc in made:
        jobs = (arc.config.JOBS_INFO_FILE, arc.config.BACKEND, arc.config.SLURM_HOST)
        if jobs not in erased:
            erase_later(arc, _erase_jobs(arc))
            erased.add(jobs)
        arc.close()


def _erase_jobs(arc: ArcInterface) -> list[str]:
    """Erase an interface's jobs, and return those that were just told to end, and have not yet."""
    if not Path(arc.config.JOBS_INFO_FILE).exists():
        return []
    ids = arc.job_list.ids()
    arc.backend.cancel(ids)
    return list(arc.backend.clean(ids))
