"""A plugin of pytest: which tests run, in which order and process. What is left out is told at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

SHARED = ("shared_arc", "lines_of", "grid", "own_grid", "make_backend", "certificates")
"""Fixtures of a module that take long to make: the tests that use one of them run in one process"""
LONGEST = ("test_interface-own_grid", "test_explain_causes-grid", "test_grid-grid")
"""The groups of tests that take longest, and so begin first"""
_LEFT_OUT = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the tests that take long, and no others")
    parser.addoption("--without-grid", action="store_true", help="leave out the tests that need a grid")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LEFT_OUT] = Counter()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, None, None]:
    for item in items:
        if group := group_of(item):
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=_turn)
    yield
    # Only now, as what -m and -k leave out is known to who gave them.
    left_out = {item: command for item in items if (command := _run_by(config, item))}
    config.stash[_LEFT_OUT].update(left_out.values())
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def group_of(item: pytest.Item) -> str:
    """Return a name for the tests that share a fixture with this one, or "" if it shares none."""
    shared = next((name for name in SHARED if name in getattr(item, "fixturenames", ())), None)
    if shared is None:
        return ""
    parameters = getattr(item, "callspec", None) and item.callspec.params  # type: ignore[attr-defined]
    place = [str(parameters[name]) for name in ("backend_name", shared) if parameters and name in parameters]
    return "-".join([item.path.stem, shared, *place])


def _turn(item: pytest.Item) -> int:
    group = next((mark.args[0] for mark in item.iter_markers("xdist_group")), "")
    return LONGEST.index(group) if group in LONGEST else len(LONGEST)


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
