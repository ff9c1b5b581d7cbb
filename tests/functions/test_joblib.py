"""joblib's loops, and scikit-learn's, run as jobs; what goes wrong in a job is told, and leaves no job behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeArc
from joblib import Parallel, delayed, parallel_config
from joblib.parallel import BACKENDS, BatchedCalls, SequentialBackend

import jasmin_arc.joblib
from jasmin_arc import ArcInterface, JobStatuses
from jasmin_arc.executor import RemoteTraceback
from jasmin_arc.functions.packing import Packer
from jasmin_arc.joblib import _known_as_its_call

ROOT = Path(__file__).parents[2]
HERE = [__name__]
"""The functions of this module travel with a call"""


@pytest.fixture
def arc(make_arc: MakeArc, monkeypatch: pytest.MonkeyPatch) -> ArcInterface:
    monkeypatch.setattr("joblib.parallel.BACKENDS", {**BACKENDS})
    jasmin_arc.joblib.register()
    return make_arc("local", LOCAL_SLOTS=8)


def variable(name: str) -> str | None:
    return os.environ.get(name)


def process(number: int) -> int:
    return os.getpid()


def inverse(number: int) -> float:
    return 1 / number


def test_each_call_is_made_in_a_job(arc: ArcInterface) -> None:
    with parallel_config("jasmin_arc", interface=arc, modules=HERE):
        pids = Parallel()(delayed(process)(number) for number in range(3))
    assert os.getpid() not in pids
    assert arc.list_jobs() == []


def test_an_interface_of_its_own_is_made_from_a_configuration(
    arc: ArcInterface, capsys: pytest.CaptureFixture[str]
) -> None:
    with parallel_config("jasmin_arc", config=arc.config.as_dict()):
        assert Parallel()(delayed(abs)(number) for number in (-1, -2)) == [1, 2]
    assert capsys.readouterr().out == ""


def test_options_are_those_of_an_executor(arc: ArcInterface) -> None:
    with parallel_config("jasmin_arc", interface=arc, modules=HERE, environment={"COLOUR": "green"}):
        assert Parallel()(delayed(variable)("COLOUR") for _ in range(2)) == ["green"] * 2
        # Those of one loop count for that loop.
        assert Parallel(environment={"COLOUR": "red"})(delayed(variable)("COLOUR") for _ in range(2)) == ["red"] * 2


def test_an_unknown_option_is_refused_where_it_is_given(arc: ArcInterface) -> None:
    with pytest.raises(TypeError, match="did you mean 'memory'"):
        parallel_config("jasmin_arc", interface=arc, memmory="2 GB")
    with pytest.raises(TypeError, match="either interface or config"):
        parallel_config("jasmin_arc", interface=arc, config="config.json")


@pytest.mark.parametrize(
    ("options", "threads"), [({}, "1"), ({"slots": 2}, "2"), ({"slots": 2, "inner_max_num_threads": 4}, "4")]
)
def test_libraries_use_as_many_threads_as_the_job_has_slots(
    arc: ArcInterface, options: dict[str, Any], threads: str
) -> None:
    with parallel_config("jasmin_arc", interface=arc, modules=HERE, **options):
        assert Parallel(n_jobs=2)(delayed(variable)("OMP_NUM_THREADS") for _ in range(2)) == [threads] * 2


def loop(backend: str) -> bool:
    """Whether a loop in a call runs in the same process."""
    return {os.getpid()} == set(Parallel(n_jobs=2, backend=backend)(delayed(process)(number) for number in range(2)))


def test_a_loop_in_a_job_runs_in_that_job(arc: ArcInterface) -> None:
    with parallel_config("jasmin_arc", interface=arc, modules=HERE):
        assert Parallel()(delayed(loop)(backend) for backend in (None, "jasmin_arc")) == [True, True]


def test_short_calls_become_batches(arc: ArcInterface, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[int] = []
    submit = arc.backend.submit

    def count(descriptions: Any, **options: Any) -> Any:
        jobs.append(len(descriptions))
        return submit(descriptions, **options)

    monkeypatch.setattr(arc.backend, "submit", count)
    with parallel_config("jasmin_arc", interface=arc):
        assert Parallel(n_jobs=2)(delayed(abs)(-number) for number in range(500)) == list(range(500))
    assert sum(jobs) < 50


@pytest.mark.parametrize("option", ["cache", "name"])
def test_calls_are_known_again(arc: ArcInterface, tmp_path: Path, option: str) -> None:
    value = str(tmp_path / "cache") if option == "cache" else "sweep"
    found = []
    for count in (10, 20):
        with parallel_config("jasmin_arc", interface=arc, modules=HERE, **{option: value}):
            found.append(Parallel()(delayed(process)(number) for number in range(count)))
    assert found[0] == found[1][:10]


def test_tracebacks_on_the_node_can_show_the_lines_of_the_users_function() -> None:
    batch = BatchedCalls([delayed(inverse)(0)], (SequentialBackend(), None))
    assert Packer(HERE).function(_known_as_its_call(batch)).source == (__file__, Path(__file__).read_text())


def test_an_error_is_raised_with_where_it_happened_and_ends_the_other_jobs(arc: ArcInterface) -> None:
    began = time.monotonic()
    with parallel_config("jasmin_arc", interface=arc, modules=HERE), pytest.raises(ZeroDivisionError) as caught:
        Parallel()([delayed(time.sleep)(300), delayed(inverse)(0)])
    assert time.monotonic() - began < 100
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "return 1 / number" in str(caught.value.__cause__)
    # Those that died are kept, and can be looked at.
    left = arc.jobs()
    assert [job.name for job in left] == ["sleep"]
    left.wait(timeout=60)
    assert left[0].status is JobStatuses.FAILED


def test_scikit_learn_searches_on_a_grid(arc: ArcInterface) -> None:
    from sklearn.datasets import load_iris
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    search = GridSearchCV(SVC(), {"C": [0.1, 1.0], "kernel": ["linear", "rbf"]}, cv=2)
    with parallel_config("jasmin_arc", interface=arc):
        search.fit(*load_iris(return_X_y=True))
    alone = GridSearchCV(SVC(), search.param_grid, cv=2).fit(*load_iris(return_X_y=True))
    assert search.best_params_ == alone.best_params_
    assert list(search.cv_results_["mean_test_score"]) == list(alone.cv_results_["mean_test_score"])


LOOP = """
import time
from joblib import Parallel, delayed, parallel_config
import jasmin_arc.joblib
jasmin_arc.joblib.register()
if __name__ == "__main__":
    with parallel_config("jasmin_arc"):
        Parallel(n_jobs=3)(delayed(time.sleep)(300) for _ in range(10))
"""


@pytest.fixture
def program(arc: ArcInterface, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "config.json").write_text(json.dumps(arc.config.as_dict()))
    environment = {**os.environ, "JASMIN_ARC_CONFIG": str(tmp_path / "config.json"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LOOP]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as program:
        yield program
        program.kill()


def test_ctrl_c_cancels_the_jobs(arc: ArcInterface, program: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while len(arc.list_jobs()) < 3:
        assert time.monotonic() < until
        time.sleep(0.1)
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=60)
    assert program.returncode
    assert errors.rstrip().endswith("KeyboardInterrupt")
    jobs = arc.jobs()
    jobs.wait(timeout=60)
    assert [job.status for job in jobs] == [JobStatuses.FAILED] * 3


def test_the_library_does_without_joblib() -> None:
    check = "import sys, jasmin_arc, jasmin_arc.executor; sys.exit('joblib' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
