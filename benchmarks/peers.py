"""The peers: ARC's own command line, curl, submitit, and pyarcrest where it still works."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class ArcTools:
    """arcsub, arcstat and arcget, with a home of their own."""

    def __init__(self, endpoint: str, certs_dir: str, proxy: Path, home: Path, jobs: Path) -> None:
        self.endpoint = endpoint
        self.home = home
        self.list = jobs
        self.proxy = proxy
        self.environment = {**os.environ, "HOME": str(home), "X509_USER_PROXY": str(proxy), "X509_CERT_DIR": certs_dir}

    def run(self, *command: str) -> str:
        """Run one of the tools; a failure is an error here."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, cwd=self.home)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stdout[-500:]} {done.stderr[-500:]}")
        return done.stdout

    def submit(self, count: int) -> list[str]:
        """Submit jobs, one file each, in one call, and return their ids."""
        files = []
        for number in range(count):
            file = self.home / f"{number}.xrsl"
            file.write_text('&(executable="/bin/true")(jobname="peer")(stdout="stdout")(stderr="stderr")')
            files.append(str(file))
        out = self.run("arcsub", "-C", self.endpoint, "-T", "arcrest", "-j", str(self.list), *files)
        return [word for word in out.split() if word.startswith("https://")]

    def status(self, ids: Sequence[str]) -> None:
        """Ask for the states of jobs."""
        self.run("arcstat", "-j", str(self.list), *ids)

    def kill(self, ids: Sequence[str]) -> None:
        """Cancel jobs, and keep them; one that is not cancelled is an error here."""
        self.run("arckill", "-k", "-j", str(self.list), *ids)

    def wait(self, ids: Sequence[str], timeout: float = 600) -> None:
        """Wait until these tools see that the jobs have ended: up to minutes later, with a server's stock timers."""
        deadline = time.monotonic() + timeout
        while self.run("arcstat", "-j", str(self.list), *ids).count("State: Finished") < len(ids):
            if time.monotonic() > deadline:
                raise RuntimeError(f"arcstat does not see within {timeout:g} s that the jobs have ended")
            time.sleep(5)

    def get(self, ids: Sequence[str], folder: Path) -> None:
        """Download the outputs of jobs; one that arcget leaves out is an error here."""
        self.run("arcget", "-k", "-j", str(self.list), "-D", str(folder), *ids)
        if len(list(folder.iterdir())) != len(ids):
            raise RuntimeError(f"arcget has not fetched the outputs of all {len(ids)} jobs")


def curl(url: str, certs_dir: str, proxy: Path, target: Path) -> None:
    """Download one file with curl."""
    command = ["curl", "-sSf", "--cert", str(proxy), "--key", str(proxy), "--capath", certs_dir, "-o", str(target), url]
    subprocess.run(command, check=True)


class Pyarcrest:
    """pyarcrest, as far as it works with this compute element and today's libraries."""

    def __init__(self, endpoint: str, proxy: Path) -> None:
        from pyarcrest.arc import ARCRest  # type: ignore[import-not-found]

        self.client: Any = ARCRest.getClient(url=endpoint, proxypath=str(proxy))

    def submit(self, count: int) -> None:
        """Submit jobs."""
        text = '&(executable="/bin/true")(jobname="peer")'
        self.client.submitJobs([text] * count, "short", self.client.createDelegation())

    def status(self, names: Sequence[str]) -> None:
        """Ask for the states of jobs."""
        self.client.getJobsStatus(list(names))


def peer_memory(command: list[str]) -> tuple[float, int]:
    """Run a command and return its seconds and the most memory that it used, in bytes."""
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


class Submitit:
    """submitit's executor for this machine.

    :raises ImportError: if it is not installed
    """

    def __init__(self, folder: Path) -> None:
        import submitit  # type: ignore[import-not-found]

        self.sequence = submitit.helpers.FunctionSequence
        self.executor: Any = submitit.LocalExecutor(folder)

    def one(self, function: Callable[..., Any], argument: object) -> None:
        """Make one call."""
        self.executor.submit(function, argument).result()

    def together(self, function: Callable[..., Any], arguments: Sequence[object], jobs: int) -> None:
        """Make calls in some jobs, each of which makes its part of them."""
        sequences = [self.sequence() for _ in range(jobs)]
        for number, argument in enumerate(arguments):
            sequences[number % jobs].add(function, argument)
        for job in [self.executor.submit(sequence) for sequence in sequences]:
            job.result()

    def apart(self, function: Callable[..., Any], arguments: Sequence[object], at_once: int) -> None:
        """Make each call in a job, some at a time."""
        for start in range(0, len(arguments), at_once):
            for job in self.executor.map_array(function, arguments[start : start + at_once]):
                job.result()
