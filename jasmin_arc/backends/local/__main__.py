"""How the runner and its helper for URL inputs are started: ``python __main__.py {run|fetch} LOCAL_DIR HOST [KEY]``.

Some packages are stood in for by empty ones, so that the runner loads nothing but the standard library: a user waits
for its start at the first job.
"""

from __future__ import annotations

import os
import sys


def _stand_in() -> None:
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != folder]
    top = os.path.dirname(os.path.dirname(folder))
    for name in ("jasmin_arc", "jasmin_arc.job_list"):
        module = type(sys)(name)
        module.__path__ = [os.path.join(top, *name.split(".")[1:])]
        sys.modules[name] = module


if __name__ == "__main__":
    _stand_in()
    verb, *arguments = sys.argv[1:]
    if verb == "run":
        from jasmin_arc.backends.local.runner import main as run

        run(*arguments)
    elif verb == "fetch":
        from jasmin_arc.backends.local.fetch import main as fetch

        fetch(*arguments)
