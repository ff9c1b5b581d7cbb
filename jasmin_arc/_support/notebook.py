"""Whether this is a notebook."""

from __future__ import annotations

import sys


def this_cell() -> object:
    """Return what is the same as long as one cell of a notebook runs; ``None`` where there is no notebook."""
    return sys.modules["IPython"].get_ipython().execution_count if in_notebook() else None


def in_notebook() -> bool:
    """Say whether this code runs in the kernel of a notebook, such as Jupyter's."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
