"""A call on its way: its future, and the job that makes it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jasmin_arc._support.text import excerpt
from jasmin_arc._support.tracebacks import interrupted, shortens_tracebacks
from jasmin_arc.constants import STDERR_NAME, STDOUT_NAME, JobState, JobStatuses
from jasmin_arc.exceptions import JobNotFoundError
from jasmin_arc.functions.packing import Call
from jasmin_arc.functions.results import RETURNED, Outcome
from jasmin_arc.job import Job

if TYPE_CHECKING:
    from jasmin_arc.arc_interface import ArcInterface
    from jasmin_arc.explain import Explanation
    from jasmin_arc.job_info import JobInfo


class RemoteTraceback(Exception):
    """Where a function raised its exception on the node, as text; it is the cause of that exception."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@shortens_tracebacks
class FunctionJob(Job):
    """The job of a call, or of several. It is erased once the results are here; its status and what it printed stay."""

    def __init__(self, interface: ArcInterface, job_id: str, name: str | None = None) -> None:
        super().__init__(interface, job_id, name)
        self._end: JobState | None = None
        self._texts: dict[str, bytes] = {}

    def _ended(self, state: JobState, printed: tuple[bytes | None, bytes | None]) -> None:
        self._texts = {name: text for name, text in zip((STDOUT_NAME, STDERR_NAME), printed) if text is not None}
        self._end = state
        self._told(state.status, state)

    def info(self) -> JobInfo:
        """Return what is known of the job; see ``ArcInterface.get_job_info``.

        :raises JobNotFoundError: if the results are here, as the job was then erased
        """
        with self._told_if_erased():
            return super().info()

    def explain(self) -> Explanation:
        """Say why the job failed, or why it has not ended yet; see ``ArcInterface.explain``.

        :raises JobNotFoundError: if the results are here, as the job was then erased
        """
        with self._told_if_erased():
            return super().explain()

    @contextmanager
    def _told_if_erased(self) -> Iterator[None]:
        try:
            yield
        except JobNotFoundError as error:
            if self._end is None:
                raise
            raise JobNotFoundError(
                f"the job {excerpt(self.name)} has made its calls, and was erased",
                advice="what it printed stays: stdout(), stderr()",
            ) from error

    @property
    def status(self) -> JobStatuses:
        """The present status, or the last one."""
        return self._end.status if self._end is not None else super().status

    def wait(self, *, timeout: float | None = None, check: bool = False) -> JobStatuses:
        """Return the status once the job has ended; see ``ArcInterface.wait``."""
        if self._end is JobState.FINISHED:
            return self._end.status
        return super().wait(timeout=timeout, check=check)

    def read(self, name: str = STDOUT_NAME, *, limit: int | None = None) -> str:
        """Return the text of one of the job's files. Of long standard output and error, the last MiB is kept."""
        if name in self._texts:
            return self._texts[name][:limit].decode("utf-8", "replace")
        return super().read(name, limit=limit)


class JobFuture(Future[Any]):
    """The future of a call.

    :ivar job: the :class:`~jasmin_arc.job.Job` that makes the call, alone or with others; ``None`` until it is
        submitted. ``job.stdout()`` is what the function has printed, ``job.cancel()`` ends it
    """

    job: FunctionJob | None = None

    def result(self, timeout: float | None = None) -> Any:
        """Return what the function returned, or raise what it raised.

        :param timeout: the most seconds to wait
        :raises JobFailedError: if the job did not come to the end of the call; the message says why
        :raises concurrent.futures.CancelledError: if the call was cancelled before it was submitted
        :raises TimeoutError: if time is up; the call is still made
        :raises KeyboardInterrupt: at Ctrl-C; the call is still made
        """
        try:
            return super().result(timeout)
        except KeyboardInterrupt:
            if self.done():
                # It is what the function raised.
                raise
            raise interrupted("stopped; the call is still made: result() waits for it again") from None


@dataclass(eq=False)
class Task:
    """A call that is to be made."""

    future: JobFuture
    call: Call
    key: str = ""
    """What the call is, for an executor with a name"""
    digest: str = ""
    """What the call is, whichever executor makes it"""
    size: int | None = None
    """How many such calls its job gets; ``None`` where the executor decides"""
    number: int = 0
    lost: int = 0
    """How often it was lost with a job"""
    is_again: bool = False
    """Whether it is made again if the job that it finds has died"""

    @property
    def kind(self) -> str:
        """The calls that are put together with it."""
        return self.call.function.name

    def start(self) -> bool:
        """Say whether the call is still wanted; from here on it cannot be cancelled."""
        return self.future.running() or self.future.set_running_or_notify_cancel()

    def fail(self, error: BaseException) -> None:
        """Settle the future with an error, if the call is still wanted and nobody has settled it."""
        # Another thread may settle it first.
        with suppress(InvalidStateError, RuntimeError):
            if not self.future.done() and self.start():
                self.future.set_exception(error)

    def deliver(self, outcome: Outcome) -> None:
        """Settle the future. The result is kept nowhere else."""
        # Whoever leaves the executor settles all futures at once.
        with suppress(InvalidStateError):
            try:
                value = pickle.loads(outcome.content)
                if outcome.kind != RETURNED:
                    value, text = value
                    value.__cause__ = RemoteTraceback(text)
            # What is unpacked is the user's: it may be anything, and raise even what ends a thread.
            except BaseException as error:  # noqa: BLE001
                self.future.set_exception(error)
                return
            if outcome.kind == RETURNED:
                self.future.set_result(value)
            else:
                self.future.set_exception(value)
