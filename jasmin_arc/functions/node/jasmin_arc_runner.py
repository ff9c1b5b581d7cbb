"""Calls the functions of a job one after the other, and writes each result down as soon as it is there."""

from __future__ import annotations

import json
import linecache
import os
import pickle
import stat
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, BinaryIO

import cloudpickle

_MOST_TEXT = 1 << 20
"""How many bytes of what was printed come back with the results: the last ones"""


class _Refused(Exception):
    """A function cannot be called here; the message is one sentence for the user."""


def run(archive: zipfile.ZipFile, header: Mapping[str, Any], path: str) -> None:
    """Call the functions that the header names, in its order."""
    # A function may bring modules along as inputs of the job; they lie in its folder.
    sys.path.insert(1, os.getcwd())
    functions: dict[int, Any] = {}
    modules = header["modules"]

    def call(number: int, which: int) -> tuple[str, bytes]:
        try:
            if which not in functions:
                functions[which] = _load(archive.read(f"functions/{which}"), modules)
                _show_source(header["sources"][which], archive.read(f"sources/{which}"))
            args, kwargs = _load(archive.read(f"tasks/{number}"), modules)
        except _Refused:
            raise
        # What is unpacked is the user's: it may raise even what would end this program.
        except BaseException as error:  # noqa: BLE001
            return "raised", _pack_error(error)
        return _call(functions[which], args, kwargs)

    own, started, most = os.getpid(), time.perf_counter(), header["seconds"]
    with open(path, "ab", buffering=0) as results:
        for number, which in enumerate(header["tasks"]):
            began = time.perf_counter()
            if number and most is not None and began - started > most:
                # The calls take longer than was thought: other jobs make the rest.
                break
            _write(results, {"kind": "began", "task": number})
            try:
                kind, content = call(number, which)
            except _Refused as refused:
                _write(results, {"kind": "refused", "task": number, "reason": str(refused)})
                continue
            if os.getpid() != own:
                # The function has forked, and returned twice. The parent goes on.
                os._exit(0)
            _flush()
            _write(results, {"kind": kind, "task": number, "seconds": time.perf_counter() - began}, content)
        printed = [_printed(1), _printed(2)]
        _write(results, {"kind": "end", "sizes": [None if text is None else len(text) for text in printed]}, *printed)


def _write(results: BinaryIO, head: dict[str, Any], *contents: bytes | None) -> None:
    """Write a record: a line, and the contents whose size it says. Where the job is killed, the last is cut short."""
    present = [content for content in contents if content is not None]
    head["size"] = sum(map(len, present))
    for content in (json.dumps(head).encode("ascii") + b"\n", *present):
        left = memoryview(content)
        while left:
            left = left[results.write(left) :]


def _call(function: Callable[..., Any], args: Any, kwargs: Any) -> tuple[str, bytes]:
    try:
        result = function(*args, **kwargs)
    # As other executors do: the caller gets whatever it is.
    except BaseException as error:  # noqa: BLE001
        return "raised", _pack_error(error)
    try:
        return "returned", cloudpickle.dumps(result)
    except BaseException as error:  # noqa: BLE001 - a class of the user's may raise anything
        name = getattr(function, "__qualname__", repr(function))
        problem = pickle.PicklingError(
            f"what {name}() returned, a {type(result).__qualname__}, cannot be sent: {error}"
        )
        return "raised", _pack_error(problem.with_traceback(error.__traceback__))


def _pack_error(error: BaseException) -> bytes:
    """Pack an exception with its traceback as text; one that cannot travel is replaced by one that says the same."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == _call.__code__.co_filename:
        frames = frames.tb_next
    text = "".join(traceback.format_exception(type(error), error, frames))
    try:
        packed: bytes = cloudpickle.dumps((error.with_traceback(None), text))
        if not isinstance(pickle.loads(packed)[0], BaseException):
            raise TypeError
    except BaseException:  # noqa: BLE001 - a class of the user's may raise anything
        said = "".join(traceback.format_exception_only(type(error), error)).strip()
        packed = cloudpickle.dumps((RuntimeError(said), text))
    return packed


def _load(packed: bytes, modules: Sequence[str]) -> Any:
    try:
        return pickle.loads(packed)
    except ImportError as error:
        missing = [name for name in modules if _is_missing(name)] or [error.name or str(error)]
        what = ", ".join(missing)
        raise _Refused(f"{sys.executable} on the node cannot import {what}: {error}") from error


def _is_missing(name: str) -> bool:
    try:
        return find_spec(name) is None
    except (ImportError, ValueError):
        return name not in sys.modules


def _show_source(path: str, text: bytes) -> None:
    """Let tracebacks show lines of a function whose file is not on this node."""
    if path and not os.path.exists(path):
        linecache.cache[path] = (len(text), None, text.decode("utf-8").splitlines(keepends=True), path)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            # A function may close them.
            continue


def _printed(descriptor: int) -> bytes | None:
    """Return the end of what was printed, where it goes to a file."""
    try:
        size = os.fstat(descriptor).st_size if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
        if size is None:
            return None
        with open(f"/proc/self/fd/{descriptor}", "rb") as file:
            file.seek(max(size - _MOST_TEXT, 0))
            return file.read()
    except OSError:
        return None
