"""What an interface is made of: each part is made when it is first used, and made anew after a fork.

Some are imported only then, so that ``import jasmin_arc`` takes little time.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from jasmin_arc._support.bulk import JobLike, JobsLike, word_of, words_of
from jasmin_arc._support.cards import Card, Shown
from jasmin_arc._support.logs import make_logger
from jasmin_arc._support.notebook import in_notebook
from jasmin_arc._support.suggestions import unknown_keyword
from jasmin_arc._support.text import home_short
from jasmin_arc._support.tracebacks import shortens_tracebacks
from jasmin_arc.backends.base import Backend, Services
from jasmin_arc.backends.table import make_backend
from jasmin_arc.config import OPTIONS, ConnectionConfig, Options
from jasmin_arc.constants import LogLevels
from jasmin_arc.exceptions import InvalidConfigError, JasminArcError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from jasmin_arc.credentials.choice import UserCredentials
    from jasmin_arc.credentials.proxy import ProxyManager
    from jasmin_arc.explain.known_site import KnownSite
    from jasmin_arc.explain.warnings import Warnings
    from jasmin_arc.job_list import JobList, JobSummary
    from jasmin_arc.job_list.finder import Finder
    from jasmin_arc.job_list.ledger import Ledger
    from jasmin_arc.staging.missing import MissingOutputs
    from jasmin_arc.staging.saving import Saver
    from jasmin_arc.watcher import Watcher

_Made = TypeVar("_Made")
_AT_ONCE = 0.2
"""Seconds to wait for a job list that another process is writing, where it is just to be shown"""
_SHOWN_ANYWAY = ("ARC_SERVER", "BACKEND", "JOBS_INFO_FILE", "SLURM_HOST")
_all: weakref.WeakSet[Parts] = weakref.WeakSet()


def _restart_all_in_child() -> None:
    for parts in list(_all):
        parts._restart_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart_all_in_child)


@shortens_tracebacks
class Parts(Shown):
    """The parts of an :class:`~jasmin_arc.arc_interface.ArcInterface`; see there."""

    def __init__(
        self,
        config_path: str | os.PathLike[str] | None = None,
        log: TextIO | None = ...,  # type: ignore[assignment]
        log_level: LogLevels | None = None,
        *,
        config: ConnectionConfig | Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> None:
        if log_level is None:
            log_level = LogLevels.WARNING if in_notebook() else LogLevels.INFO
        elif not isinstance(log_level, LogLevels):
            raise InvalidConfigError(f"log_level must be one of LogLevels, not {log_level!r}")
        # As it is now: a notebook has a standard output of its own.
        self.logger = make_logger(sys.stdout if log is ... else log, log_level)  # type: ignore[comparison-overlap]
        self.config = _configured(config_path, config, options, self.logger)
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._made: dict[str, Any] = {}

    def _restart_in_child(self) -> None:
        """After a fork, drop the locks, threads and connections of the parent.

        The old objects are kept: to finalize them could block on a lock that the parent held.
        """
        self._of_the_parent = vars(self).copy()
        self._begin()

    def _part(self, name: str, make: Callable[[], _Made]) -> _Made:
        with self._lock:
            if name not in self._made:
                self._made[name] = make()
            made: _Made = self._made[name]
            return made

    @property
    def backend(self) -> Backend:
        """The place where jobs run."""
        return self._part("backend", self._make_backend)

    def _make_backend(self) -> Backend:
        return make_backend(self.config, Services(self.job_list, lambda: self.credentials, self.logger))

    @property
    def job_list(self) -> JobList:
        """The list of submitted jobs."""
        from jasmin_arc.job_list import JobList

        return self._part("job_list", lambda: JobList(Path(self.config.JOBS_INFO_FILE), log=self.logger))

    @property
    def credentials(self) -> UserCredentials:
        """What a compute element is shown: the proxy certificate, or a token."""
        from jasmin_arc.credentials.choice import choose

        return self._part("credentials", lambda: choose(self.config, self.proxy, self.logger))

    @property
    def proxy(self) -> ProxyManager:
        """The proxy certificate, whether it is what a compute element is shown or not."""
        from jasmin_arc.credentials.proxy import ProxyManager

        return self._part("proxy", lambda: ProxyManager(self.config, self.logger))

    @property
    def _ledger(self) -> Ledger:
        from jasmin_arc.job_list.ledger import Ledger

        return self._part("ledger", lambda: Ledger(self.backend, self.job_list, self.logger))

    @property
    def _watcher(self) -> Watcher:
        from jasmin_arc.watcher import Watcher

        return self._part("watcher", lambda: Watcher(self._ledger.watched_states, self.logger, pace=self.backend.pace))

    @property
    def _warnings(self) -> Warnings:
        from jasmin_arc.explain.warnings import Warnings

        return self._part("warnings", lambda: Warnings(self.logger))

    @property
    def _saver(self) -> Saver:
        from jasmin_arc.staging.saving import Saver

        return Saver(self.backend, self.job_list, self._ledger, self._missing, self.logger)

    @property
    def _missing(self) -> MissingOutputs:
        from jasmin_arc.staging.missing import MissingOutputs

        optional = [self.config.OUTPUT_FILE]
        return self._part("missing", lambda: MissingOutputs(self.backend, self.job_list, optional, self.logger))

    @property
    def _known_site(self) -> KnownSite:
        from jasmin_arc.explain.known_site import KnownSite

        return self._part("known_site", lambda: KnownSite(self.backend, self.job_list))

    @property
    def _finder(self) -> Finder:
        from jasmin_arc.job_list.finder import Finder

        return Finder(self.backend, self.job_list)

    def _id(self, job: JobLike, *, newest: bool = True) -> str:
        """Return the id of one job, whatever names it.

        :param newest: whether a name that several jobs have means the newest of them
        """
        word = word_of(job)
        return word if "://" in word else self._finder.find_one(word, newest=newest)

    def _ids(self, jobs: JobsLike) -> list[str]:
        """Return the ids of jobs, whatever names them."""
        words = words_of(jobs)
        return words if all("://" in word for word in words) else self._finder.find_all(words)

    def _listed(self, job_ids: Sequence[str]) -> dict[str, JobSummary]:
        """Return the little that the job list knows of these jobs: nothing, if it cannot be read at once."""
        try:
            return self.job_list.with_timeout(_AT_ONCE).summaries(job_ids) if job_ids else {}
        except JasminArcError as error:
            self.logger.debug("%s", error)
            return {}

    def close(self) -> None:
        """Close connections, files and threads. Jobs go on; a later call opens what it needs again."""
        with self._lock:
            # The ledger writes into its job list until it is closed.
            for name in ("job_list", "missing", "known_site"):
                self._made.pop(name, None)
            parts = [self._made.pop(name, None) for name in ("watcher", "backend", "ledger")]
        for part in filter(None, parts):
            part.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process has no log of this one. What goes along is paths and numbers, never a key.
        return partial(type(self), log=None, config=self.config), ()

    def _line(self) -> str:
        return f"<{type(self).__name__} {self.config!r}>"

    def _card(self) -> Card:
        config = self.config
        place = {"slurm": config.SLURM_HOST, "local": "this machine"}.get(config.BACKEND, config.endpoint)
        known = {"backend": config.BACKEND, "place": place, "job list": home_short(config.JOBS_INFO_FILE)}
        others = [name for name in OPTIONS if not config.is_default(name) and name not in _SHOWN_ANYWAY]
        known.update((name, home_short(str(getattr(config, name)))) for name in others)
        return Card(type(self).__name__, properties=[pair for pair in known.items() if pair[1]])


def _configured(
    path: str | os.PathLike[str] | None,
    config: ConnectionConfig | Mapping[str, Any] | None,
    options: Mapping[str, Any],
    log: logging.Logger,
) -> ConnectionConfig:
    known = [name.lower() for name in OPTIONS]
    for name in options:
        if name not in known:
            own = ("config_path", "log", "log_level", "config")
            raise TypeError(unknown_keyword("ArcInterface", name, [*known, *own]))
    given = {name.upper(): value for name, value in options.items()}
    if isinstance(config, ConnectionConfig):
        if given:
            raise TypeError("give either a ConnectionConfig or single options, not both")
        return config
    if config is None or isinstance(config, Mapping):
        config = {**(config or {}), **given}
    return ConnectionConfig.load(path, config=config, logger=log, origin="the arguments of ArcInterface")
