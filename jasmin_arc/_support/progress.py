"""Progress bars, where they were asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

_SHOW_AFTER = 1.0
"""Seconds before there is anything to see: what is done by then needs no bar"""


class ProgressBar:
    """A bar of tqdm's, or nothing at all; threads may share it. The unit ``"B"`` is bytes."""

    def __init__(self, total: int | None, unit: str, *, show: bool) -> None:
        self._bar: Any = None
        self._lock = threading.Lock()
        if show:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, unit=unit, unit_scale=unit == "B", dynamic_ncols=True, delay=_SHOW_AFTER)
            # tqdm itself shows nothing before the first piece is done, which a slow server may keep back for long.
            self._timer = threading.Timer(_SHOW_AFTER, self._show, [lambda: self._bar.update(0)])
            self._timer.daemon = True
            self._timer.start()

    def expect(self, total: int) -> None:
        """Say how much there is to do, once it is known."""
        if self._bar is not None:
            self._bar.total = total
            self._show(self._bar.refresh)

    def update(self, amount: int) -> None:
        if self._bar is not None:
            self._show(lambda: self._bar.update(amount))

    def _show(self, action: Callable[[], object]) -> None:
        with self._lock:
            try:
                action()
            except Exception:  # noqa: BLE001 - as when nobody reads any more; the work that it shows must go on
                self._bar.disable = True

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._timer.cancel()
            self._timer.join()
            self._show(self._bar.close)
