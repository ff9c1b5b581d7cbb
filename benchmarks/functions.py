"""Python functions as jobs: ours, those of the peers and the same calls in bare Python, one after the other."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from measure import Row, at_most, in_turn, seconds
from peers import Submitit
from slurm import Slurm, say

from jasmin_arc import ArcInterface, JobFailedError

SLOTS = 8
NAP = 0.01
"""Seconds that a short call takes"""
ARRAY = 200
"""How many jobs of one call each are measured: all would take minutes"""
BATCHES = 5
"""Of as many jobs as there are slots: so many are measured, as all would take minutes"""
KNOWN = 10_000
MISSING = "not installed"
PLACES = {"local": "local", "slurm": "Slurm", "rest": "ARC"}
HEAVY = ("IPython", "cloudpickle", "joblib", "numpy")
"""What users may have, and an import must not load"""


class Functions:
    """This machine with eight slots, the grid, and all who call functions there.

    :param config: the configuration of the grid's compute element; only jobs of this benchmark are erased there
    :param memory: a folder that is no disk's
    """

    def __init__(self, config: Path, many: int, folder: Path, memory: Path) -> None:
        self.many = many
        self.folder = folder
        self.memory = memory
        self.rest = {**json.loads(config.read_text()), "BACKEND": "rest", "JOBS_INFO_FILE": str(memory / "calls.dat")}
        self.slurm = Slurm(config.parent, many, folder, memory)
        self.in_one_process = 0.0

    def rows(self) -> Iterator[Row]:
        """Measure one thing after another."""
        for part in (
            self.importing,
            self.one,
            self.short,
            self.submitting,
            self.taking_up,
            self.short_on_slurm,
            self.short_on_rest,
            self.dying,
        ):
            yield from part()
        shutil.rmtree(self.slurm.here["SLURM_DIR"])

    @contextmanager
    def local(self) -> Iterator[ArcInterface]:
        """Make an interface to this machine, with a folder of its own."""
        with tempfile.TemporaryDirectory(dir=self.folder) as own:
            options = {"LOCAL_DIR": f"{own}/local", "LOCAL_SLOTS": SLOTS, "JOBS_INFO_FILE": f"{own}/jobs.dat"}
            with ArcInterface(log=None, config={"BACKEND": "local", **options}) as arc:
                yield arc

    @contextmanager
    def ce(self) -> Iterator[ArcInterface]:
        """Make an interface to the compute element, and leave no job behind."""
        with ArcInterface(log=None, config=self.rest) as arc:
            try:
                yield arc
            finally:
                arc.clean_jobs(arc.job_list.ids(), force=True)

    # --- This machine ---

    def importing(self) -> Iterator[Row]:
        """What the import loads that it must not."""
        code = f"import jasmin_arc, sys; print(*(name for name in {HEAVY} if name in sys.modules))"
        loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
        who = f"import jasmin_arc: of {', '.join(HEAVY)}"
        yield Row("modules loaded by the import", who, ", ".join(loaded) or "none", "", at_most(len(loaded), 0))

    def one(self) -> Iterator[Row]:
        """One call, from an executor that is made for it to its end."""
        say("functions: one call")

        def ours() -> None:
            with arc.executor() as executor:
                executor.submit(time.sleep, 0).result()

        def pool() -> None:
            with ProcessPoolExecutor(SLOTS) as executor:
                executor.submit(time.sleep, 0).result()

        with self.local() as arc:
            python, our, their = in_turn(
                lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), ours, pool, times=9
            )
        work, extra = "local: one call", our - python
        yield Row(work, "bare Python: its start", f"{python * 1000:.0f} ms")
        yield Row(work, "JobExecutor, local", f"{our * 1000:.0f} ms", f"+{extra:.2f} s", at_most(extra, 0.5))
        yield Row(work, f"ProcessPoolExecutor({SLOTS})", f"{their * 1000:.0f} ms")
        submitit = self._submitit(lambda peer: peer.one(time.sleep, 0))
        yield Row(work, "submitit, local", f"{submitit * 1000:.0f} ms" if submitit else MISSING)

    def short(self) -> Iterator[Row]:
        """Many calls that are shorter than the start of a process."""
        say(f"functions: {self.many} short calls")
        jobs = []

        def pool() -> None:
            with ProcessPoolExecutor(SLOTS) as executor:
                list(executor.map(time.sleep, self._naps))

        code = f"import time\nfor _ in range({self.many}): time.sleep({NAP})"
        bare = self.in_one_process = seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))
        with self.local() as arc:
            ours, theirs = in_turn(lambda: jobs.append(call(arc, time.sleep, self._naps)), pool, times=3)
        work = f"local, {SLOTS} slots: {self.many} calls of {NAP * 1000:g} ms"
        yield Row(work, "bare Python: one after the other in a process", self._rate(bare))
        who = f"JobExecutor, local: {jobs[-1]} jobs"
        yield Row(work, who, self._rate(ours), f"{bare / ours:.1f} x bare", at_most(ours, 60))
        yield Row(work, f"ProcessPoolExecutor({SLOTS})", self._rate(theirs), f"ours {theirs / ours:.2f} x as fast")
        # It starts all jobs at once, and so many processes would need more memory than there is.
        apart = f"a job for each, {SLOTS} at a time: the first {len(self._some)} calls"
        cases: list[tuple[str, Callable[[Submitit], object], int]] = [
            (
                f"{SLOTS} jobs, put together by hand",
                lambda peer: peer.together(time.sleep, self._naps, SLOTS),
                self.many,
            ),
            (apart, lambda peer: peer.apart(time.sleep, self._some, SLOTS), len(self._some)),
        ]
        for how, measured, calls in cases:
            taken = self._submitit(measured)
            ratio = f"ours {taken / calls / (ours / self.many):.1f} x as fast" if taken else ""
            yield Row(work, f"submitit, local: {how}", self._rate(taken, calls) if taken else MISSING, ratio)

    @property
    def _naps(self) -> list[float]:
        return [NAP] * self.many

    @property
    def _some(self) -> list[float]:
        return self._naps[: SLOTS * BATCHES]

    def _rate(self, taken: float, calls: int | None = None) -> str:
        return f"{taken:.2f} s, {(calls or self.many) / taken:.0f} calls/s"

    def _submitit(self, measured: Callable[[Submitit], object]) -> float | None:
        """Return the seconds that it takes; ``None`` where it is not installed."""
        with tempfile.TemporaryDirectory(dir=self.folder) as own:
            try:
                peer = Submitit(Path(own))
            except ImportError:
                return None
            return seconds(lambda: measured(peer))

    def submitting(self) -> Iterator[Row]:
        """How long the caller is kept by many calls of submit."""
        say(f"functions: submitting {KNOWN} calls")

        def submit(executor: Executor) -> float:
            taken = seconds(lambda: [executor.submit(time.sleep, NAP) for _ in range(KNOWN)])
            executor.shutdown(cancel_futures=True)
            return taken

        with self.local() as arc:
            ours = submit(arc.executor())
        theirs = submit(ProcessPoolExecutor(SLOTS))
        work = f"local: {KNOWN} times submit(), and nothing else"
        yield Row(work, "JobExecutor, local", f"{ours:.2f} s, {ours / KNOWN * 1e6:.0f} µs each")
        yield Row(work, f"ProcessPoolExecutor({SLOTS})", f"{theirs:.2f} s, {theirs / KNOWN * 1e6:.0f} µs each")

    def taking_up(self) -> Iterator[Row]:
        """The calls of a sweep once more, all of whose results are known."""
        say(f"functions: {KNOWN} calls of a sweep, and once more")

        def sweep() -> None:
            with ArcInterface(log=None, config=arc.config.as_dict()) as later, later.executor(name="sweep") as executor:
                results.append(list(executor.map(abs, range(KNOWN))))

        results: list[list[int]] = []
        with self.local() as arc:
            first, again = seconds(sweep), seconds(sweep, times=3)
            files = list(Path(f"{arc.config.JOBS_INFO_FILE}.sweeps").rglob("*/results/*/*"))
            bare = seconds(lambda: [path.read_bytes() for path in files], times=3)
        if results[-1] != list(range(KNOWN)) or len(files) != KNOWN:
            raise RuntimeError("the sweep has other results")
        work = f"local: a sweep of {KNOWN} calls"
        yield Row(work, "JobExecutor, local: for the first time", f"{first:.2f} s")
        yield Row(work, "bare Python: reads the files with its results", f"{bare:.2f} s")
        yield Row(work, "JobExecutor, local: all results known", f"{again:.2f} s", f"{again / bare:.1f} x bare")

    # --- The grid ---

    def short_on_slurm(self) -> Iterator[Row]:
        """Many short calls as jobs of Slurm; each a job of its own, beside."""
        say(f"Slurm: {self.many} short calls")
        command = f"python3 -c 'import time; time.sleep({NAP})'"
        options = f"--parsable --array=0-{ARRAY - 1} --chdir=/tmp --time=10 --output=/dev/null"
        # Its --wait looks every ten seconds.
        script = f'id=$(sbatch {options} --wrap="{command}")\nwhile [ -n "$(squeue -h -j $id)" ]; do sleep 0.2; done'
        array = seconds(lambda: self.slurm.shell(script))
        work = f"Slurm: {self.many} calls of {NAP * 1000:g} ms"
        rate = self._rate(array, ARRAY)
        yield Row(work, f"one bare sbatch of an array, a job for each: the first {ARRAY} calls", rate)
        yield from self._short(work, self.slurm.interface(self.slurm.here))

    def short_on_rest(self) -> Iterator[Row]:
        """Many short calls as jobs of a compute element."""
        say(f"ARC: {self.many} short calls")
        yield from self._short(f"ARC: {self.many} calls of {NAP * 1000:g} ms", self.ce())

    def _short(self, work: str, place: AbstractContextManager[ArcInterface]) -> Iterator[Row]:
        with place as arc:
            jobs: list[int] = []
            taken = seconds(lambda: jobs.append(call(arc, time.sleep, self._naps)))
        ratio = taken / self.in_one_process
        who = f"JobExecutor, {arc.config.BACKEND}: {jobs[0]} jobs"
        # The calls last ten seconds. Starting a job to measure them, and one to make them, must not take longer.
        goal = at_most(ratio, 2) if arc.config.BACKEND == "slurm" else None
        yield Row(work, who, self._rate(taken), f"{ratio:.1f} x one process here", goal)

    def dying(self) -> Iterator[Row]:
        """How long after the death of a job its call has failed, with the cause."""
        say("functions: dying of all causes at once, which takes two minutes")
        deaths = [
            ("killed", _killed, {}),
            ("out of memory", _needs_memory, {"memory": "200 MB"}),
            ("out of time", _sleeps, {"wall_time": "1 min"}),
        ]
        with self.local() as here, self.slurm.interface(self.slurm.here) as slurm, self.ce() as rest:
            cases = [(here, *deaths[0]), (here, "out of time", _sleeps, {"wall_time": "1 s"})]
            cases += [(arc, *death) for arc in (slurm, rest) for death in deaths]
            with ThreadPoolExecutor(len(cases)) as threads:
                ends = list(threads.map(lambda case: _death(*case), cases))
            # While the jobs are there, as is what the compute element knows of them.
            noted = [self._noted(end.job_id) if arc is rest else end.died for (arc, *_), end in zip(cases, ends)]
        for (arc, what, _, _), end, known in zip(cases, ends, noted):
            work = f"{PLACES[arc.config.BACKEND]}: from a job's death to its call's JobFailedError"
            ratio, goal = "", at_most(end.failed - end.died, 35)
            if arc is rest:
                # It looks at the batch system every half minute, and nobody else can know before.
                ratio, goal = f"+{end.failed - known:.1f} s to the CE", at_most(end.failed - known, 5)
            yield Row(work, f"JobExecutor, {arc.config.BACKEND}: {what}", f"{end.failed - end.died:.1f} s", ratio, goal)

    def _noted(self, job_id: str) -> float:
        """When A-REX wrote down that a job has ended."""
        name = job_id.rpartition("/")[2]
        (status,) = (self.slurm.grid / "arc" / "control" / "finished").glob(f"*{name}*status")
        return status.stat().st_mtime


def call(arc: ArcInterface, function: Callable[..., Any], items: Sequence[Any]) -> int:
    """Call a function for each item, and return how many jobs that took."""
    with arc.executor() as executor:
        futures = [executor.submit(function, item) for item in items]
        wait(futures)
    for future in futures:
        future.result()
    return len({future.job.id for future in futures if future.job})


CAUSES = {"killed": "signal", "out of time": "wall-time", "out of memory": "memory"}


class Death(NamedTuple):
    """A job that has died, in seconds since the epoch."""

    job_id: str
    died: float
    failed: float
    """When its call did"""


def _death(arc: ArcInterface, what: str, function: Callable[[], object], fields: dict[str, Any]) -> Death:
    """Let a job die, whose function writes down until when it was alive; another cause is an error here."""
    failed: list[float] = []
    with arc.executor(modules=[__name__], **fields) as executor:
        future = executor.submit(function)
        future.add_done_callback(lambda _: failed.append(time.time()))
        error = future.exception(600)
    if not isinstance(error, JobFailedError) or future.job is None:
        raise RuntimeError(f"{what}: {error!r}")
    found = future.job.explain()
    if found.cause != CAUSES[what]:
        raise RuntimeError(f"{what}: {found.cause}: {found.summary}")
    return Death(future.job.id, float(future.job.stdout().split()[-1]), failed[0])


def _killed() -> None:
    _sign_of_life()
    os.kill(os.getpid(), signal.SIGKILL)


def _sleeps() -> None:
    while True:
        _sign_of_life()
        time.sleep(0.05)


def _needs_memory() -> None:
    """As on a batch system that limits the memory of each process."""
    _sign_of_life()
    resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))
    os.execv(sys.executable, ["python3", "-c", "bytearray(900 << 20)"])


def _sign_of_life() -> None:
    print(time.time(), flush=True)
