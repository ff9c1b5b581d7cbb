"""Several requests at once, in threads that a Ctrl-C does not have to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import TypeVar, Union

from jasmin_arc.backends.rest.deadline import stopped_by
from jasmin_arc.exceptions import JasminArcError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Outcome = Union[_Result, BaseException]


def run_all(
    action: Callable[[_Item], _Result], items: Iterable[_Item], *, workers: int
) -> list[_Result | JasminArcError]:
    """Do something with each item and return the results in order, or the errors.

    An error that is not of this library ends all of it and is raised, and so does Ctrl-C: what is under way is told to
    stop, but not waited for.
    """
    tasks = list(items)
    if len(tasks) <= 1 or workers <= 1:
        return [_caught(action, item) for item in tasks]
    waiting: SimpleQueue[tuple[int, _Item]] = SimpleQueue()
    for task in enumerate(tasks):
        waiting.put(task)
    done: SimpleQueue[tuple[int, _Outcome[_Result]]] = SimpleQueue()
    stop = threading.Event()
    for _ in range(min(workers, len(tasks))):
        threading.Thread(target=_work, args=(action, waiting, done, stop), daemon=True).start()
    results: dict[int, _Result | JasminArcError] = {}
    try:
        while len(results) < len(tasks):
            index, outcome = done.get()
            if isinstance(outcome, BaseException) and not isinstance(outcome, JasminArcError):
                raise outcome
            results[index] = outcome
    finally:
        stop.set()
    return [results[index] for index in range(len(tasks))]


def _caught(action: Callable[[_Item], _Result], item: _Item) -> _Result | JasminArcError:
    try:
        return action(item)
    except JasminArcError as error:
        return error


def _work(
    action: Callable[[_Item], _Result],
    waiting: SimpleQueue[tuple[int, _Item]],
    done: SimpleQueue[tuple[int, _Outcome[_Result]]],
    stop: threading.Event,
) -> None:
    with stopped_by(stop):
        while not stop.is_set():
            try:
                index, item = waiting.get_nowait()
            except Empty:
                return
            try:
                done.put((index, action(item)))
            except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
                done.put((index, error))
