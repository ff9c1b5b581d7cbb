"""Submits jobs to Slurm in processes that are killed, each at another step, or after another time.

Some rounds kill the shell that talks to Slurm as well; after some, one or two processes recover, and are killed too.

Usage: killed_slurm_submitter.py CONFIG SHARED RUN ROUNDS SEED
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from dying import die_at
from slurm_kit import Place

from jasmin_arc import ArcInterface
from jasmin_arc.backends.shell import archive
from jasmin_arc.backends.slurm import recovery
from jasmin_arc.backends.slurm.backend import SlurmBackend

STEPS = 24


def submit(arc: ArcInterface, place: Place, name: str, step: int | None) -> None:
    backend = arc.backend
    assert isinstance(backend, SlurmBackend)
    if step is not None:
        die_at(step, backend._shell, "open")
        die_at(step, archive, "_member")
        for method in ("intend", "commit", "drop", "release"):
            die_at(step, arc.job_list, method)
    size = 10_000 if len(name) % 2 else 600_000
    jobs = [
        place.job(f"{name}-{number}", inputs={"in": os.urandom(size)}, memory=f"{64 * (number // 2 + 1)} MB")
        for number in range(4)
    ]
    backend.submit(jobs)


def in_process(work: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        os.setpgid(0, 0)
        work()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - told, and counted
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)


def kill(process: int, *, also_shells: bool) -> None:
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        os.kill(process, signal.SIGKILL)
        if also_shells:
            for child in children:
                os.killpg(int(child), signal.SIGKILL)


def main(config: str, shared: str, run: str, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    options = json.loads(config)
    place = Place(Path(shared), options)
    arc = ArcInterface(log=None, config=options)
    backend = arc.backend
    assert isinstance(backend, SlurmBackend)
    recovery._STILL_ON_ITS_WAY = timedelta(seconds=5)
    # What is cached is cached in all, so that a round is short.
    began = time.monotonic()
    child = in_process(lambda: submit(arc, place, f"{run}-first", None))
    assert backend.endpoint
    assert os.waitpid(child, 0)[1] == 0
    long = 1.2 * (time.monotonic() - began)
    told = {"killed": 0, "failed": 0, "recovered": 0, "seconds": long}
    for number in range(rounds):
        step = number % STEPS + 1 if number // STEPS % 2 == 0 else None
        child = in_process(lambda name=f"{run}-{number}", at=step: submit(arc, place, name, at))  # type: ignore[misc]
        if step is None:
            time.sleep(chance.uniform(0, long))
            kill(child, also_shells=chance.random() < 0.2)
        _, status = os.waitpid(child, 0)
        told["killed"] += os.WIFSIGNALED(status)
        told["failed"] += os.WIFEXITED(status) and os.WEXITSTATUS(status)
        if chance.random() < 0.2:
            others = [in_process(arc.recover) for _ in range(chance.choice((1, 2)))]
            if chance.random() < 0.5:
                time.sleep(chance.uniform(0, long))
                kill(others[0], also_shells=chance.random() < 0.2)
            for other in others:
                _, status = os.waitpid(other, 0)
                told["recovered"] += not status
                told["failed"] += os.WIFEXITED(status) and os.WEXITSTATUS(status)
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
