"""accelerate.py ARC_DIR: run two of A-REX's own scripts as soon as they have something to do, not by its timers.

1. A-REX looks for jobs that have left the batch system every 10 s at best, whatever arc.conf says. Here its scan
   script runs as soon as squeue no longer lists a job that A-REX has in the batch system.
2. The states that REST's action=status and action=info give are read from job.ID.xml, and only the information
   provider writes these files, every 60 s. Here it runs as soon as a job's status file is newer than its document or
   Slurm has changed a job's state, and every 5 s while there is a job in Slurm.

While nothing changes it only looks, about as expensively as `squeue` five times a second. When there is much to look
at or to do it rests in proportion, so that with thousands of jobs it leaves the processors to them. A run of the
information provider takes nearly a second of processor time, so there is a pause before the next one.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

ARC = Path(sys.argv[1])
CONTROL = ARC / "control"
CONFIG = ARC / "run" / "arched-arex.cfg"  # A-REX writes it when it starts
LOCK = "scan-slurm-job.lock"
SCAN_TMP = ARC / "tmp" / "accelerate"  # the scan script locks in its TMPDIR, so it gets one of its own
SCAN = ["/usr/share/arc/scan-SLURM-job", "--config", str(CONFIG), str(CONTROL)]
PROVIDE = ["/usr/bin/perl", "/usr/share/arc/CEinfo.pl", "--splitjobs", "--config", str(CONFIG)]
PAUSE = 2.5  # seconds between two runs of the information provider
RETRY = 5.0  # seconds between runs that settle nothing, for example because Slurm is too busy to answer


def run(command):
    environment = dict(os.environ, TMPDIR=str(SCAN_TMP), ARC_CONFIG=str(CONFIG))
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
    return entry.name[len("job.") : -len(".status")]


class BatchSystem:
    """What A-REX has given to Slurm, and what Slurm says about it."""

    def __init__(self):
        self.states = {}  # Slurm's state of each job that A-REX has there, "" for one that has left
        self._slurm_ids = {}

    def look(self):
        """Bring the states up to date; keep them when Slurm does not answer."""
        jobs = [slurm_id for entry in status_files("processing") if (slurm_id := self._slurm_id(entry))]
        if not jobs:
            self.states = {}
            return
        squeue = subprocess.run(
            ["squeue", "-h", "-o", "%i %T"], stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if squeue.returncode == 0:
            listed = dict(line.split() for line in squeue.stdout.splitlines())
            self.states = {job: listed.get(job, "") for job in jobs}

    def left(self):
        return {job for job, state in self.states.items() if not state}

    def _slurm_id(self, entry):
        """The job's number in Slurm while A-REX has it there, else None."""
        try:
            if not Path(entry.path).read_text().strip().endswith(("INLRMS", "CANCELING")):
                return None
            job = job_id(entry)
            if job not in self._slurm_ids:
                local = (CONTROL / f"job.{job}.local").read_text()
                self._slurm_ids[job] = next(
                    s[len("localid=") :] for s in local.splitlines() if s.startswith("localid=")
                )
            return self._slurm_ids[job]
        except (OSError, StopIteration):  # moved on meanwhile, or not yet complete
            return None


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
            written = os.stat(CONTROL / f"job.{job_id(entry)}.xml").st_mtime_ns
        except OSError:
            written = 0
        if changed // 10**9 >= written // 10**9:
            found.add((job_id(entry), changed))
    return found


def keep_scanning(slurm):
    attempts = Attempts()
    while True:
        start = time.monotonic()
        slurm.look()
        if attempts.due(slurm.left()):
            (SCAN_TMP / LOCK).unlink(missing_ok=True)  # of a scan that was killed: the next one would sleep
            run(SCAN)
        time.sleep(max(0.2, 2 * (time.monotonic() - start)))


def keep_informing(slurm):
    attempts = Attempts()
    while True:
        start = time.monotonic()
        work = outdated() | set(slurm.states.items())
        looked = time.monotonic()
        due = attempts.due(work)
        if due:
            run(PROVIDE)
        time.sleep(max(0.2, 4 * (looked - start), PAUSE if due else 0))


(ARC / "run" / "accelerate.pid").write_text(f"{os.getpid()}\n")
SCAN_TMP.mkdir(exist_ok=True)
# A lock that names a living process makes each scan that A-REX starts by its own timer end at once.
(ARC / "tmp" / LOCK).write_text(f"{os.getpid()}\n")
while not CONFIG.exists():
    time.sleep(0.1)
batch_system = BatchSystem()
threading.Thread(target=keep_scanning, args=[batch_system], daemon=True).start()
keep_informing(batch_system)
