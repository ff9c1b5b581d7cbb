"""A plugin of pytest: which tests run, in which order and process. What is left out is told at the end."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

_TOGETHER = re.compile(
    r"(tests/unit/\w+|.*/test_(?:explain_causes|explain_slurm|bindings_backend|stock_timers|slurm_outages|grid))\.py"
    r"|(.*/test_(?:describing|examples)\.py)"
    r".*\[((?:bindings|rest)(?:-7)?(?:-token|-voms)?|(?:slurm|lotus)(?:-ssh)?|local)\b"
)
"""Tests that share what takes long to make, for all backends or for each: one process runs those of a file"""
_LONGEST = (
    "test_stock_timers",
    "test_slurm_outages",
    "test_explain_causes",
    "test_grid",
    "test_sigkill",
    "test_fault_proxy",
)
"""Files that begin first, as they take longest"""
_LEFT_OUT = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the tests that take long, and no others")
    parser.addoption("--without-grid", action="store_true", help="leave out the tests that need a grid")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LEFT_OUT] = Counter()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Give tests that share something to one process, in their order. Groups of xdist do not work with pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            found = _TOGETHER.match(nodeid)
            return "::".join(filter(None, found.groups())) if found else nodeid

    return Scheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what was not asked for. That comes last, as who gave -m and -k knows what these leave out."""
    left_out = {item: command for item in items if (command := _run_by(config, item))}
    config.stash[_LEFT_OUT].update(left_out.values())
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = sorted((item for item in items if item not in left_out), key=_turn)


def _turn(item: pytest.Item) -> int:
    return _LONGEST.index(item.path.stem) if item.path.stem in _LONGEST else len(_LONGEST)


def _run_by(config: pytest.Config, item: pytest.Item) -> str:
    """Return the command that runs the test, if this run leaves it out."""
    is_soak = item.get_closest_marker("soak") is not None
    if is_soak != config.getoption("soak"):
        return "make soak" if is_soak else "make test"
    needs_grid = item.get_closest_marker("grid") is not None
    return "make test" if needs_grid and config.getoption("without_grid") else ""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let the process that started this one, if it is one of several, tell what was left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(session.config.stash[_LEFT_OUT])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take that over; each process has left out the same."""
    node.config.stash[_LEFT_OUT] |= Counter(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was not run, so that nobody takes it for passed."""
    skipped = Counter(report.nodeid.partition("::")[0] for report in terminalreporter.stats.get("skipped", []))
    left_out = config.stash[_LEFT_OUT]
    if skipped or left_out:
        terminalreporter.section("NOT RUN")
    for module, count in sorted(skipped.items()):
        terminalreporter.line(f"{module}: {count} tests")
    for command, count in sorted(left_out.items()):
        terminalreporter.line(f"{count} tests: '{command}' runs them")
