"""joblib's own tests of its backends pass with this one in their place. They come with joblib, and run unchanged."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import FunctionType

import joblib.parallel
import pytest
from joblib.test import test_parallel

from jasmin_arc.joblib import JasminArcBackend

ROOT = Path(__file__).parents[2]
OURS = "jasmin_arc"
_BACKENDS = {"backend", "parent_backend", "child_backend", "outer_backend", "inner_backend"}
"""Parameters of their tests that are names of backends"""
_LIKE = "loky"
"""Which of their backends ours is to be like, where they differ"""
_ENOUGH = {"n_jobs": (-1, -2, 3, 4), "verbose": (2, 11)}
"""Values of parameters that show nothing which others do not show, and would take minutes"""
LEFT_OUT = {
    "test_dispatch_multiprocessing": "calls write into a list that only children of this process can reach",
    "test_initializer_context": "the same, and no process of ours stays for a second call",
    "test_initializer_parallel": "the same",
    "test_auto_memmap_on_arrays_from_generator": "wants arrays in memory that calls share",
    "test_memmapping_leaks": "the same",
    "test_nested_backend_context_manager": "wants threads for loops in a call, and a job has one slot",
    "test_nested_parallelism_limit": "the same",
    "test_backend_batch_statistics_reset": "is about joblib's own way to find the size of a batch",
    "test_multiple_generator_call_separated_gc": "wants ten calls to be made within five seconds",
    "test_background_thread_parallelism": "takes the default backend",
    "test_parallel_thread_limit": "needs a module that joblib does not bring along",
}
IN_EVERY_RUN = {
    "test_simple_parallel",
    "test_lambda_expression",
    "test_nested_loop",
    "test_error_in_task_iterator",
    "test_parallel_timeout_success",
    "test_parallel_as_context_manager",
}
"""One of each kind, as all of them take minutes: make soak runs the others"""
TESTS = {
    name: test
    for name, test in vars(test_parallel).items()
    if isinstance(test, FunctionType) and name.startswith("test_")
    if _BACKENDS & set(test.__code__.co_varnames[: test.__code__.co_argcount])
}

# That of joblib about loops that are left before their end, too.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def with_ours(test: FunctionType) -> FunctionType:
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name in ("parametrize", "skipif")]
    ours = FunctionType(test.__code__, test.__globals__, test.__name__, test.__defaults__, test.__closure__)
    ours.__dict__["pytestmark"] = [adapted(mark) for mark in marks]
    if test.__name__ not in IN_EVERY_RUN:
        ours.__dict__["pytestmark"].append(pytest.mark.soak.mark)
    return ours


def adapted(mark: pytest.Mark) -> pytest.Mark:
    """Return the mark with our backend in the place of theirs; of several rows, the one for the backend like ours."""
    if mark.name != "parametrize":
        return mark
    names = mark.args[0].replace(" ", "").split(",")
    rows = [row if len(names) > 1 else (row,) for row in mark.args[1]]
    if not _BACKENDS & set(names):
        rows = [row for row in rows if len(row) > 1 or row[0] not in _ENOUGH.get(names[0], ())]
        return pytest.mark.parametrize(names, rows, **mark.kwargs).mark
    chosen = [row for row in rows if all(value == _LIKE for name, value in zip(names, row) if name in _BACKENDS)]
    assert len(chosen) == 1
    row = [OURS if name in _BACKENDS else value for name, value in zip(names, chosen[0])]
    return pytest.mark.parametrize(names, [row]).mark


@pytest.fixture(autouse=True)
def ours(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the backend known to this process and, as some tests run a program, to those that it starts."""
    options = {"BACKEND": "local", "LOCAL_SLOTS": 8, "LOCAL_DIR": str(tmp_path / "jobs")}
    options["JOBS_INFO_FILE"] = str(tmp_path / "jobs.dat")
    (tmp_path / "config.json").write_text(json.dumps(options))
    monkeypatch.setenv("JASMIN_ARC_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.setitem(joblib.parallel.BACKENDS, OURS, JasminArcBackend)
    # Of them, ten seconds would be enough on a machine that does nothing else.
    monkeypatch.setattr(test_parallel, "check_subprocess_call", patient(test_parallel.check_subprocess_call))
    if "functions" in request.node.name:
        (tmp_path / "sitecustomize.py").write_text("import jasmin_arc.joblib\njasmin_arc.joblib.register()\n")
        path = [str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))


def patient(check: Callable[..., None]) -> Callable[..., None]:
    return lambda command, timeout, **options: check(command, timeout=100, **options)


def test_what_is_left_out_is_there() -> None:
    assert set(LEFT_OUT) | IN_EVERY_RUN <= set(TESTS)


globals().update({name: with_ours(test) for name, test in TESTS.items() if name not in LEFT_OUT})
