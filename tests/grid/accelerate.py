"""accelerate.py ARC_DIR: run two of A-REX's own scripts as soon as they have something to do, not by its timers.

1. A-REX looks for jobs that have left the batch system every 10 s at best, whatever arc.conf says. Here its scan
   script runs as soon as the batch system no longer has a job that A-REX has there.
2. The states that REST's action=status and action=info give are read from a document of each job, and only the
   information provider writes these, every 60 s. Here it runs as soon as a job's status file is newer than its
   document or the batch system has changed a job's state, and every 5 s while there is a job in it.

The batch system is Slurm for A-REX 6, and this machine (A-REX calls it "fork") for A-REX 7. While nothing changes it
only looks, about as expensively as `squeue` five times a second. When there is much to look at or to do it rests in
proportion, so that with thousands of jobs it leaves the processors to them. A run of the information provider takes
nearly a second of processor time, so there is a pause before the next one.
"""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

ARC = Path(sys.argv[1])
CONTROL = ARC / "control"
CONFIG = ARC / "run" / "arched-arex.cfg"  # A-REX writes it when it starts
LOCK = "scan-slurm-job.lock"
SCAN_TMP = ARC / "tmp" / "accelerate"  # Slurm's scan script locks in its TMPDIR, so it gets one of its own
NO_SLEEP = ARC / "bin" / "no-sleep"  # fork's scan script ends with a sleep, so it finds another program of that name
FORK = "lrms = fork" in (ARC / "arc.conf").read_text()
SCAN = [f"/usr/share/arc/scan-{'fork' if FORK else 'SLURM'}-job", "--config", str(CONFIG), str(CONTROL)]
PROVIDE = ["/usr/bin/perl", "/usr/share/arc/CEinfo.pl", "--splitjobs", "--config", str(CONFIG)]
PAUSE = 2.5  # seconds between two runs of the information provider
RETRY = 5.0  # seconds between runs that settle nothing, for example because Slurm is too busy to answer


def run(command, path=os.environ["PATH"]):
    environment = dict(os.environ, TMPDIR=str(SCAN_TMP), ARC_CONFIG=str(CONFIG), PATH=path)
    with open(ARC / "log" / "job.helper.errors", "a") as errors:
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)


class Attempts:
    """Remembers what a script has been run for, because a run does not always settle it."""

    def __init__(self):
        self._tried = set()
        self._last = 0.0

    def due(self, work):
        """Whether to run now: there is new work, or old work is left and RETRY seconds have passed."""
        now = time.monotonic()
        if not work or (work <= self._tried and now - self._last < RETRY):
            return False
        self._tried, self._last = work, now
        return True


def status_files(*folders):
    """The entries of the jobs' status files. A-REX moves them from one folder to the next."""
    for folder in folders:
        try:
            with os.scandir(CONTROL / folder) as entries:
                yield from (entry for entry in entries if entry.name.endswith(".status"))
        except OSError:  # A-REX has not made the folder yet
            pass


def job_id(entry):
    """Of job.ID.status, as A-REX 6 calls it, or ID.status."""
    return entry.name[: -len(".status")].rpartition(".")[2]


def file_of(job, name):
    """A file of a job: job.ID.NAME, or with A-REX 7, whose ids have 12 characters, 012/345/678/9ab/NAME."""
    if not FORK:
        return CONTROL / f"job.{job}.{name}"
    return CONTROL.joinpath("jobs", *re.match("(...)(...)(...)(.*)", job).groups(), name)


class BatchSystem:
    """What A-REX has given to the batch system, and what that says about it."""

    def __init__(self):
        self.states = {}  # the state there of each job that A-REX has there, "" for one that has left
        self._local_ids = {}

    def look(self):
        """Bring the states up to date; keep them when Slurm does not answer."""
        jobs = [local_id for entry in status_files("processing") if (local_id := self._local_id(entry))]
        listed = (processes if FORK else squeue)(jobs) if jobs else {}
        if listed is not None:
            self.states = {job: listed.get(job, "") for job in jobs}

    def left(self):
        return {job for job, state in self.states.items() if not state}

    def _local_id(self, entry):
        """What the batch system calls the job while A-REX has it there, else None."""
        try:
            if not Path(entry.path).read_text().strip().endswith(("INLRMS", "CANCELING")):
                return None
            job = job_id(entry), entry.stat().st_mtime_ns  # one that is restarted gets another number
            if job not in self._local_ids:
                local = file_of(job[0], "local").read_text()
                self._local_ids[job] = next(
                    s[len("localid=") :] for s in local.splitlines() if s.startswith("localid=")
                )
            return self._local_ids[job]
        except (OSError, StopIteration):  # moved on meanwhile, or not yet complete
            return None


def squeue(jobs):
    """The states of jobs in Slurm, or None when it does not answer."""
    done = subprocess.run(["squeue", "-h", "-o", "%i %T"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return dict(line.split() for line in done.stdout.splitlines()) if done.returncode == 0 else None


def processes(jobs):
    """The jobs that are a process still."""
    return {job: "RUNNING" for job in jobs if Path("/proc", job).exists()}


def outdated():
    """The jobs, with the times of their states, whose documents the provider would write again.

    The comparison is the one that ARC1ClusterInfo.pm makes, in whole seconds.
    """
    found = set()
    for entry in status_files("accepting", "processing", "restarting", "finished"):
        try:
            changed = entry.stat().st_mtime_ns
        except OSError:  # moved on meanwhile
            continue
        try:
            written = os.stat(file_of(job_id(entry), "xml")).st_mtime_ns
        except OSError:
            written = 0
        if changed // 10**9 >= written // 10**9:
            found.add((job_id(entry), changed))
    return found


def keep_scanning(batch_system):
    attempts = Attempts()
    while True:
        start = time.monotonic()
        batch_system.look()
        if attempts.due(batch_system.left()):
            (SCAN_TMP / LOCK).unlink(missing_ok=True)  # of a scan that was killed: the next one would sleep
            run(SCAN, path=f"{NO_SLEEP}:{os.environ['PATH']}" if FORK else os.environ["PATH"])
        time.sleep(max(0.2, 2 * (time.monotonic() - start)))


def keep_informing(batch_system):
    attempts = Attempts()
    while True:
        start = time.monotonic()
        work = outdated() | set(batch_system.states.items())
        looked = time.monotonic()
        due = attempts.due(work)
        if due:
            run(PROVIDE)
        time.sleep(max(0.2, 4 * (looked - start), PAUSE if due else 0))


(ARC / "run" / "accelerate.pid").write_text(f"{os.getpid()}\n")
SCAN_TMP.mkdir(exist_ok=True)
NO_SLEEP.mkdir(exist_ok=True)
if not (NO_SLEEP / "sleep").exists():
    (NO_SLEEP / "sleep").symlink_to("/bin/true")
# A lock that names a living process makes each scan that A-REX starts by its own timer end at once.
(ARC / "tmp" / LOCK).write_text(f"{os.getpid()}\n")
while not CONFIG.exists():
    time.sleep(0.1)
batch_system = BatchSystem()
threading.Thread(target=keep_scanning, args=[batch_system], daemon=True).start()
keep_informing(batch_system)
