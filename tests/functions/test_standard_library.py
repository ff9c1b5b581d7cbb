"""The standard library's own tests of executors pass. They are the distribution's: libpython3.x-testsuite on Debian.

Nothing of them is left out. Each run has those of executors on the local backend; make soak runs the others, which say
the same of each backend, and of futures.
Their programs are run with an executor that takes the arguments of the standard library's.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pool_executor import JobPoolExecutor

HERE = Path(__file__).parent
BACKENDS = ["local", "slurm"]
_PACKAGE = "test.test_concurrent_futures"
_MODULES = {
    "ExecutorTest": "executor",
    "WaitTests": "test_wait",
    "AsCompletedTests": "test_as_completed",
    "ExecutorShutdownTest": "test_shutdown",
}
"""What an executor must pass, and the module of each since Python 3.12. In 3.11, all are in one"""


def standard_tests(module: str) -> ModuleType | None:
    for name in (f"{_PACKAGE}.{module}", _PACKAGE):
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


def make_tests(backend: str, name: str, module: ModuleType) -> type:
    """Make a class of tests: those of the standard library, on a backend."""
    util = standard_tests("util")

    class Tests(getattr(module, name), util.ExecutorMixin, util.BaseTestCase):  # type: ignore[misc, name-defined, union-attr]
        executor_type = JobPoolExecutor

        @pytest.fixture(autouse=True)
        def place(self, place: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
            place(backend)
            if hasattr(module, "assert_python_ok"):
                monkeypatch.setattr(module, "assert_python_ok", with_our_executor(module.assert_python_ok))

    marked = Tests if backend == "local" else pytest.mark.grid(Tests)
    if backend != "local" or name in ("WaitTests", "AsCompletedTests"):
        marked = pytest.mark.soak(marked)
    marked.__name__ = marked.__qualname__ = f"Test{backend.capitalize()}{name.removesuffix('s').removesuffix('Test')}"
    return marked


def with_our_executor(run: Callable[..., Any]) -> Callable[..., Any]:
    def assert_python_ok(option: str, program: str) -> Any:
        path = os.pathsep.join(filter(None, [str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH")]))
        return run(option, f"import pool_executor\npool_executor.install()\n{program}", PYTHONPATH=path)

    return assert_python_ok


@pytest.fixture
def place(
    options_of: Callable[[str], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Configure a backend, for this process and those that it starts."""

    def configure(backend: str) -> None:
        own = {"BACKEND": backend, "LOCAL_DIR": str(tmp_path / "local"), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
        (tmp_path / "config.json").write_text(json.dumps({**options_of(backend), **own, "LOCAL_SLOTS": 8}))
        monkeypatch.setenv("JASMIN_ARC_CONFIG", str(tmp_path / "config.json"))

    return configure


def all_tests() -> Iterator[type]:
    for name, where in _MODULES.items():
        if (module := standard_tests(where)) is not None:
            yield from (make_tests(backend, name, module) for backend in BACKENDS)


globals().update({tests.__name__: tests for tests in all_tests()})


def test_the_tests_are_there() -> None:
    if standard_tests("util") is None:
        package = "libpython{}.{}-testsuite".format(*sys.version_info)
        reason = f"the standard library's own tests are not here; on Debian: apt install {package}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
