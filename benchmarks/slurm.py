"""Work on Slurm, here and over SSH: ours and that of the bare commands, one after the other in the same run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from measure import Row, at_least, at_most, in_turn, seconds
from peers import peer_memory

from jasmin_arc import ArcInterface, JobDescription

LATER = {"begin": "now+1hour"}
"""So that no job runs while something else is measured"""
EQUAL = JobDescription(executable="/bin/true", outputs=[], wall_time="10m", native=LATER)
GIGABYTE = JobDescription(
    executable="/bin/sh",
    # Of such bytes nothing on the way makes less.
    arguments=["-c", "head -c 1073741824 /dev/urandom > output"],
    outputs=["output"],
)
_CONTROLLER = ("sbatch", "scancel", "scontrol", "sinfo", "squeue")
"""The commands that ask Slurm's controller"""


def say(text: str) -> None:
    """Tell on standard error what is being measured."""
    print(text, file=sys.stderr, flush=True)


class Slurm:
    """The grid's Slurm, and all who talk to it.

    :param grid: the folder of the grid
    :param memory: a folder that is no disk's: for a job list that is not on the disk on which the cluster works
    """

    def __init__(self, grid: Path, many: int, folder: Path, memory: Path) -> None:
        self.grid = grid
        self.many = many
        self.folder = folder
        self.here = self._config("slurm.json", memory / "here.dat")
        self.there = self._config("slurm-ssh.json", memory / "there.dat")
        self.bin = self.here["SLURM_BIN"]
        self.host = self.there["SLURM_HOST"]
        os.environ["PATH"] = f"{grid}/ssh/bin{os.pathsep}{os.environ['PATH']}"

    def _config(self, name: str, jobs: Path) -> dict[str, Any]:
        options = dict(json.loads((self.grid / name).read_text()))
        return {**options, "SLURM_DIR": f"{options['SLURM_DIR']}-bench", "JOBS_INFO_FILE": str(jobs)}

    def rows(self) -> Iterator[Row]:
        """Measure one thing after another."""
        for part in (
            self.submitting_equal,
            self.submitting_different,
            self.submitting_over_ssh,
            self.asking,
            self.asking_over_ssh,
            self.ending,
            self.large,
        ):
            yield from part()
        for config in (self.here, self.there):
            shutil.rmtree(config["SLURM_DIR"])

    @contextmanager
    def interface(self, config: dict[str, Any]) -> Iterator[ArcInterface]:
        """Make an interface, and leave no job behind."""
        with ArcInterface(log=None, config=config) as arc:
            try:
                yield arc
            finally:
                ids = arc.job_list.ids()
                arc.backend.cancel(ids)
                arc.wait(ids, timeout=600)
                arc.clean_jobs(ids, force=True)

    def calls(self, *commands: str) -> int:
        """How often the commands were started so far: their wrappers in the grid write it down."""
        return sum(len((self.grid / "calls" / name).read_text().splitlines()) for name in commands)

    def shell(self, script: str, *, host: str = "") -> None:
        """Run a script in one bare shell; a failure is an error here."""
        command = ["ssh", host, "sh -s"] if host else ["sh", "-s"]
        start = f"PATH={shlex.quote(self.bin)}:$PATH\nset -e\n{script}\n"
        done = subprocess.run(command, input=start, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{script[:80]}: {done.stderr[-500:]}")

    def forget(self, config: dict[str, Any]) -> None:
        """Let the next question reach Slurm itself: answers are kept for a moment."""
        Path(config["SLURM_DIR"], "queue").unlink(missing_ok=True)

    # --- Submitting ---

    def submitting_equal(self) -> Iterator[Row]:
        """Jobs that ask for the same things."""
        say(f"Slurm: submitting {self.many} equal jobs")
        bare = self._bare(f"sbatch --array=0-{self.many - 1} {BARE}")
        with self.interface(self.here) as arc:
            before = self.calls(*_CONTROLLER)
            ours = seconds(lambda: arc.submit_jobs([EQUAL] * self.many))
            requests = self.calls(*_CONTROLLER) - before
        work = f"Slurm: submit {self.many} equal jobs"
        yield Row(work, "one bare sbatch of an array", f"{bare:.2f} s")
        yield Row(work, "ArcInterface, slurm", f"{ours:.2f} s", "", at_most(ours, 5))
        yield Row(work, "ArcInterface, slurm: requests to the controller", str(requests), "", at_most(requests, 10))

    def submitting_different(self) -> Iterator[Row]:
        """Jobs each of which asks for something else, so that there is no array."""
        say(f"Slurm: submitting {self.many} different jobs")
        jobs = [EQUAL.replace(wall_time=f"{minutes}m") for minutes in range(1, self.many + 1)]
        bare = self._bare(
            f"for minutes in $(seq {self.many}); do sbatch --time=$minutes {BARE.replace('--time=10 ', '')}; done"
        )
        with self.interface(self.here) as arc:
            ours = seconds(lambda: arc.submit_jobs(jobs))
        work = f"Slurm: submit {self.many} different jobs"
        yield Row(work, f"{self.many} bare sbatch in one shell", f"{bare:.2f} s")
        yield Row(work, "ArcInterface, slurm", f"{ours:.2f} s", f"{ours / bare:.2f} x bare", at_most(ours / bare, 1.5))

    def _bare(self, script: str) -> float:
        taken = seconds(lambda: self.shell(script))
        self.shell(f"scancel --me --name={BARE_NAME}")
        return taken

    def submitting_over_ssh(self) -> Iterator[Row]:
        """Jobs with inputs, over SSH."""
        say(f"Slurm over SSH: submitting {self.many} jobs with 10 kB each")
        content = os.urandom(5_000).hex()
        jobs = [EQUAL.replace(inputs={"data.txt": f"{number:06} {content}".encode()}) for number in range(self.many)]
        with self.interface(self.there) as arc:
            arc.site()
            before = self.calls("ssh", "sftp")
            one = seconds(lambda: arc.submit_jobs(jobs[:1]))
            trips_of_one = self.calls("ssh", "sftp") - before
            before = self.calls("ssh", "sftp")
            ours = seconds(lambda: arc.submit_jobs(jobs))
            trips = self.calls("ssh", "sftp") - before
        yield Row("Slurm over SSH: submit 1 job with 10 kB", "ArcInterface, slurm", f"{one * 1000:.0f} ms")
        work = f"Slurm over SSH: submit {self.many} jobs with 10 kB each"
        yield Row(work, "ArcInterface, slurm", f"{ours:.2f} s", "", at_most(ours, 10))
        most = max(trips, trips_of_one)
        yield Row("Slurm over SSH: submit", "ArcInterface, slurm: round trips", str(most), "", at_most(most, 3))

    # --- Asking ---

    def asking(self) -> Iterator[Row]:
        """The states of many jobs."""
        say(f"Slurm: asking for the states of {self.many} jobs")
        with self.interface(self.here) as arc:
            ids = arc.submit_jobs([EQUAL] * self.many)
            bare, ours = [], []
            for _ in range(9):
                bare.append(seconds(lambda: self.shell("squeue --me -h -r -t all >/dev/null")))
                self.forget(self.here)
                ours.append(seconds(lambda: arc.get_job_statuses(ids)))
        ratio = statistics.median(ours) / statistics.median(bare)
        work = f"Slurm: status of {self.many}"
        yield Row(work, "one bare squeue", _ms(statistics.median(bare)))
        yield Row(work, "ArcInterface, slurm", _ms(statistics.median(ours)), f"{ratio:.2f} x bare", at_most(ratio, 2))

    def asking_over_ssh(self) -> Iterator[Row]:
        """The state of one job, over a connection that is open."""
        say("Slurm over SSH: asking for the state of one job")
        with self.interface(self.there) as arc:
            ids = arc.submit_jobs([EQUAL])
            arc.get_job_status(ids[0])
            known = seconds(lambda: arc.get_job_status(ids[0]), times=9)
            fresh = []
            for _ in range(9):
                self.forget(self.there)
                fresh.append(seconds(lambda: arc.get_job_status(ids[0])))
        with self.master() as host:
            bare, empty = in_turn(
                lambda: self.shell("squeue --me -h -t all >/dev/null", host=host),
                lambda: self.shell(":", host=host),
                times=9,
            )
        work, best = "Slurm over SSH: status of 1", statistics.median(fresh)
        yield Row(work, "ssh over a master, to do nothing", _ms(empty))
        yield Row(work, "ssh over a master, bare squeue", _ms(bare))
        yield Row(work, "ArcInterface, slurm: Slurm is asked", _ms(best), f"{best / bare:.2f} x bare")
        yield Row(
            work, "ArcInterface, slurm: Slurm was asked less than 2 s ago", _ms(known), "", at_most(known * 1000, 15)
        )

    @contextmanager
    def master(self) -> Iterator[str]:
        """A host with a connection that bare commands share."""
        host = f"{self.host}-master"
        self.shell(":", host=host)
        try:
            yield host
        finally:
            subprocess.run(["ssh", "-O", "exit", host], capture_output=True)

    def ending(self) -> Iterator[Row]:
        """How long after the end of a job a wait is over, which is no question to Slurm."""
        say("Slurm: waiting for ends")
        for where, config in (("Slurm", self.here), ("Slurm over SSH", self.there)):
            with self.interface(config) as arc:
                naps = [JobDescription(executable="/bin/sleep", arguments=[1 + 3.3 * number]) for number in range(5)]
                jobs = arc.submit(naps)
                before = self.calls("squeue")
                seen = {job.id: datetime.now(timezone.utc) for job in arc.as_completed(jobs)}
                asked = self.calls("squeue") - before
                late = [(seen[info.id] - info.ended).total_seconds() for info in jobs.infos() if info.ended]
            most = max(late)
            yield Row(
                f"{where}: from a job's end to the end of the wait",
                f"ArcInterface, slurm: the slowest of {len(late)}; {asked} squeue",
                f"{most:.1f} s",
                "",
                at_most(most, 2),
            )

    # --- Outputs ---

    def large(self) -> Iterator[Row]:
        """One file of 1 GB over SSH, and the memory that it takes."""
        say("Slurm over SSH: downloading 1 GB")
        target = self.folder / "large"
        theirs, ours, memory = [], [], 0
        with self.interface(self.there) as arc, self.master() as host:
            (job_id,) = arc.submit_jobs([GIGABYTE])
            arc.wait([job_id], timeout=600, check=True)
            (path,) = Path(self.there["SLURM_DIR"]).glob(f"*/{job_id.rpartition('/')[2]}/session/output")
            for _ in range(3):
                theirs.append(seconds(lambda: self._sftp(host, path, target)))
                shutil.rmtree(self.folder / "ours", ignore_errors=True)
                taken, memory = peer_memory(self._save_command(job_id))
                ours.append(taken)
            target.unlink()
        idle, least = peer_memory([sys.executable, "-c", "import jasmin_arc.backends.slurm.backend"])
        our, their = statistics.median(ours) - idle, statistics.median(theirs)
        work = "Slurm over SSH: one file of 1 GB"
        yield Row(work, "sftp over a master", f"{1 / their:.2f} GB/s")
        yield Row(
            work, "ArcInterface, slurm", f"{1 / our:.2f} GB/s", f"{their / our:.2f} x sftp", at_least(their / our, 0.8)
        )
        extra = (memory - least) / 2**20
        yield Row(work, "ArcInterface, slurm: memory above idle", f"{extra:.0f} MiB", "", at_most(extra, 64))

    def _sftp(self, host: str, path: Path, target: Path) -> None:
        subprocess.run(["sftp", "-q", f"{host}:{path}", str(target)], check=True, stdout=subprocess.DEVNULL)

    def _save_command(self, job_id: str) -> list[str]:
        code = (
            "import json, sys; from jasmin_arc import ArcInterface\n"
            "arc = ArcInterface(log=None, config=json.loads(sys.argv[1]))\n"
            "arc.save_job_outputs(sys.argv[2], directory=sys.argv[3])"
        )
        return [sys.executable, "-c", code, json.dumps(self.there), job_id, str(self.folder / "ours")]


BARE_NAME = "bare-benchmark"
BARE = f"--job-name={BARE_NAME} --begin=now+1hour --time=10 --output=/dev/null --wrap=true >/dev/null"


def _ms(taken: float) -> str:
    return f"{taken * 1000:.1f} ms"
