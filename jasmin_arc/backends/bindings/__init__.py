"""Jobs on an ARC compute element, by NorduGrid's own library: the only package that imports ``arc``."""

from jasmin_arc.backends.bindings.backend import BindingsBackend

__all__ = ["BindingsBackend"]
