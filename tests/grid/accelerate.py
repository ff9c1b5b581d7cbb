"""accelerate.py ARC_DIR: run two of A-REX's own scripts when there is something for them to do, not by its timers.

1. A-REX looks for jobs that have left the batch system every 10 s, and not more often whatever arc.conf says.
   Its scan script runs here every 0.2 s while a job is in the batch system.
2. The states that REST's action=status and action=info give are read from job.ID.xml, and only the information
   provider writes these files. It runs here as soon as a job's status file is newer than its document, and every
   second while any job is active, because a job that starts in Slurm changes no status file.

When nothing happens it only looks at the control directory. It rests in proportion to the work it has just done, so
that with thousands of jobs it leaves the processors to them.
"""
import os
import pathlib
import subprocess
import sys
import threading
import time

ARC = pathlib.Path(sys.argv[1])
CONTROL = ARC / "control"
CONFIG = ARC / "run" / "arched-arex.cfg"        # A-REX writes it when it starts
SCAN_TMP = ARC / "tmp" / "accelerate"           # the scan script's lock lies in its TMPDIR: one of its own
LOCK = "scan-slurm-job.lock"
SCAN = ["/usr/share/arc/scan-SLURM-job", "--config", str(CONFIG), str(CONTROL)]
PROVIDE = ["/usr/bin/perl", "/usr/share/arc/CEinfo.pl", "--splitjobs", "--config", str(CONFIG)]


def run(command):
    """Run one of A-REX's scripts; return how long it took."""
    start = time.monotonic()
    environment = dict(os.environ, TMPDIR=str(SCAN_TMP), ARC_CONFIG=str(CONFIG))
    with open(ARC / "log" / "job.helper.errors", "a") as errors:
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
    return time.monotonic() - start


def status_files(*folders):
    """The entries of the jobs' status files; A-REX moves them from one folder to the next."""
    for folder in folders:
        try:
            with os.scandir(CONTROL / folder) as entries:
                yield from (entry for entry in entries if entry.name.endswith(".status"))
        except OSError:     # A-REX has not made the folder yet
            pass


def in_batch_system(entry):
    try:
        return pathlib.Path(entry.path).read_text().strip().endswith(("INLRMS", "CANCELING"))
    except OSError:         # moved on meanwhile
        return False


def outdated(entry):
    """Whether the provider would write this job's document again: the test that ARC1ClusterInfo.pm makes."""
    job_id = entry.name[len("job."):-len(".status")]
    try:
        changed = int(entry.stat().st_mtime)
    except OSError:
        return False
    try:
        return changed >= int(os.stat(CONTROL / f"job.{job_id}.xml").st_mtime)
    except OSError:
        return True


def keep_scanning():
    while True:
        start = time.monotonic()
        if any(map(in_batch_system, status_files("processing"))):
            (SCAN_TMP / LOCK).unlink(missing_ok=True)       # of a scan that was killed: the next would sleep
            run(SCAN)
        time.sleep(max(0.2, time.monotonic() - start))


def keep_informing():
    last = 0.0
    while True:
        start = time.monotonic()
        finished = any(map(outdated, status_files("finished")))
        active = list(status_files("accepting", "processing", "restarting"))
        due = active and time.monotonic() - last > 1
        took = 0.0
        if CONFIG.exists() and (due or finished or any(map(outdated, active))):
            took = run(PROVIDE)
            last = time.monotonic()
        looked = time.monotonic() - start - took
        time.sleep(max(0.1, 4 * looked, took - 1))


(ARC / "run" / "accelerate.pid").write_text(f"{os.getpid()}\n")
SCAN_TMP.mkdir(exist_ok=True)
# A lock that names a living process makes the scan that A-REX starts by its own timer end at once.
(ARC / "tmp" / LOCK).write_text(f"{os.getpid()}\n")
threading.Thread(target=keep_scanning, daemon=True).start()
keep_informing()
