"""What an executor knows of calls that were made before: those of its name, and those of its cache."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from jasmin_arc.exceptions import JasminArcError, JobFailedError
from jasmin_arc.functions.identity import recogniser
from jasmin_arc.functions.kept import Kept, Sweep
from jasmin_arc.functions.results import RAISED, RETURNED, Outcome
from jasmin_arc.functions.task import JobFuture, Task

Recogniser = Callable[[tuple[Any, ...], dict[str, Any]], str]
"""Returns a digest of the arguments, and of the function that they are for"""


class Memory:
    """Finds and keeps outcomes. Of equal calls of a named executor, each is known by its turn.

    :param by_value: the names of the modules whose functions travel
    :param rerun_failed: whether exceptions of earlier sessions count as nothing
    """

    def __init__(
        self,
        sweep: Sweep | None,
        cache: Kept | None,
        log: logging.Logger,
        *,
        by_value: Collection[str],
        rerun_failed: bool,
    ) -> None:
        self.sweep = sweep
        self._cache = cache
        self._log = log
        self._by_value = by_value
        self._rerun_failed = rerun_failed
        self._lock = threading.Lock()
        self._turns: Counter[str] = Counter()
        self._open: dict[str, JobFuture] = {}

    def recogniser(self, function: Callable[..., Any]) -> Recogniser | None:
        """Return what tells the calls of a function apart; nothing, if nothing is remembered.

        :raises TypeError: if the function uses something that cannot be compared, as an open file
        """
        if self.sweep is None and self._cache is None:
            return None
        return recogniser(function, by_value=self._by_value)

    def know(
        self,
        task: Task,
        recognise: Recogniser,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        turns: Counter[str] | None = None,
    ) -> None:
        """Note what the call is.

        :param turns: how many equal calls there were before; if not given, all that this executor had counts
        :raises TypeError: as :meth:`recogniser`, for an argument
        """
        task.digest = recognise(args, kwargs)
        if self.sweep is not None:
            turns = self._turns if turns is None else turns
            with self._lock:
                turns[task.digest] += 1
                turn = f"{task.digest} {turns[task.digest]}"
            task.key = hashlib.sha256(turn.encode("ascii")).hexdigest()

    def expect(self, task: Task) -> None:
        """Note that a call is being made. Whoever asks for it gets the same future."""
        if task.key:
            with self._lock:
                self._open[task.key] = task.future
            task.future.add_done_callback(partial(self._close, task.key))

    def _close(self, key: str, future: Future[Any]) -> None:
        # What was returned or raised is kept in files. Of a call that died, this is all that there is.
        is_died = not future.cancelled() and isinstance(future.exception(), JobFailedError)
        with self._lock:
            if not is_died or self._rerun_failed:
                self._open.pop(key, None)

    def future(self, task: Task) -> JobFuture | None:
        """Return the future of a call that is being made, or that has died."""
        with self._lock:
            return self._open.get(task.key)

    def find(self, task: Task) -> Outcome | None:
        """Return how the call went, if it was made before."""
        outcome = None
        if self.sweep is not None:
            outcome = self.sweep.results.find(task.key)
            if outcome is not None and outcome.kind == RAISED and self._rerun_failed:
                outcome = None
        if outcome is None and self._cache is not None:
            outcome = self._cache.find(task.digest)
        return outcome

    def keep(self, key: str, digest: str, outcome: Outcome) -> bool:
        """Keep how a call went, and say whether that succeeded. The result is there all the same."""
        try:
            if self.sweep is not None and key:
                self.sweep.results.keep(key, outcome)
            if self._cache is not None and digest and outcome.kind == RETURNED:
                self._cache.keep(digest, outcome)
        except JasminArcError as error:
            self._log.warning("a result is here, but cannot be kept for later: %s", error)
            return False
        return True

    def plan(self, tasks: Sequence[Task]) -> str:
        """Write down which calls a job is about to make; the answer belongs into the job's name."""
        return self.sweep.plan([task.key for task in tasks]) if self.sweep is not None else ""

    def close(self) -> None:
        """Let other processes use the name."""
        if self.sweep is not None:
            self.sweep.close()
