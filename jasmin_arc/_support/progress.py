"""Progress bars, where they were asked for."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any, Protocol

from jasmin_arc._support.notebook import in_notebook
from jasmin_arc.constants import JobState, JobStatuses

_SHOW_AFTER = 1.0
"""Seconds before there is anything to see: what is done by then needs no bar"""
_INTERVAL = 1.0
"""Seconds between two ticks of the clock"""
_INTERVAL_OF_FILES = 60.0
"""The same where each tick is one more line, as in a log"""
_WAITING = "{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
"""Jobs do not end at a rate, so a bar that waits for them foretells nothing"""
_FAILED = "#ff8c00"
"""The orange of a bar in a notebook, which else would be green in the end"""
_NOTEBOOK_WIDTH = 80
"""Characters of a bar in a notebook without widgets"""
_WORDS = {
    JobStatuses.NOT_SUBMITTED: "queued",
    JobStatuses.NOT_STARTED: "queued",
    JobStatuses.IN_PROGRESS: "running",
    JobStatuses.COMPLETED: "completed",
    JobStatuses.FAILED: "failed",
}
_ORDER = ("queued", "running", "completed", "failed", "cancelled")


class ProgressBar:
    """A bar of tqdm's whose clock never stands still, or nothing at all; threads may share it.

    :param unit: what is counted; ``"B"`` is bytes
    :param waits: whether it waits for jobs, and counts their states as :meth:`see` tells of them
    """

    def __init__(self, total: int | None, unit: str, *, show: bool, waits: bool = False) -> None:
        self._bar: Any = None
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._clock = threading.Thread(target=self._tick, name="jasmin_arc progress", daemon=True)
        self._states: dict[str, JobState] = {}
        self._counts: Counter[str] = Counter()
        if show:
            # Where no bar can be made, or no thread be started, the work goes on all the same.
            with contextlib.suppress(Exception):
                self._bar = _new_bar(total, unit, _WAITING if waits else None)
                self._interval = _INTERVAL if _is_live(self._bar) else _INTERVAL_OF_FILES
                DRAWN.add(self)
                self._clock.start()

    def expect(self, total: int) -> None:
        """Say how much there is to do, once it is known."""
        if self._bar is not None:
            self._show(lambda: _set_total(self._bar, total))

    def update(self, amount: int) -> None:
        """Say how much more is done."""
        if self._bar is not None:
            self._show(lambda: self._bar.update(amount))

    def see(self, states: Mapping[str, JobState]) -> None:
        """Say in which states the jobs are that are waited for."""
        # No lock is taken: a terminal that stands still must not hold up whoever watches jobs for others, too.
        if self._bar is not None:
            self._states.update(states)
            self._counts = count(self._states.copy().values())

    def _tick(self) -> None:
        delay = _SHOW_AFTER
        while not self._over.wait(delay):
            delay = self._interval
            # tqdm by itself shows nothing before the first piece is done, which a slow server may keep back for long.
            self._show(lambda: self._bar.update(0))

    def _show(self, action: Callable[[], object]) -> None:
        with self._lock:
            if self._counts:
                self._attempt(lambda: _show_counts(self._bar, self._counts))
            self._attempt(action)

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception:  # noqa: BLE001 - as when nobody reads any more; the work that it shows must go on
            self._bar.disable = True

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Take it off the terminal for a while."""
        with self._lock:
            # tqdm goes by this, too: nothing is to be taken away before the first line.
            shown = self._bar.last_print_t >= self._bar.start_t + self._bar.delay
            if shown:
                self._attempt(self._bar.clear)
            yield
            if shown:
                self._attempt(self._bar.refresh)

    @property
    def is_shown(self) -> bool:
        """Whether there is a bar at all."""
        return self._bar is not None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._over.set()
            if self._clock.is_alive():
                self._clock.join()
            self._show(self._bar.close)
            DRAWN.discard(self)


class Drawn(Protocol):
    """Stands on a terminal."""

    def away(self) -> contextlib.AbstractContextManager[None]:
        """Take it off the terminal for a while."""


DRAWN: set[Drawn] = set()
"""What stands on the terminal now"""

if hasattr(os, "register_at_fork"):
    # They stay with the parent, of whose threads one may have held the lock of a bar.
    os.register_at_fork(after_in_child=DRAWN.clear)


@contextlib.contextmanager
def bars_away() -> Iterator[None]:
    """Take all that is drawn off the terminal while something else is written there; it comes back below that."""
    with contextlib.ExitStack() as stack:
        # In one order, as other threads do this too, each for a log of its own.
        for drawn in sorted(DRAWN, key=id):
            stack.enter_context(drawn.away())
        yield


def _new_bar(total: int | None, unit: str, bar_format: str | None) -> Any:
    # Smoothing would take the pauses out of the rate, and the remaining time would stand still.
    options = {"bar_format": bar_format, "delay": _SHOW_AFTER, "miniters": 0, "smoothing": 0}
    kind, place = _kind_of_bar()
    # tqdm never lets its lock go where a stream fails, so no two bars share one; its monitor is a thread for each lock.
    make = type(kind.__name__, (kind,), {"_lock": threading.RLock(), "monitor_interval": 0})
    return make(total=total, unit=unit, unit_scale=unit == "B", **options, **place)


def _set_total(bar: Any, total: int) -> None:
    bar.total = total
    if _is_widget(bar):
        # A bar without a total is drawn full.
        bar.container.children[1].max, bar.container.children[1].bar_style = total, ""


def _show_counts(bar: Any, counts: Counter[str]) -> None:
    bar.set_postfix_str(in_words(counts), refresh=False)
    if _is_widget(bar) and (counts["failed"] or counts["cancelled"]):
        bar.colour = _FAILED


def _kind_of_bar() -> tuple[Any, dict[str, Any]]:
    """Return what makes a bar, and what it has to be told of the place where it is shown."""
    if not in_notebook():
        from tqdm.std import tqdm

        return tqdm, {"dynamic_ncols": True}
    try:
        import_module("ipywidgets")
        from tqdm.notebook import tqdm as widget

        return widget, {"dynamic_ncols": True}
    except ImportError:
        from tqdm.std import tqdm

        return tqdm, {"file": _LineOfNotebook(), "ncols": _NOTEBOOK_WIDTH}


def _is_live(bar: Any) -> bool:
    """Say whether what the bar shows is replaced, not added to what it has shown before."""
    return _is_widget(bar) or bool(bar.fp.isatty())


def _is_widget(bar: Any) -> bool:
    return hasattr(bar, "container")


class _LineOfNotebook:
    """A line of a notebook that is replaced by the next one, also in the file: a stream would keep all of them."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._line: Any = None

    def write(self, text: str) -> None:
        shown = {"text/plain": text.strip()}
        if self._line is not None and text.strip():
            self._line.update(shown, raw=True)
        elif text.strip():
            self._line = import_module("IPython.display").display(shown, raw=True, display_id=True)

    def flush(self) -> None:
        """Nothing is kept back."""

    def isatty(self) -> bool:
        """What is written replaces what was."""
        return True


def count(states: Iterable[JobState]) -> Counter[str]:
    """Count jobs by what people call their states."""
    by_state = Counter(states)
    counts: Counter[str] = Counter()
    for state, number in by_state.items():
        counts["cancelled" if state is JobState.KILLED else _WORDS[state.status]] += number
    return counts


def in_words(counts: Mapping[str, int]) -> str:
    """Write counts for a bar. While jobs are left, the bar itself tells how many have ended."""
    left = counts.get("queued") or counts.get("running")
    shown = [word for word in _ORDER if counts.get(word) and not (left and word == "completed")]
    return ", ".join(f"{counts[word]} {word}" for word in shown)
