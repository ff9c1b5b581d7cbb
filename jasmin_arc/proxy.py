"""The documented place of :class:`ProxyManager`, which lives in :mod:`jasmin_arc.credentials.proxy`."""

from jasmin_arc.credentials.proxy import ProxyInfo, ProxyManager

__all__ = ["ProxyInfo", "ProxyManager"]
