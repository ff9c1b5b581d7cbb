"""The table of backends: the one place that names them. It is data; a backend is loaded when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from jasmin_arc.exceptions import BindingsNotFoundError

if TYPE_CHECKING:
    from jasmin_arc.backends.base import Backend, Services
    from jasmin_arc.config import ConnectionConfig


class Entry(NamedTuple):
    """One backend. Classes and functions are named as ``module:object``, below ``jasmin_arc.backends``."""

    backend: str
    checks: str
    """Returns what the doctor checks of it"""
    schemes: tuple[str, ...]
    """How the ids of its jobs begin"""
    options: tuple[str, ...]
    """The options of the configuration that it alone reads"""
    first: tuple[str, ...]
    """Those that a beginner is asked to look at"""


_ARC_OPTIONS = (
    *("ARC_SERVER", "CERTS_DIR", "CLIENT_CERT", "CLIENT_KEY", "ARCPROXY_PATH"),
    *("PROXY_FILE", "PROXY_RENEWAL_THRESHOLD", "PROXY_VALIDITY_PERIOD", "TIMEOUT"),
    *("AUTH", "TOKEN_FILE", "VOMS"),
)
_ARC_FIRST = ("ARC_SERVER", "CLIENT_KEY", "CLIENT_CERT")
_SLURM_FIRST = ("SLURM_HOST", "SLURM_ACCOUNT", "SLURM_PARTITION", "SLURM_QOS")
_SLURM_OPTIONS = (*_SLURM_FIRST, "SLURM_DIR", "SLURM_BIN", "TIMEOUT")
BACKENDS = {
    "bindings": Entry("bindings:BindingsBackend", "bindings.checks:checks", ("https",), _ARC_OPTIONS, _ARC_FIRST),
    "rest": Entry("rest.backend:RestBackend", "rest.checks:checks", ("https",), _ARC_OPTIONS, _ARC_FIRST),
    "slurm": Entry("slurm.backend:SlurmBackend", "slurm.checks:checks", ("slurm",), _SLURM_OPTIONS, _SLURM_FIRST),
    "local": Entry(
        "local.backend:LocalBackend", "local.checks:checks", ("local",), ("LOCAL_DIR", "LOCAL_SLOTS"), _ARC_FIRST
    ),
}
AUTO = ("bindings", "rest")
"""What ``auto`` means: the first of these that can be loaded"""
NAMES = ("auto", *BACKENDS)
"""The values of the option BACKEND"""


def chosen(name: str) -> tuple[str, ...]:
    """Return the backends that a value of the option BACKEND may mean, the first choice first."""
    return AUTO if name == "auto" else (name,)


def entry_of(name: str) -> Entry:
    """Return the entry of the backend that a value of the option BACKEND means, or means first."""
    return BACKENDS[chosen(name)[0]]


def load(reference: str) -> Any:
    """Import what an entry refers to."""
    module, _, name = reference.partition(":")
    return getattr(import_module(f"jasmin_arc.backends.{module}"), name)


def make_backend(config: ConnectionConfig, services: Services) -> Backend:
    """Make the backend that the configuration asks for. What the others need is not loaded.

    :raises BindingsNotFoundError: if BACKEND is ``bindings`` and they cannot be loaded
    """
    for name in chosen(config.BACKEND):
        try:
            made: Backend = load(BACKENDS[name].backend)(config, services)
            return made
        except BindingsNotFoundError as error:
            if config.BACKEND != "auto":
                raise
            services.log.debug("the next backend is tried: %s", error)
    raise AssertionError("the last backend of AUTO needs no bindings")
