"""What the doctor looks at for jobs on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from jasmin_arc._support.text import home_short
from jasmin_arc.doctor import CheckFailed, Examination, Look, free_space


def checks(examination: Examination) -> dict[str, Look]:
    """Return the checks, by name."""
    folder = Path(examination.config.LOCAL_DIR)
    shown = home_short(str(folder))
    room = Look(lambda: f"{shown} can be written, and its disk has {free_space(folder, 'LOCAL_DIR')}")
    return {"shell": Look(_shell), "job folder": room}


def _shell() -> str:
    if not os.access("/bin/sh", os.X_OK):
        raise CheckFailed("there is no /bin/sh, which starts every job", "Install a shell.")
    return "/bin/sh starts jobs"
