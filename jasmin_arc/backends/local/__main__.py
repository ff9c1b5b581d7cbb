"""How the runner and its helper for URL inputs are started: ``python __main__.py {run|fetch} LOCAL_DIR HOST [KEY]``.

The packages above are stood in for by empty ones, so that nothing but the standard library is loaded: the start of
the runner is what a user waits for at the first job.
"""

from __future__ import annotations

import os
import sys


def _stand_in() -> None:
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != folder]
    for name in ("jasmin_arc.backends.local", "jasmin_arc.backends", "jasmin_arc"):
        module = type(sys)(name)
        module.__path__ = [folder]
        sys.modules[name] = module
        folder = os.path.dirname(folder)


def main() -> None:
    """Run what the first argument names."""
    _stand_in()
    verb, root, host, *rest = sys.argv[1:]
    if verb == "run":
        from jasmin_arc.backends.local.runner import main as run

        run(root, host)
    elif verb == "fetch":
        from jasmin_arc.backends.local.fetch import main as fetch

        fetch(root, host, rest[0])


if __name__ == "__main__":
    main()
