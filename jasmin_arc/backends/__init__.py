"""The places where jobs run, one module each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from jasmin_arc.exceptions import BindingsNotFoundError

if TYPE_CHECKING:
    from jasmin_arc.backends.base import Backend
    from jasmin_arc.config import ConnectionConfig
    from jasmin_arc.job_list import JobList
    from jasmin_arc.proxy import ProxyManager


def make_backend(
    config: ConnectionConfig, job_list: JobList, log: logging.Logger, proxy: Callable[[], ProxyManager]
) -> Backend:
    """Make the backend that the configuration asks for. What the others need is not loaded.

    :param proxy: called only by those that need a proxy certificate
    :raises BindingsNotFoundError: if BACKEND is ``bindings`` and they cannot be loaded
    """
    if config.BACKEND == "local":
        from jasmin_arc.backends.local import LocalBackend

        return LocalBackend(config, job_list, log)
    if config.BACKEND in ("auto", "bindings"):
        from jasmin_arc.backends.bindings import BindingsBackend

        try:
            return BindingsBackend(config, proxy(), job_list, log)
        except BindingsNotFoundError as error:
            if config.BACKEND == "bindings":
                raise
            log.debug("the REST backend is used: %s", error)
    from jasmin_arc.backends.rest.backend import RestBackend

    return RestBackend(config, proxy(), job_list, log)
