"""What all tests share: the real grid's configuration, and interfaces that clean up after themselves."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jasmin_arc import ArcInterface


@pytest.fixture(autouse=True)
def _no_configuration_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in list(os.environ):
        if variable.startswith("JASMIN_ARC_") and variable != "JASMIN_ARC_TEST_CONFIG":
            monkeypatch.delenv(variable)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg-config"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was not run, so that nobody takes it for passed."""
    skipped = Counter(report.nodeid.partition("::")[0] for report in terminalreporter.stats.get("skipped", []))
    if skipped:
        terminalreporter.section("NOT RUN")
        for module, count in sorted(skipped.items()):
            terminalreporter.line(f"{module}: {count} tests")


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


MakeArc = Callable[..., ArcInterface]


@pytest.fixture
def make_arc(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeArc]:
    """Make interfaces for a backend; jobs that a test leaves are erased."""
    made: list[ArcInterface] = []

    def make(backend: str, **options: Any) -> ArcInterface:
        base: dict[str, Any] = {"LOCAL_DIR": str(tmp_path / "local")}
        if backend != "local":
            base.update(request.getfixturevalue("grid_config"))
        base["JOBS_INFO_FILE"] = str(tmp_path / "jobs.dat")
        arc = ArcInterface(log=None, config={**base, "BACKEND": backend, **options})
        made.append(arc)
        return arc

    yield make
    for arc in made:
        _erase_jobs(arc)
        arc.close()


def _erase_jobs(arc: ArcInterface) -> None:
    if not Path(arc.config.JOBS_INFO_FILE).exists():
        return
    ids = arc.job_list.ids()
    arc.backend.cancel(ids)
    arc.backend.clean(ids)
