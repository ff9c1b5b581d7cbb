"""Python functions as jobs, through the interface of the standard library's ``concurrent.futures``."""

from __future__ import annotations

import functools
import itertools
import os
import re
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Literal

from jasmin_arc._support.suggestions import unknown_keyword
from jasmin_arc._support.text import counted
from jasmin_arc._support.tracebacks import interrupted, retell
from jasmin_arc.description import JobDescription
from jasmin_arc.description.keywords import ELSEWHERE
from jasmin_arc.exceptions import InvalidJobDescription, JasminArcError
from jasmin_arc.functions.dispatcher import Dispatcher
from jasmin_arc.functions.ended import erase
from jasmin_arc.functions.grouping import Grouping
from jasmin_arc.functions.kept import Kept, Sweep
from jasmin_arc.functions.memory import Memory, Recogniser
from jasmin_arc.functions.packing import ARCHIVE_NAME, Call, Packed, Packer, archive
from jasmin_arc.functions.results import RESULTS_NAME
from jasmin_arc.functions.task import FunctionJob, JobFuture, RemoteTraceback, Task

if TYPE_CHECKING:
    from jasmin_arc.arc_interface import ArcInterface

__all__ = ["FunctionJob", "JobExecutor", "JobFuture", "RemoteTraceback"]

_FIELDS = (
    *("inputs", "environment", "queue", "account", "slots", "slots_per_host", "memory", "wall_time", "cpu_time"),
    *("runtime_environments", "native"),
)
"""The fields of a job description that can be chosen"""
_OWN = ("max_in_flight", "python", "modules", "name", "cache", "retries", "chunk", "rerun_failed", "progress")
_ELSEWHERE = {**ELSEWHERE, "max_workers": "max_in_flight", "n_jobs": "max_in_flight"}
"""What other executors call an option"""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_named: weakref.WeakValueDictionary[str, Dispatcher] = weakref.WeakValueDictionary()
"""By their folders, those of this process that have a name"""
_WINDOW = 0.05
"""Seconds for which calls are gathered, to be submitted together"""
_AUTHENTICATED_FOR = 30.0
"""Seconds between two looks at the credentials"""
_LONGEST = 4.0
"""How many times as long as planned a job of short calls goes on to begin further ones"""
_AT_ONCE = 1000
"""How many calls of one ``map`` are packed before they are handed on"""


class JobExecutor(Executor):
    """Runs Python functions as jobs: an executor of :mod:`concurrent.futures`, made by ``ArcInterface.executor``.

    Functions and arguments travel by cloudpickle, and so does the result. Threads may share an executor.

    A result is loaded with ``pickle``, which can run any code, so it is only ever read from the user's own jobs and
    folders.

    :param interface: the interface whose jobs they are
    :param max_in_flight: how many jobs are submitted and have not ended, at most
    :param python: the Python that runs on the node; it must have the version of the Python that sends, such as 3.11. On
        this machine, ``python3`` is the Python that sends
    :param modules: modules of yours, or their names, whose functions and classes travel with the call, as those of a
        notebook or script do; all others must be installed on the node
    :param name: a name under which the calls are known: the same calls, after a restart of the kernel, lead to the jobs
        and results that there are. Nothing runs twice
    :param cache: a folder that keeps results: a call that was made before, by any executor with this folder, is not
        made again
    :param retries: how often a call is made again whose job was lost, as with its node. What a function raises is not
        tried again
    :param chunk: how many calls one job makes; with ``"auto"``, short ones are put together so that a job lasts a
        minute, or a second on this machine, once it is known how long they take
    :param rerun_failed: with ``name``: make those calls again that failed before
    :param progress: show a progress bar
    :param fields: fields of each job: ``inputs``, ``environment``, ``queue``, ``account``, ``slots``,
        ``slots_per_host``, ``memory``, ``wall_time``, ``cpu_time``, ``runtime_environments`` and ``native``; see
        :class:`~jasmin_arc.description.JobDescription`
    :raises TypeError: if there is no such option
    :raises ValueError: if a value is impossible
    :raises JasminArcError: if cloudpickle is not installed
    """

    _window = _WINDOW

    def __init__(
        self,
        interface: ArcInterface,
        *,
        max_in_flight: int = 1000,
        python: str = "python3",
        modules: Iterable[ModuleType | str] | ModuleType | str = (),
        name: str | None = None,
        cache: str | os.PathLike[str] | None = None,
        retries: int = 0,
        chunk: int | Literal["auto"] = "auto",
        rerun_failed: bool = False,
        progress: bool = False,
        **fields: Any,
    ) -> None:
        check_options(fields)
        _check_number("max_in_flight", max_in_flight, least=1)
        _check_number("retries", retries, least=0)
        if isinstance(chunk, str) and chunk != "auto":
            raise TypeError(f'chunk must be a whole number or "auto", not {chunk!r}')
        if chunk != "auto":
            _check_number("chunk", chunk, least=1)
        self.interface = interface
        self._authenticated = float("-inf")
        self._max_workers = max_in_flight
        self._packer = Packer(modules)
        backend = interface.backend
        program = backend.python if python == "python3" else python
        self._prototype = JobDescription(program, [ARCHIVE_NAME], outputs=[RESULTS_NAME], **fields)
        if ARCHIVE_NAME in self._prototype.inputs:
            raise InvalidJobDescription(f"inputs: {ARCHIVE_NAME!r} is the name of the functions' own file")
        wall_time = self._prototype.wall_time
        half = wall_time.total_seconds() / 2 if wall_time else float("inf")
        self.worthwhile = min(backend.worthwhile, half)
        longest = min(_LONGEST * backend.worthwhile, half) if chunk == "auto" else None
        grouping = Grouping(None if chunk == "auto" else chunk, target=self.worthwhile)
        self.name = name
        self._rerun_failed = rerun_failed
        self._memory = self._make_memory(name, cache)
        self._dispatcher = Dispatcher(
            interface,
            _Description(self._prototype, name or "", self._memory, longest),
            grouping,
            max_in_flight=max_in_flight,
            retries=retries,
            window=self._window,
            progress=progress,
            keep=self._memory.keep,
            at_end=self._memory.close,
        )
        # An executor that nobody holds any more takes no calls; those that it has are made.
        weakref.finalize(self, self._dispatcher.close).atexit = False
        if self._memory.sweep is not None:
            _named[str(self._memory.sweep.folder)] = self._dispatcher
            self._take_up(name or "", self._memory.sweep)

    def _make_memory(self, name: str | None, cache: str | os.PathLike[str] | None) -> Memory:
        by_value = {module.__name__ for module in self._packer.modules}
        kept = None if cache is None else Kept(Path(cache).expanduser())
        sweep = None
        if name is not None:
            if not isinstance(name, str):
                raise TypeError(f"name must be a text, not {name!r}")
            if not _NAME.fullmatch(name):
                raise ValueError(f"name: must be of letters, digits, points, hyphens and underscores, not {name!r}")
            folder = Path(f"{os.path.realpath(self.interface.config.JOBS_INFO_FILE)}.sweeps") / name
            # The cell of a notebook may run again: its jobs are those of the newest executor.
            former = _named.pop(str(folder), None)
            if former is not None:
                former.leave("another executor has taken over its name", seconds=None)
            sweep = Sweep(folder)
        return Memory(sweep, kept, self.interface.logger, by_value=by_value, rerun_failed=self._rerun_failed)

    def _take_up(self, name: str, sweep: Sweep) -> None:
        """Find the jobs that earlier sessions have submitted under this name."""
        interface = self.interface
        endpoint = interface.backend.endpoint
        if any(record.abandoned for record in interface.job_list.unfinished(endpoint)):
            interface.recover()
        done = []
        for job in interface.job_list.select(endpoint, name=f"{name}-*"):
            plan = job.name[len(name) + 1 :]
            keys = sweep.planned(plan)
            if keys is None or job.id is None:
                continue
            if all(sweep.results.find(key) is not None for key in keys):
                done.append(job.id)
            else:
                self._dispatcher.adopt(job.id, job.name, keys)
        erase(interface, done)
        # Jobs at another place may have the name, too.
        jobs = interface.job_list.select(None, name=f"{name}-*")
        sweep.drop_other_plans({job.name[len(name) + 1 :] for job in jobs})

    def __repr__(self) -> str:
        waiting, in_flight = self._dispatcher.load()
        name = f" {self.name!r}" if self.name else ""
        return f"<JobExecutor{name}: {counted(waiting, 'call')} to submit, {counted(in_flight, 'job')} submitted>"

    def forget(self) -> None:
        """Erase the results that are kept under the name of this executor: the same calls will be made again."""
        if self._memory.sweep is not None:
            self._memory.sweep.forget()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        if exc_type is None or not issubclass(exc_type, KeyboardInterrupt):
            try:
                self.shutdown(wait=True)
            except KeyboardInterrupt:
                raise interrupted(self._leave("the program was interrupted")) from None
            return
        told = self._leave("the program was interrupted")
        if isinstance(exc_val, KeyboardInterrupt):
            # What a wait has said of the calls is not true any more.
            retell(exc_val, told)

    def abort(self, why: str) -> None:
        """Take no more calls, fail those that have no result yet, and cancel their jobs.

        The jobs of an executor with a name go on: an executor of the same name finds them.

        :param why: the reason, which the futures' exception tells
        """
        self.interface.logger.warning(self._leave(why))

    def _leave(self, why: str) -> str:
        if self._dispatcher.is_of_the_parent:
            return "stopped; the jobs are those of the process that forked"
        going_on = self._dispatcher.leave(why)
        if not going_on:
            return "stopped"
        is_one = len(going_on) == 1
        jobs = counted(len(going_on), "job")
        if self._memory.sweep is not None:
            on, them = ("goes on", "it") if is_one else ("go on", "them")
            return f"stopped; {jobs} {on}: an executor of the same name finds {them}"
        # Nobody could get their results.
        try:
            self.interface.cancel_jobs(going_on)
        except JasminArcError as error:
            return f"stopped; {jobs} may go on, as they could not be cancelled: {error}"
        return f"stopped; {jobs} {'was' if is_one else 'were'} cancelled"

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> JobFuture:
        """Have a function called in a job, and return a future of its result.

        :raises RuntimeError: after :meth:`shutdown`, and when the interpreter ends
        :raises CredentialsError: if there are no credentials to submit with
        """
        self._dispatcher.refuse_if_over()
        future, task = self._task(lambda: self._prepare(fn), args, kwargs)
        self._add([task] if task is not None else [])
        return future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: bool = False,
    ) -> Iterator[Any]:
        """Have a function called for each item, in jobs, and yield the results in the order of the items.

        The calls are submitted at once. Leaving the loop before its end cancels those that are not submitted yet.

        :param timeout: the most seconds to wait for all results, from now on
        :param chunksize: how many calls one job makes; 1 leaves that to the executor
        :param buffersize: take an item only when fewer calls than this have no result that was yielded
        :param progress: show a progress bar for all calls of this executor
        :raises TimeoutError: if time is up
        """
        end = None if timeout is None else time.monotonic() + timeout
        _check_number("chunksize", chunksize, least=1)
        if buffersize is not None:
            _check_number("buffersize", buffersize, least=1)
        self._dispatcher.refuse_if_over()
        if progress:
            self._dispatcher.progress.show()
        function = functools.cache(lambda: self._prepare(fn))
        calls = zip(*iterables)
        # The same map again leads to the same calls.
        turns: Counter[str] = Counter()

        def submit(number: int | None) -> list[JobFuture]:
            futures: list[JobFuture] = []
            tasks = []
            for args in itertools.islice(calls, number):
                future, task = self._task(function, args, {}, size=chunksize if chunksize > 1 else None, turns=turns)
                futures.append(future)
                tasks.append(task)
                if len(tasks) == _AT_ONCE:
                    self._add(task for task in tasks if task is not None)
                    tasks.clear()
            self._add(task for task in tasks if task is not None)
            return futures

        waiting = deque(submit(buffersize))

        def results() -> Iterator[Any]:
            try:
                while waiting:
                    if buffersize is not None:
                        waiting.extend(submit(1))
                    yield _result_of(waiting.popleft(), None if end is None else end - time.monotonic())
            finally:
                for future in waiting:
                    future.cancel()

        return results()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls.

        :param wait: return once all calls are made
        :param cancel_futures: cancel the calls that are not submitted yet
        """
        self._dispatcher.close(cancel=cancel_futures)
        if wait:
            self._dispatcher.join()

    def _prepare(self, function: Callable[..., Any]) -> tuple[Packed, Recogniser | None]:
        return self._packer.function(function), self._memory.recogniser(function)

    def _task(
        self,
        prepared: Callable[[], tuple[Packed, Recogniser | None]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        size: int | None = None,
        turns: Counter[str] | None = None,
    ) -> tuple[JobFuture, Task | None]:
        """Return the future of a call, and the call if it is to be sent.

        It is not, where the outcome is known, where a job makes the call, and where it cannot be packed: that is the
        future's exception.
        """
        future = JobFuture()
        try:
            function, recognise = prepared()
            task = Task(future, Call(function, self._packer.arguments(args, kwargs)), size=size)
            if recognise is None:
                return future, task
            self._memory.know(task, recognise, args, kwargs, turns)
            same = self._memory.future(task)
            outcome = self._memory.find(task) if same is None else None
        except Exception as error:  # noqa: BLE001 - a class of the user's may raise anything
            future.set_running_or_notify_cancel()
            future.set_exception(error)
            return future, None
        if same is not None:
            return same, None
        task.is_again = self._rerun_failed
        if outcome is None and self._dispatcher.claim(task):
            self._memory.expect(task)
            return future, None
        # A job that was found may have ended meanwhile.
        outcome = outcome or (self._memory.find(task) if task.key else None)
        task.is_again = False
        if outcome is not None:
            future.set_running_or_notify_cancel()
            task.deliver(outcome)
            return future, None
        self._memory.expect(task)
        return future, task

    def _add(self, tasks: Iterable[Task]) -> None:
        new = list(tasks)
        if not new:
            return
        try:
            if time.monotonic() > self._authenticated + _AUTHENTICATED_FOR:
                # Here, where there is a user who can be asked for a passphrase.
                self.interface.backend.authenticate()
                self._authenticated = time.monotonic()
            self._dispatcher.add(new)
        except BaseException as error:
            for task in new:
                task.fail(error)
            raise


class _Description:
    """Makes the descriptions of jobs. It knows no executor, which can so be forgotten while its jobs run."""

    def __init__(self, prototype: JobDescription, name: str, memory: Memory, seconds: float | None) -> None:
        self._prototype = prototype
        self._name = name
        self._memory = memory
        self._seconds = seconds

    def __call__(self, tasks: Sequence[Task]) -> JobDescription:
        calls = [task.call for task in tasks]
        inputs = {
            **self._prototype.inputs,
            ARCHIVE_NAME: archive(calls, seconds=None if tasks[0].size else self._seconds),
        }
        name = calls[0].function.name.rpartition(".")[2].strip("<>")
        if self._name:
            name = f"{self._name}-{self._memory.plan(tasks)}"
        return self._prototype.replace(inputs=inputs, name=name).completed(())


def _result_of(future: Future[Any], seconds: float | None) -> Any:
    """Return the result, which is kept nowhere else; a call of which nobody wants the result any more is cancelled."""
    try:
        try:
            return future.result(seconds)
        finally:
            future.cancel()
    finally:
        # The traceback of an exception must not hold it.
        del future


def check_options(options: Iterable[str], *, also: Sequence[str] = ()) -> None:
    """Raise a TypeError for the name of an option that there is not.

    :param also: further names that whoever asks takes
    """
    names = [*_OWN, *_FIELDS, *also]
    for option in options:
        if option not in names:
            raise TypeError(unknown_keyword("executor", option, names, _ELSEWHERE))


def _check_number(name: str, value: object, *, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
