"""Where something is shown that changes: in a notebook, on a terminal, or in a log."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Protocol

from jasmin_arc._support import progress
from jasmin_arc._support.notebook import in_notebook


class View(Protocol):
    """What is shown, in each form that a screen may need."""

    @property
    def line(self) -> str:
        """All of it in one line."""

    def html(self) -> str:
        """Return it for a notebook."""

    def text(self) -> str:
        """Return it as lines."""


class Screen(Protocol):
    """A place where a view is shown, in place of the view before."""

    pause: float
    """The least seconds between two views that differ"""
    rest: float
    """The least seconds between two views that differ only by the time that has gone by"""

    def show(self, view: View, *, last: bool) -> None:
        """Show it; nothing comes after the last one."""


class _Notebook:
    """An output of a cell. It is updated from any thread, also after the cell has ended."""

    pause, rest = 1.0, 5.0

    def __init__(self) -> None:
        self._output: Any = None

    def show(self, view: View, *, last: bool) -> None:  # noqa: ARG002 - as any screen
        shown = {"text/html": view.html(), "text/plain": view.text()}
        if self._output is None:
            self._output = import_module("IPython.display").display(shown, raw=True, display_id=True)
        else:
            self._output.update(shown, raw=True)


class _Terminal:
    """The last lines of a terminal. Messages of a log come above them."""

    pause, rest = 0.5, 1.0

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._live: Any = None
        self._view: Any = None

    def show(self, view: View, *, last: bool) -> None:
        with self._lock:
            self._view = view
            if self._live is None:
                progress.DRAWN.add(self)
                self._start()
            else:
                self._live.update(view, refresh=not last)
            if last:
                self._live.transient = False
                self._live.stop()
                self._live = None
                progress.DRAWN.discard(self)

    def _start(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            self._view,
            console=Console(file=sys.stderr),
            auto_refresh=False,
            transient=True,
            # What others print must not go to standard error.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=True)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Take the view off the terminal for a while."""
        with self._lock:
            if self._live is None:
                yield
                return
            self._live.stop()
            yield
            # A new one: the same one would erase as many lines as it had, and so what was written meanwhile.
            self._start()


class _Log:
    """Standard error, which is no terminal: a line now and then."""

    pause = rest = 60.0

    def show(self, view: View, *, last: bool) -> None:
        with progress.bars_away():
            sys.stderr.write(f"{view.text() if last else view.line}\n")
            sys.stderr.flush()


def screen_here(*, alone: bool) -> Screen:
    """Return where something can be shown here.

    :param alone: whether nothing else is written to the terminal until the last view
    """
    if in_notebook():
        return _Notebook()
    return _Terminal() if alone and sys.stderr is not None and sys.stderr.isatty() else _Log()


class Redrawn:
    """Shows a view again and again, from a thread of its own, until the end of the ``with`` block.

    Where it cannot be shown, nothing is, and the work that it is about goes on.

    :param view: makes the present view; it is called in any thread
    :param version: what differs between two views of which the second is worth showing soon
    """

    def __init__(self, view: Callable[[], View], version: Callable[[], object], *, alone: bool) -> None:
        self._view = view
        self._version = version
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._screen: Screen | None = None
        self._thread = threading.Thread(target=self._redraw, name="jasmin_arc board", daemon=True)
        with contextlib.suppress(Exception):
            self._screen = screen_here(alone=alone)

    def __enter__(self) -> Redrawn:
        try:
            self._draw(last=False)
            if self._screen is not None:
                with contextlib.suppress(RuntimeError):  # no more threads can be started
                    self._thread.start()
        except BaseException:
            # Such as Ctrl-C: a terminal must get its cursor back.
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        try:
            if self._thread.is_alive():
                self._thread.join()
        finally:
            self._draw(last=True)

    def _redraw(self) -> None:
        drawn, since = self._version(), time.monotonic()
        while self._screen is not None and not self._over.wait(self._screen.pause):
            if (version := self._version()) != drawn or time.monotonic() - since >= self._screen.rest:
                self._draw(last=False)
                drawn, since = version, time.monotonic()

    def _draw(self, *, last: bool) -> None:
        with self._lock:
            try:
                # The thread may come late, if the wait for it was interrupted.
                if self._screen is not None and (last or not self._over.is_set()):
                    self._screen.show(self._view(), last=last)
            except Exception:  # noqa: BLE001 - as when nobody reads any more
                self._screen = None
