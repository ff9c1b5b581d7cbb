"""Work on a compute element: ours, the peers' and the bare protocol's, one after the other in the same run."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bare import Bare
from measure import Row, at_least, at_most, in_turn, seconds
from peers import ArcTools, Pyarcrest, curl, peer_memory

from jasmin_arc import ArcInterface, JobDescription
from jasmin_arc.backends.rest.api import Api
from jasmin_arc.backends.rest.submission import erase
from jasmin_arc.constants import ARC_REST_STATES, RUN_SCRIPT_NAME
from jasmin_arc.description.formats.adl import submission_adl
from jasmin_arc.description.run_script import run_script

TRUE = JobDescription(executable="/bin/true", outputs=[])
SLEEP = JobDescription(executable="/bin/sleep", arguments=["600"], outputs=[])
THREE_FILES = JobDescription(
    executable="/bin/sh",
    arguments=["-c", "mkdir output; for i in 1 2 3; do echo $i > output/$i; done"],
    outputs=["output"],
)
PATTERN = JobDescription(executable="/bin/true", outputs=["*.nc"])
"""A job that a compute element wants credentials for"""
GIGABYTE = JobDescription(executable="truncate", arguments=["-s", "1G", "output"], outputs=["output"])


def say(text: str) -> None:
    """Tell on standard error what is being measured."""
    print(text, file=sys.stderr, flush=True)


class Remote:
    """One compute element, and everybody who talks to it."""

    def __init__(self, config: dict[str, Any], many: int, folder: Path, memory: Path) -> None:
        # The grid's compute element writes on this machine's disk, and whoever wants a file of his own to be safe there
        # waits until all of that is written too. A user's compute element is elsewhere: so the job list is in memory.
        self.config = {**config, "JOBS_INFO_FILE": str(memory / "jobs.dat")}
        self.many = many
        self.folder = folder
        self.arc = self.interface("rest")
        self.endpoint = self.arc.config.endpoint
        self.api: Api = self.arc.backend._api  # type: ignore[attr-defined]
        self.certs = self.arc.config.CERTS_DIR
        self.proxy = self.arc.proxy.path()
        self.tools = ArcTools(self.endpoint, self.certs, self.proxy, folder, memory / "jobs.dat")

    def interface(self, backend: str) -> ArcInterface:
        """Make an interface with a job list that it shares with the others."""
        return ArcInterface(log=None, config={**self.config, "BACKEND": backend})

    @contextmanager
    def bare(self) -> Iterator[Bare]:
        """Open a bare connection."""
        connection = Bare(self.endpoint, self.certs, self.proxy)
        try:
            yield connection
        finally:
            connection.close()

    def clear(self) -> None:
        """Erase all jobs and wait until the server has done so, so that nobody measures the others' leftovers."""
        deadline = time.monotonic() + 600
        while ids := self.arc.backend.list_jobs():
            # Unlike the backend's clean(), this need not wait for the ends of jobs.
            erase(self.api, [job_id.rpartition("/")[2] for job_id in ids])
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(ids)} jobs cannot be erased")
            time.sleep(1)
        self.arc.job_list.remove(self.arc.job_list.ids())

    # --- Submitting ---

    def submitting(self) -> Iterator[Row]:
        """1000 jobs, submitted and committed."""
        say(f"submitting {self.many} jobs")
        floor = self._rate(self._submit_bare)
        least = self._rate(lambda: self._submit_bare(delegate=False))
        ours = self._rate(lambda: self._submit_ours("rest"))
        bound = self._rate(lambda: self._submit_ours("bindings"), times=1)
        self.clear()
        arcsub = 5 / seconds(lambda: self.tools.submit(5))
        work = f"submit {self.many} jobs"
        yield Row(work, "bare protocol, one connection", f"{floor:.0f} jobs/s")
        yield Row(work, "bare protocol, one connection, no delegation", f"{least:.0f} jobs/s")
        yield Row(
            work,
            "ArcInterface, rest",
            f"{ours:.0f} jobs/s",
            f"{ours / floor:.2f} x bare, {ours / least:.2f} x without delegation",
            at_least(ours / floor, 1.5),
        )
        yield Row(work, "ArcInterface, bindings", f"{bound:.0f} jobs/s")
        yield Row(
            work, "arcsub (5 jobs)", f"{arcsub:.1f} jobs/s", f"ours {ours / arcsub:.0f} x", at_least(ours / arcsub, 50)
        )
        yield Row(work, "pyarcrest (5 jobs)", self._pyarcrest_submits())
        self.clear()

    def _rate(self, submit: Callable[[], object], *, times: int = 2) -> float:
        taken = []
        for _ in range(times):
            self.clear()
            taken.append(seconds(submit))
        return self.many / statistics.median(taken)

    def _submit_bare(self, *, delegate: bool = True) -> None:
        with self.bare() as connection:
            delegation = connection.delegate() if delegate else ""
            adl = submission_adl(TRUE, [(RUN_SCRIPT_NAME, None)], delegation_id=delegation)
            connection.submit([adl] * self.many, run_script(TRUE))

    def _submit_ours(self, backend: str) -> None:
        with self.interface(backend) as arc:
            arc.submit_jobs([TRUE] * self.many)

    def _pyarcrest_submits(self) -> str:
        try:
            return f"{5 / seconds(lambda: Pyarcrest(self.endpoint, self.proxy).submit(5)):.1f} jobs/s"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
            return f"does not work: {type(error).__name__}: {str(error)[:80]}".replace("|", "/")

    def submitting_one(self) -> Iterator[Row]:
        """One job at a time, after the first."""
        say("submitting 1 job")
        adl, script = submission_adl(TRUE, [(RUN_SCRIPT_NAME, None)]), run_script(TRUE)
        on_disk = ArcInterface(
            log=None, config={**self.config, "BACKEND": "rest", "JOBS_INFO_FILE": str(self.folder / "disk.dat")}
        )
        with self.bare() as connection:
            # The server is given time to deal with each job.
            bare, rest, disk = in_turn(
                lambda: connection.submit([adl], script),
                lambda: self.arc.submit_jobs([TRUE]),
                lambda: on_disk.submit_jobs([TRUE]),
                times=15,
                pause=0.7,
            )
        with self.interface("bindings") as bindings:
            bound = seconds(lambda: bindings.submit_jobs([TRUE]), times=5)
        arcsub = seconds(lambda: self.tools.submit(1), times=3)
        yield Row("submit 1 job", "bare requests: POST and PUT", _ms(bare))
        yield Row("submit 1 job", "ArcInterface, rest", _ms(rest), f"{rest / bare:.2f} x bare", at_most(rest / bare, 3))
        yield Row("submit 1 job", "ArcInterface, rest: job list on the disk of the CE", _ms(disk))
        yield Row("submit 1 job", "ArcInterface, bindings", _ms(bound), f"rest {bound / rest:.0f} x faster")
        yield Row("submit 1 job", "arcsub", _ms(arcsub), f"rest {arcsub / rest:.0f} x faster")
        self.clear()

    def first_of_a_process(self) -> Iterator[Row]:
        """The first job of a process, which needs credentials at the compute element."""
        say("submitting the first job of a process")
        shared = self.proxy.with_name(self.proxy.name + ".delegations")
        anew = []
        for _ in range(5):
            shared.unlink(missing_ok=True)
            anew.append(seconds(self._submit_first))
        found = seconds(self._submit_first, times=5)
        ratio = statistics.median(anew) / found
        work = "submit the first job of a process, with credentials"
        yield Row(work, "ArcInterface, rest: a new delegation", _ms(statistics.median(anew)))
        yield Row(
            work, "ArcInterface, rest: the last process's", _ms(found), f"{ratio:.1f} x faster", at_least(ratio, 1.2)
        )
        self.clear()

    def _submit_first(self) -> None:
        with self.interface("rest") as arc:
            arc.submit_jobs([PATTERN])

    # --- Asking ---

    def asking(self) -> Iterator[Row]:
        """Fresh states of 1, 100 and 1000 jobs."""
        say(f"asking for the states of {self.many} jobs")
        # They must not end meanwhile, as a bare request does not tell how a job ended.
        ids = self.arc.submit_jobs([SLEEP] * self.many)
        for count in (1, 100, self.many):
            yield from self._asking(ids[:count])
        self.clear()

    def _asking(self, ids: Sequence[str]) -> Iterator[Row]:
        names = [job_id.rpartition("/")[2] for job_id in ids]
        work = f"status of {len(ids)}"
        times = 30 if len(ids) < 1000 else 10
        fresh = f"/jobs/{names[0]}/diagnose/status" if len(ids) == 1 else f"/jobs?state={','.join(ARC_REST_STATES)}"
        with self.bare() as connection, self.interface("bindings") as bindings:
            stale = seconds(lambda: connection.ask("status", names), times=times)
            bare, rest = in_turn(
                lambda: connection.request("GET", fresh), lambda: self.arc.get_job_statuses(ids), times=times
            )
            bound = seconds(lambda: bindings.get_job_statuses(ids), times=5)
        most = {1: 2.0, self.many: 1.2}.get(len(ids))
        goal = at_most(rest / bare, most) if most else None
        yield Row(work, "bare request, fresh", _ms(bare))
        yield Row(work, "bare request, as written last", _ms(stale))
        yield Row(work, "ArcInterface, rest (fresh)", _ms(rest), f"{rest / bare:.2f} x bare, fresh", goal)
        yield Row(work, "ArcInterface, bindings (fresh)", _ms(bound))
        if len(ids) <= 100:
            arcstat = seconds(lambda: self.tools.status(ids), times=3)
            goal = at_least(arcstat / rest, 20) if len(ids) == 1 else None
            yield Row(work, "arcstat", _ms(arcstat), f"rest {arcstat / rest:.0f} x faster", goal)
        yield from self._asking_pyarcrest(work, names, rest)

    def _asking_pyarcrest(self, work: str, names: Sequence[str], rest: float) -> Iterator[Row]:
        try:
            client = Pyarcrest(self.endpoint, self.proxy)
            taken = seconds(lambda: client.status(names), times=3)
            yield Row(work, "pyarcrest (as written last)", _ms(taken), f"rest {taken / rest:.1f} x faster")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
            yield Row(work, "pyarcrest", f"does not work: {type(error).__name__}")

    def failing(self) -> Iterator[Row]:
        """The first look at jobs that have all just failed, by a process that has not seen them end."""
        say(f"letting {self.many} jobs fail")
        ids = self.arc.submit_jobs([SLEEP] * self.many)
        self.interface("rest").backend.cancel(ids)
        everything = f"/jobs?state={','.join(ARC_REST_STATES)}"
        with self.bare() as connection:
            deadline = time.monotonic() + 600
            while connection.request("GET", everything)[1].count(b"<state>FAILED") < len(ids):
                if time.monotonic() > deadline:
                    raise RuntimeError("the jobs do not end")
                time.sleep(1)
            time.sleep(10)
            bare, ours, infos = [], [], []
            for number in range(9):
                bare.append(seconds(lambda: connection.request("GET", everything)))
                with self._newcomer(number) as arc:
                    arc.backend.states(ids[:1])
                    ours.append(seconds(lambda arc=arc: arc.get_job_statuses(ids)))
                with self._newcomer(number) as arc:
                    arc.backend.states(ids[:1])
                    infos.append(seconds(lambda arc=arc: arc.get_job_infos(ids)))
        ratio = statistics.median(ours) / statistics.median(bare)
        work = f"status of {len(ids)} that have just failed"
        yield Row(work, "bare request, fresh", _ms(statistics.median(bare)))
        yield Row(
            work, "ArcInterface, rest", _ms(statistics.median(ours)), f"{ratio:.2f} x bare, fresh", at_most(ratio, 1.2)
        )
        yield Row(work, "ArcInterface, rest: all that is known", _ms(statistics.median(infos)))
        self.clear()

    def _newcomer(self, number: int) -> ArcInterface:
        """Make an interface with a job list in which no end has been written down."""
        copy = self.folder / f"newcomer{number}.dat"
        shutil.copy(self.config["JOBS_INFO_FILE"], copy)
        return ArcInterface(log=None, config={**self.config, "BACKEND": "rest", "JOBS_INFO_FILE": str(copy)})

    # --- Ending ---

    def cancelling(self, count: int = 100) -> Iterator[Row]:
        """Cancel jobs that have just been submitted."""
        say(f"cancelling {count} jobs")
        rates = []
        for _ in range(3):
            ids = self.arc.submit_jobs([SLEEP] * count)
            rates.append(count / seconds(lambda ids=ids: self.arc.cancel_jobs(ids)))
            self.clear()
        ours = statistics.median(rates)
        some = self.arc.submit_jobs([SLEEP] * 10)
        arckill = len(some) / seconds(lambda: self.tools.kill(some))
        work = f"cancel {count} jobs"
        yield Row(work, "ArcInterface, rest", f"{ours:.0f} jobs/s")
        yield Row(work, f"arckill ({len(some)} jobs)", f"{arckill:.1f} jobs/s", f"ours {ours / arckill:.0f} x")
        self.clear()

    # --- Outputs ---

    def outputs(self, count: int = 100) -> Iterator[Row]:
        """Small outputs of many jobs."""
        say(f"running {count} jobs for their outputs")
        ids = self.arc.submit_jobs([THREE_FILES] * count)
        self.arc.wait(ids, timeout=1200)
        ours = count / seconds(lambda: self._save(ids), times=3)
        some = ids[:10]
        self.tools.wait(some)
        arcget = len(some) / seconds(lambda: self._arcget(some))
        work = f"outputs of {count} jobs, 3 small files each"
        yield Row(work, "ArcInterface, rest", f"{ours:.0f} jobs/s")
        ratio = ours / arcget
        yield Row(
            work, f"arcget ({len(some)} jobs)", f"{arcget:.1f} jobs/s", f"ours {ratio:.0f} x", at_least(ratio, 20)
        )
        self.clear()

    def _save(self, ids: Sequence[str]) -> None:
        with tempfile.TemporaryDirectory(dir=self.folder) as target:
            self.arc.save_outputs(ids, target)

    def _arcget(self, ids: Sequence[str]) -> None:
        with tempfile.TemporaryDirectory(dir=self.folder) as target:
            self.tools.get(ids, Path(target))

    def large(self) -> Iterator[Row]:
        """One file of 1 GB, and the memory that it takes."""
        say("downloading 1 GB")
        (job_id,) = self.arc.submit_jobs([GIGABYTE])
        self.arc.wait([job_id], timeout=600)
        target = self.folder / "large"
        theirs, ours, memory = [], [], 0
        for _ in range(3):
            theirs.append(seconds(lambda: curl(f"{job_id}/session/output", self.certs, self.proxy, target)))
            shutil.rmtree(self.folder / "ours", ignore_errors=True)
            taken, memory = peer_memory(self._save_command(job_id))
            ours.append(taken)
        idle, least = peer_memory([sys.executable, "-c", "import jasmin_arc.backends.rest.backend"])
        target.unlink()
        ratio = sorted(theirs)[1] / (sorted(ours)[1] - idle)
        work = "one file of 1 GB"
        yield Row(work, "curl", f"{1 / sorted(theirs)[1]:.2f} GB/s")
        yield Row(
            work,
            "ArcInterface, rest",
            f"{1 / (sorted(ours)[1] - idle):.2f} GB/s",
            f"{ratio:.2f} x curl",
            at_least(ratio, 0.8),
        )
        extra = (memory - least) / 2**20
        yield Row(work, "ArcInterface, rest: memory above idle", f"{extra:.0f} MiB", "", at_most(extra, 64))
        self.clear()

    def _save_command(self, job_id: str) -> list[str]:
        code = (
            "import json, sys; from jasmin_arc import ArcInterface\n"
            "arc = ArcInterface(log=None, config=json.loads(sys.argv[1]))\n"
            "arc.save_job_outputs(sys.argv[2], directory=sys.argv[3])"
        )
        config = json.dumps({**self.config, "BACKEND": "rest"})
        return [sys.executable, "-c", code, config, job_id, str(self.folder / "ours")]


def _ms(taken: float) -> str:
    return f"{taken * 1000:.1f} ms"
