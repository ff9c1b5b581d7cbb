"""A process that dies at one of its steps, for submitters that are killed."""

from __future__ import annotations

import os
import signal
from typing import Any

_counted = 0


def tick(step: int) -> None:
    global _counted
    _counted += 1
    if _counted == step:
        os.kill(os.getpid(), signal.SIGKILL)


def die_at(step: int, owner: Any, name: str) -> None:
    """Let this process die before or after one of the calls of a method, whichever is the step of this number."""
    method = getattr(owner, name)

    def counting(*arguments: Any, **options: Any) -> Any:
        tick(step)
        result = method(*arguments, **options)
        tick(step)
        return result

    setattr(owner, name, counting)
