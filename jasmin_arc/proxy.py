"""The documented place of :class:`ProxyManager` and :class:`ProxyInfo`, which live in :mod:`jasmin_arc.credentials`."""

from jasmin_arc.credentials.proxy import ProxyManager
from jasmin_arc.credentials.proxy_file import ProxyInfo

__all__ = ["ProxyInfo", "ProxyManager"]
