"""joblib's parallel loops, and so scikit-learn's, as jobs: ``register()``, then ``parallel_config("jasmin_arc")``."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from joblib.parallel import ParallelBackendBase, SequentialBackend, register_parallel_backend

from jasmin_arc.arc_interface import ArcInterface
from jasmin_arc.executor import JobExecutor, JobFuture, check_options

__all__ = ["JasminArcBackend", "register"]

_NAME = "jasmin_arc"
_MOST = 1000
"""How many jobs ``n_jobs=-1`` means, where no ``max_in_flight`` is given"""
_MOST_CALLS = 10_000
"""Of one batch"""
_OF_JOBLIB = frozenset({"context", "max_nbytes", "mmap_mode", "prefer", "require", "temp_folder", "verbose"})
"""What joblib tells every backend, about processes and memory of one machine"""


def register() -> None:
    """Make the backend ``"jasmin_arc"`` known to joblib, for this process."""
    register_parallel_backend(_NAME, JasminArcBackend)


class JasminArcBackend(ParallelBackendBase):  # type: ignore[misc]
    """A backend of joblib whose calls run as jobs, each parallel loop on an executor of its own.

    joblib makes it where ``parallel_config("jasmin_arc", ...)`` or ``Parallel(backend="jasmin_arc", ...)`` says so, and
    passes the options on. ``n_jobs`` is how many jobs there are at a time; ``-1``, the default, is as many as
    ``max_in_flight`` says, and with ``1`` joblib makes the calls here, without a job. A loop inside a job runs in that
    job, one call after the other, or in threads if the job has several slots. When a call fails, or the loop is
    interrupted, the jobs of the others are cancelled.

    :param nesting_level: how many loops are around this one; joblib says so
    :param inner_max_num_threads: how many threads numerical libraries may use in a job; as many as the job has slots if
        not given
    :param interface: the interface whose jobs they are
    :param config: instead of an interface: its configuration, as a path or a mapping; without either, the default
        configuration is taken
    :param options: options of :class:`~jasmin_arc.executor.JobExecutor`, such as ``memory``, ``wall_time``, ``modules``
        and ``chunk``
    :raises TypeError: if there is no such option
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    default_n_jobs = -1

    def __init__(
        self,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        *,
        interface: ArcInterface | None = None,
        config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self._options = {"interface": interface, "config": config, **options}
        _check(self._options)
        self._chosen = self._options
        self._n_jobs = 1
        # joblib's own name for it.
        self._workers: JobExecutor | None = None
        self._own_interface: ArcInterface | None = None
        self._seconds: float | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many jobs there may be at a time."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None or n_jobs < 0:
            return max(int(self._chosen.get("max_in_flight", _MOST)) + 1 + (n_jobs or -1), 1)
        return n_jobs

    def configure(self, n_jobs: int | None = 1, parallel: Any = None, **options: Any) -> int:
        """Take the options of one ``Parallel``, and return how many jobs there may be at a time."""
        given = {name: value for name, value in options.items() if name not in _OF_JOBLIB}
        self._chosen = {**self._options, **given}
        _check(self._chosen)
        self.parallel = parallel
        self._n_jobs = self.effective_n_jobs(n_jobs)
        self._seconds = None
        if self._n_jobs > 1:
            self._workers = self._make_executor()
        return self._n_jobs

    def submit(self, func: Any, callback: Callable[[Future[Any]], object] | None = None) -> JobFuture:
        """Have a batch of calls made in a job."""
        if self._workers is None:
            self._workers = self._make_executor()
        future = self._workers.submit(_known_as_its_call(func))
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, future: Future[Any]) -> list[Any]:
        """Return what the calls of a batch returned, or raise what one of them raised."""
        results: list[Any]
        results, seconds = future.result()
        each = seconds / max(len(results), 1)
        # Later calls count for more: they may have other arguments.
        self._seconds = each if self._seconds is None else self._seconds + (each - self._seconds) / 4
        return results

    def compute_batch_size(self) -> int:
        """Return how many calls become one batch, so that a job is worth its start."""
        # Those that are known again must be the same batches the next time.
        is_fixed = any(self._chosen.get(name) is not None for name in ("name", "cache"))
        if is_fixed or self._seconds is None or self._workers is None or self._chosen.get("chunk", "auto") != "auto":
            return 1
        return max(1, min(_MOST_CALLS, int(self._workers.worthwhile / max(self._seconds, 1e-6))))

    def get_nested_backend(self) -> tuple[ParallelBackendBase, None]:
        """Return the backend for loops inside a job."""
        if (self._chosen.get("slots") or 1) > 1:
            in_threads: tuple[ParallelBackendBase, None] = super().get_nested_backend()
            return in_threads
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel all jobs: joblib drops their results."""
        if self._workers is not None:
            self._workers.abort("a parallel loop of joblib has failed, or was stopped")
        self.terminate()
        if ensure_ready:
            self._workers = self._make_executor()

    def terminate(self) -> None:
        """End the executor, once its jobs are erased."""
        if self._workers is not None:
            self._workers.shutdown()
            self._workers = None
        if self._own_interface is not None:
            self._own_interface.close()
            self._own_interface = None

    def _make_executor(self) -> JobExecutor:
        options = {name: value for name, value in self._chosen.items() if name not in ("interface", "config")}
        interface = self._chosen["interface"]
        if interface is None:
            interface = self._own_interface = _interface(self._chosen["config"])
        threads = str(self.inner_max_num_threads or options.get("slots") or 1)
        environment = {**dict.fromkeys(self.MAX_NUM_THREADS_VARS, threads), **options.pop("environment", {})}
        options["max_in_flight"] = self._n_jobs
        return JobExecutor(interface, environment=environment, **options)


def _check(options: Mapping[str, Any]) -> None:
    if options["interface"] is not None and options["config"] is not None:
        raise TypeError("give either interface or config, not both")
    check_options(options, also=("interface", "config"))


def _interface(config: str | os.PathLike[str] | Mapping[str, Any] | None) -> ArcInterface:
    # Its log would go between what joblib and the user print.
    if isinstance(config, Mapping):
        return ArcInterface(config=config, log=None)
    return ArcInterface(config, log=None)


def _known_as_its_call(batch: Any) -> Callable[[], tuple[list[Any], float]]:
    """Let the job have the name of the user's function, and measure how long its calls take."""
    name = _NAME

    # A function in a function travels by value: the node needs joblib, and nothing of this package.
    @functools.wraps(batch.items[0][0], updated=())
    def call() -> tuple[list[Any], float]:
        # A loop inside the job that names the backend runs there as well.
        register_parallel_backend(name, lambda nesting_level=None, **_: SequentialBackend(nesting_level=nesting_level))
        began = time.perf_counter()
        results = batch()
        return results, time.perf_counter() - began

    # Batches of one size take about as long as each other.
    call.__qualname__ = f"{len(batch)} calls.{call.__qualname__}"
    return call
