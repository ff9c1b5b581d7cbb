"""An executor that looks like those of the standard library, for the standard library's own tests of executors."""

from __future__ import annotations

import concurrent.futures
import os
import time
from concurrent.futures import Future
from typing import Any

from jasmin_arc import ArcInterface
from jasmin_arc.executor import JobExecutor, JobFuture


class JobPoolExecutor(JobExecutor):
    """Takes ``max_workers``, has an interface of its own, configured by the environment, and shows what is printed."""

    # A call is submitted at once, so that some run when the others are cancelled.
    _window = 0.0

    def __init__(self, max_workers: int | None = None) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        # Jobs find the tests' own functions where this process finds them.
        environment = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        super().__init__(ArcInterface(log=None), max_in_flight=max_workers or 5, environment=environment)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> JobFuture:
        future = super().submit(fn, *args, **kwargs)
        future.add_done_callback(_print_what_it_printed)
        # Let the thread that sends have its turn: a worker of the standard library's begins at once.
        time.sleep(0.001)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            self.interface.close()


def _print_what_it_printed(future: Future[Any]) -> None:
    if isinstance(future, JobFuture) and future.job is not None:
        print(future.job.stdout(), end="")


def install() -> None:
    """Put it where the programs of those tests import their executors from."""
    concurrent.futures.JobPoolExecutor = JobPoolExecutor  # type: ignore[attr-defined]
