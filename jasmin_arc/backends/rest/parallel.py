"""Several requests at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from jasmin_arc.exceptions import JasminArcError
from jasmin_arc.parallel import Crew

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def run_all(
    action: Callable[[_Item], _Result], items: Iterable[_Item], *, workers: int
) -> list[_Result | JasminArcError]:
    """Do something with each item and return the results in order, or this library's errors.

    Any other error ends all of it and is raised, and so does Ctrl-C.
    """
    tasks = list(items)
    if len(tasks) <= 1:
        return [_caught(action, item) for item in tasks]
    results: dict[int, _Result | JasminArcError] = {}

    def task(index: int, item: _Item) -> None:
        results[index] = _caught(action, item)

    with Crew(workers) as crew:
        for index, item in enumerate(tasks):
            crew.add(lambda index=index, item=item: task(index, item))  # type: ignore[misc]
        crew.wait()
    return [results[index] for index in range(len(tasks))]


def _caught(action: Callable[[_Item], _Result], item: _Item) -> _Result | JasminArcError:
    try:
        return action(item)
    except JasminArcError as error:
        return error
