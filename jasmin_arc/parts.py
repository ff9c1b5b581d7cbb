"""What an interface is made of: each part is made when it is first used, and made anew after a fork.

Some are imported only then, so that ``import jasmin_arc`` takes little time.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from jasmin_arc._support.logs import make_logger
from jasmin_arc.backends.base import Backend, Services
from jasmin_arc.backends.table import make_backend
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.constants import LogLevels
from jasmin_arc.exceptions import InvalidConfigError

if TYPE_CHECKING:
    from jasmin_arc.credentials.proxy import ProxyManager
    from jasmin_arc.explain.warnings import Warnings
    from jasmin_arc.job_list import JobList
    from jasmin_arc.job_list.ledger import Ledger
    from jasmin_arc.staging.saving import Saver
    from jasmin_arc.watcher import Watcher

_all: weakref.WeakSet[Parts] = weakref.WeakSet()


def _restart_all_in_child() -> None:
    for parts in list(_all):
        parts._restart_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart_all_in_child)


class Parts:
    """The parts of an :class:`~jasmin_arc.arc_interface.ArcInterface`; see there."""

    def __init__(
        self,
        config_path: str | os.PathLike[str] | None = None,
        log: TextIO | None = ...,  # type: ignore[assignment]
        log_level: LogLevels = LogLevels.INFO,
        *,
        config: ConnectionConfig | Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(log_level, LogLevels):
            raise InvalidConfigError(f"log_level must be one of LogLevels, not {log_level!r}")
        # As it is now: a notebook has a standard output of its own.
        self.logger = make_logger(sys.stdout if log is ... else log, log_level)  # type: ignore[comparison-overlap]
        if isinstance(config, ConnectionConfig):
            self.config = config
        else:
            self.config = ConnectionConfig.load(config_path, config=config, logger=self.logger)
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._backend: Backend | None = None
        self._job_list: JobList | None = None
        self._proxy: ProxyManager | None = None
        self._made_ledger: Ledger | None = None
        self._made_watcher: Watcher | None = None
        self._made_warnings: Warnings | None = None

    def _restart_in_child(self) -> None:
        """After a fork, drop the locks, threads and connections of the parent.

        The old objects are kept: to finalize them could block on a lock that the parent held.
        """
        self._of_the_parent = vars(self).copy()
        self._begin()

    @property
    def backend(self) -> Backend:
        """The place where jobs run."""
        with self._lock:
            if self._backend is None:
                self._backend = make_backend(self.config, Services(self.job_list, lambda: self.proxy, self.logger))
            return self._backend

    @property
    def job_list(self) -> JobList:
        """The list of submitted jobs."""
        with self._lock:
            if self._job_list is None:
                from jasmin_arc.job_list import JobList

                self._job_list = JobList(Path(self.config.JOBS_INFO_FILE), log=self.logger)
            return self._job_list

    @property
    def proxy(self) -> ProxyManager:
        """The proxy certificate."""
        with self._lock:
            if self._proxy is None:
                from jasmin_arc.credentials.proxy import ProxyManager

                self._proxy = ProxyManager(self.config, self.logger)
            return self._proxy

    @property
    def _ledger(self) -> Ledger:
        with self._lock:
            if self._made_ledger is None:
                from jasmin_arc.job_list.ledger import Ledger

                self._made_ledger = Ledger(self.backend, self.job_list, self.logger)
            return self._made_ledger

    @property
    def _watcher(self) -> Watcher:
        with self._lock:
            if self._made_watcher is None:
                from jasmin_arc.watcher import Watcher

                self._made_watcher = Watcher(self._ledger.states, self.logger, pace=self.backend.pace)
            return self._made_watcher

    @property
    def _warnings(self) -> Warnings:
        with self._lock:
            if self._made_warnings is None:
                from jasmin_arc.explain.warnings import Warnings

                self._made_warnings = Warnings(self.logger)
            return self._made_warnings

    @property
    def _saver(self) -> Saver:
        from jasmin_arc.staging.saving import Saver

        return Saver(self.backend, self.job_list, self._ledger, self.logger)

    def close(self) -> None:
        """Close connections, files and threads. Jobs go on; a later call opens what it needs again."""
        with self._lock:
            parts = (self._made_watcher, self._backend, self._made_ledger)
            self._made_watcher = self._backend = self._made_ledger = self._job_list = None
        for part in parts:
            if part is not None:
                part.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.config!r}>"
