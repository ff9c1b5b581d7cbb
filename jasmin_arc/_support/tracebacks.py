"""What a user sees of an error: the user's own lines and the message, not the inside of this library."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from jasmin_arc.exceptions import JasminArcError

_Class = TypeVar("_Class", bound=type)
_Error = TypeVar("_Error", bound=BaseException)


def shortens_tracebacks(cls: _Class) -> _Class:
    """Let errors leave the public methods and properties of a class without the frames inside this library.

    What led to an error stays its ``__context__``, which Python does not print then. Where the object's logger shows
    DEBUG messages, errors are left as they are.
    """
    for name, value in list(vars(cls).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(value, property) and value.fget is not None:
            setattr(cls, name, value.getter(_shortened(value.fget)))
        elif inspect.isfunction(value):
            setattr(cls, name, _shortened(value))
    return cls


def interrupted(message: str) -> KeyboardInterrupt:
    """Return what ends an interrupted wait. A notebook shows the message alone."""
    return in_one_line(KeyboardInterrupt(message), message)


def retell(error: KeyboardInterrupt, message: str) -> None:
    """Let what ends an interrupted program say something else, where a notebook shows it in one line, there too."""
    error.args = (message,)
    if "_render_traceback_" in vars(error):
        in_one_line(error, message)


def in_one_line(error: _Error, message: str) -> _Error:
    """Let a notebook show the error as this message alone, without a traceback."""
    # IPython asks each error for this.
    vars(error)["_render_traceback_"] = lambda: [f"{type(error).__name__}: {message}"]
    return error


def _shortened(function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return await function(self, *args, **kwargs)
            except (JasminArcError, KeyboardInterrupt) as error:
                raise _cut(error, self)

        return call_async
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generate(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                yield from function(self, *args, **kwargs)
            except (JasminArcError, KeyboardInterrupt) as error:
                raise _cut(error, self)

        return generate

    @functools.wraps(function)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(self, *args, **kwargs)
        except (JasminArcError, KeyboardInterrupt) as error:
            raise _cut(error, self)

    return call


def _cut(error: BaseException, caller: object) -> BaseException:
    logger = getattr(getattr(caller, "interface", caller), "logger", None)
    if logger is not None and logger.isEnabledFor(logging.DEBUG):
        return error
    if error.__cause__ is not None:
        error.__context__, error.__cause__ = error.__cause__, None
    return error.with_traceback(None)
