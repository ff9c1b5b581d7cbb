"""Submits jobs in processes that are killed, each at another step, or after another time.

Usage: killed_submitter.py CONFIG RUN ROUNDS SEED
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from typing import NoReturn

from dying import die_at

from jasmin_arc import ArcInterface, JobDescription
from jasmin_arc.backends.rest.backend import RestBackend

STEPS = 18


def submit(arc: ArcInterface, run: str, step: int | None) -> NoReturn:
    backend = arc.backend
    assert isinstance(backend, RestBackend)
    if step is not None:
        die_at(step, backend._client, "_send")
        for name in ("intend", "created", "commit"):
            die_at(step, arc.job_list, name)
    jobs = [
        JobDescription(executable="cat", arguments=["in"], name=f"{run}-{number}", inputs={"in": b"x"}, outputs=[])
        for number in range(2)
    ]
    backend.submit(jobs)
    os._exit(0)


def main(config: str, run: str, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    arc = ArcInterface(log=None, config=json.loads(config))
    backend = arc.backend
    assert isinstance(backend, RestBackend)
    # Shared by all, so that a round is short.
    backend._delegations.current()
    killed = 0
    for number in range(rounds):
        # Once at each step, then as often after some time, and so on.
        step = number % STEPS + 1 if number // STEPS % 2 == 0 else None
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            submit(arc, run, step)
        if step is None:
            time.sleep(chance.uniform(0, 0.15))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        assert time.monotonic() - began < 60
    print(json.dumps({"killed": killed}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
