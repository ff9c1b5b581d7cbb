"""Packing functions and their arguments, and putting calls into the one file that a job of functions gets."""

from __future__ import annotations

import functools
import hashlib
import inspect
import io
import json
import linecache
import pickle
import sys
import threading
import weakref
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from jasmin_arc.exceptions import JasminArcError

ARCHIVE_NAME = "jasmin_arc_calls.pyz"
"""The input that holds the calls, and the program that makes them"""
_NODE = Path(__file__).parent / "node"
_MOST_SOURCE = 1 << 18
_registering = threading.Lock()


@dataclass(frozen=True)
class Packed:
    """A function, or its arguments, as it travels."""

    content: bytes
    modules: frozenset[str] = frozenset()
    """What has to be importable on the node, beside the standard library"""
    name: str = ""
    source: tuple[str, str] = ("", "")
    """The file that a function is from, and the text of that file, where the node may not have it"""

    @functools.cached_property
    def digest(self) -> str:
        """The same for equal contents."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Call:
    """A function with its arguments."""

    function: Packed = field(repr=False)
    arguments: Packed = field(repr=False)


class Packer:
    """Packs with cloudpickle: functions of ``__main__``, as of a notebook, and those of some modules by value.

    :param modules: the modules, or their names; of a single one, the list may be left out
    :raises JasminArcError: if cloudpickle is not installed
    """

    def __init__(self, modules: Iterable[ModuleType | str] | ModuleType | str = ()) -> None:
        self._cloudpickle = _cloudpickle()
        listed: Iterable[ModuleType | str] = (modules,) if isinstance(modules, (str, ModuleType)) else modules
        self.modules = [module if isinstance(module, ModuleType) else import_module(module) for module in listed]
        self._last: weakref.WeakValueDictionary[str, Packed] = weakref.WeakValueDictionary()
        self._texts: dict[str, tuple[list[str], str]] = {}

    def function(self, function: Callable[..., Any]) -> Packed:
        """Pack a function."""
        kind = function if hasattr(function, "__qualname__") else type(function)
        name = f"{kind.__module__}.{kind.__qualname__}"
        with _told(f"the function {kind.__qualname__}"):
            packed = self._pack(function)
        new = Packed(packed.content, packed.modules, name, self._source(function))
        # Ten thousand calls of a function that holds a large array must not hold ten thousand copies of it.
        last = self._last.get(name)
        if last == new:
            return last
        self._last[name] = new
        return new

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Packed:
        """Pack the arguments of one call."""
        with _told("an argument"):
            return self._pack((args, kwargs))

    def _pack(self, value: Any) -> Packed:
        buffer = io.BytesIO()
        with self._by_value():
            pickler = _noting()(buffer, protocol=pickle.HIGHEST_PROTOCOL)
            pickler.found = set()
            pickler.dump(value)
        own = {"__main__", "builtins", "", "None", *(module.__name__ for module in self.modules)}
        tops = {name.partition(".")[0] for name in pickler.found - own}
        known: frozenset[str] = getattr(sys, "stdlib_module_names", frozenset())
        return Packed(buffer.getvalue(), frozenset(tops - known - {"cloudpickle"}))

    @contextmanager
    def _by_value(self) -> Iterator[None]:
        """Let cloudpickle send the modules along. That is a setting of the whole process, so it is taken back."""
        if not self.modules:
            yield
            return
        with _registering:
            known = self._cloudpickle.list_registry_pickle_by_value()
            own = [module for module in self.modules if module.__name__ not in known]
            for module in own:
                self._cloudpickle.register_pickle_by_value(module)
            try:
                yield
            finally:
                for module in own:
                    self._cloudpickle.unregister_pickle_by_value(module)

    def _source(self, function: Callable[..., Any]) -> tuple[str, str]:
        # Of a function that was decorated, the user's own is shown.
        code = getattr(inspect.unwrap(function), "__code__", None)
        by_value = {"__main__", *(module.__name__ for module in self.modules)}
        if code is None or getattr(function, "__module__", None) not in by_value:
            return "", ""
        lines = linecache.getlines(code.co_filename)
        known, text = self._texts.get(code.co_filename, ([], ""))
        if known is not lines:
            text = "".join(lines)
            self._texts[code.co_filename] = lines, text
        return (code.co_filename, text) if 0 < len(text) <= _MOST_SOURCE else ("", "")


@functools.cache
def _noting() -> Any:
    """The pickler of cloudpickle, made to note the modules that are needed to unpack a value."""

    class Noting(_cloudpickle().Pickler):  # type: ignore[misc]
        found: set[str]

        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, ModuleType):
                self.found.add(value.__name__)
            elif isinstance(value, (type, FunctionType, BuiltinFunctionType)):
                self.found.add(str(getattr(value, "__module__", "")))
            return super().reducer_override(value)

    return Noting


def archive(calls: Sequence[Call], *, seconds: float | None = None) -> bytes:
    """Return the file for a job that makes these calls, in order: an archive that Python can run.

    :param seconds: after these no further call is begun; ``None`` for no limit
    """
    functions = {call.function.digest: call.function for call in calls}
    numbers = {digest: number for number, digest in enumerate(functions)}
    modules = {name for call in calls for name in (*call.function.modules, *call.arguments.modules)}
    header = {
        "python": list(sys.version_info[:2]),
        "modules": sorted(modules),
        "seconds": seconds,
        "sources": [function.source[0] for function in functions.values()],
        "tasks": [numbers[call.function.digest] for call in calls],
    }
    buffer = io.BytesIO(_program())
    with zipfile.ZipFile(buffer, "a") as file:
        file.writestr("header.json", json.dumps(header))
        for number, function in enumerate(functions.values()):
            file.writestr(f"functions/{number}", function.content)
            file.writestr(f"sources/{number}", function.source[1], zipfile.ZIP_DEFLATED)
        for number, call in enumerate(calls):
            file.writestr(f"tasks/{number}", call.arguments.content)
    return buffer.getvalue()


@functools.cache
def _program() -> bytes:
    """The part that is the same for all jobs: the program, and the cloudpickle of this installation."""
    buffer = io.BytesIO()
    package = Path(_cloudpickle().__file__).parent
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("__main__.py", "jasmin_arc_runner.py"):
            file.write(_NODE / name, name)
        for path in sorted(package.glob("*.py")):
            file.write(path, f"cloudpickle/{path.name}")
    return buffer.getvalue()


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Let the errors of pickle say what it was that cannot be packed."""
    try:
        yield
    except (TypeError, pickle.PicklingError) as error:
        kind = TypeError if isinstance(error, TypeError) else pickle.PicklingError
        raise kind(f"{what} cannot be sent: {error}") from error


def _cloudpickle() -> Any:
    try:
        return import_module("cloudpickle")
    except ImportError as error:
        raise JasminArcError(
            "Python functions as jobs need cloudpickle", advice="pip install 'jasmin-arc-py[functions]'"
        ) from error
