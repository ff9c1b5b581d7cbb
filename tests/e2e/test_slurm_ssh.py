"""Slurm over SSH: hosts and keys that are not there, connections that are cut, and who may see what."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeArc, slurm_folder

from jasmin_arc import JasminArcError, JobDescription, JobStatuses

pytestmark = pytest.mark.grid
LIMIT = 90
HOSTS = """
Host grid-no-key grid-by-hand
    IdentityFile none
Host grid-by-hand
    ControlPath {folder}/by-hand-%r@%h
Host grid-unknown
    UserKnownHostsFile {known}
    IdentityFile {key}
Host grid-no-key grid-unknown grid-by-hand
    User griduser
    HostName 127.0.0.1
    HostKeyAlias grid
    Port {port}
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {grid}/ssh/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
"""


@dataclass
class Site:
    """The grid's sshd, and a user with hosts in ~/.ssh/config that no other test has."""

    grid: Path
    folder: Path
    options: dict[str, Any]

    @property
    def port(self) -> int:
        found = re.search(r"Port (\d+)", (self.grid / "ssh" / "config").read_text())
        assert found
        return int(found[1])

    @property
    def key(self) -> Path:
        return self.grid / "ssh" / "id_ed25519"

    def config(self, host: str = "grid-ssh", **options: Any) -> dict[str, Any]:
        return {**self.options, "SLURM_HOST": host, **options}

    def masters(self) -> dict[int, int]:
        """The connections of this test: the process of ssh, and its port."""
        found = {}
        for line in ss(f"dport = :{self.port}"):
            process = re.search(r"pid=(\d+)", line)
            if process and str(self.folder).encode() in told_of(int(process[1])):
                found[int(process[1])] = int(line.split()[3].rpartition(":")[2])
        return found

    def cut(self) -> None:
        """Let the server end all connections of this test."""
        for port in self.masters().values():
            for line in ss(f"sport = :{self.port} and dport = :{port}"):
                for process in re.findall(r'"sshd",pid=(\d+)', line):
                    subprocess.run(["kill", "-KILL", process], check=False)


def told_of(process: int) -> bytes:
    """The arguments and the environment of a process. ssh writes the name of its socket over them."""
    try:
        return b"".join(Path(f"/proc/{process}/{name}").read_bytes() for name in ("cmdline", "environ"))
    except OSError:
        return b""


def ss(filter: str) -> list[str]:
    return subprocess.run(["ss", "-Htnp", filter], capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.fixture
def site(
    request: pytest.FixtureRequest,
    options_of: Callable[[str], dict[str, Any]],
    slurm_environment: Callable[[str], AbstractContextManager[None]],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    grid = slurm_folder(request, "slurm-ssh")
    folder = tmp_path_factory.mktemp("x")
    options = {name: value for name, value in options_of("slurm-ssh").items() if name != "JOBS_INFO_FILE"}
    site = Site(grid, folder, options)
    known = tmp_path / "known_hosts"
    known.touch()
    config = tmp_path / "ssh_config"
    more = HOSTS.format(folder=folder, known=known, port=site.port, key=site.key, grid=grid)
    config.write_text((grid / "ssh" / "config").read_text() + more)
    (tmp_path / "bin").mkdir()
    program = f'#!/bin/sh\nprintf \'%s\\n\' "$*" >>{tmp_path}/ssh.calls\nexec /usr/bin/ssh -F {config} "$@"\n'
    (tmp_path / "bin" / "ssh").write_text(program)
    (tmp_path / "bin" / "ssh").chmod(0o755)
    with slurm_environment("slurm-ssh"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        patch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
        yield site
        for process in site.masters():
            os.kill(process, 15)


def sleeper(seconds: float = 0, **fields: Any) -> JobDescription:
    return JobDescription("sleep", [str(seconds)], **{"outputs": [], **fields})


# --- who may come in ----------------------------------------------------------------------------------------------


def test_a_host_whose_key_is_not_known_is_refused(site: Site, make_arc: MakeArc, tmp_path: Path) -> None:
    arc = make_arc("slurm", **site.config("grid-unknown"))
    with pytest.raises(JasminArcError, match="the host key of grid-unknown is not known") as error:
        arc.submit_job("true")
    assert "run 'ssh grid-unknown' once" in str(error.value)
    assert (tmp_path / "known_hosts").read_text() == ""


def test_without_a_key_one_line_says_at_once_what_to_do_and_that_helps(site: Site, make_arc: MakeArc) -> None:
    arc = make_arc("slurm", **site.config("grid-no-key"))
    began = time.monotonic()
    with pytest.raises(JasminArcError) as error:
        arc.submit_job("true")
    assert time.monotonic() - began < 3
    assert "\n" not in str(error.value)
    command = re.search(r"run '(ssh -fN[^']* grid-no-key)' once", str(error.value))
    assert command, error.value
    # A password would be asked for here.
    with_key = ["ssh", "-i", str(site.key), *shlex.split(command[1])[1:]]
    subprocess.run(with_key, check=True, timeout=20, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert arc.wait(arc.submit_job("true", outputs=[]), timeout=LIMIT)[0] is JobStatuses.COMPLETED
    assert len(site.masters()) == 1


def test_the_connection_that_a_user_has_made_is_taken(site: Site, make_arc: MakeArc) -> None:
    arc = make_arc("slurm", **site.config("grid-by-hand"))
    with pytest.raises(JasminArcError, match="run 'ssh -fN grid-by-hand' once"):
        arc.submit_job("true")
    command = ["ssh", "-M", "-fN", "-i", str(site.key), "grid-by-hand"]
    subprocess.run(command, check=True, timeout=20, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert arc.wait(arc.submit_job("true", outputs=[]), timeout=LIMIT)[0] is JobStatuses.COMPLETED
    assert len(site.masters()) == 1


def test_a_master_that_ssh_makes_by_itself_is_taken(site: Site, make_arc: MakeArc) -> None:
    arc = make_arc("slurm", **site.config("grid-ssh-master"))
    assert arc.wait(arc.submit_job("true", outputs=[]), timeout=LIMIT)[0] is JobStatuses.COMPLETED
    assert len(site.masters()) <= 1


# --- the connection -----------------------------------------------------------------------------------------------


def test_a_socket_that_a_dead_master_left_does_not_keep_from_a_new_connection(site: Site, make_arc: MakeArc) -> None:
    arc = make_arc("slurm", **site.config())
    assert arc.backend.endpoint
    arc.close()
    (master,) = site.masters()
    os.kill(master, 9)
    assert any(path.is_socket() for path in (site.folder / "jasmin_arc").iterdir())
    again = make_arc("slurm", **site.config())
    assert again.submit_job("true", outputs=[])
    assert len(site.masters()) == 1


@pytest.mark.parametrize("number", [6])
def test_processes_that_begin_at_the_same_time_share_one_connection(site: Site, number: int) -> None:
    script = (
        "import json, sys; from jasmin_arc import ArcInterface; sys.stdin.readline()\n"
        "with ArcInterface(log=None, config=json.loads(sys.argv[1])) as arc: print(arc.backend.endpoint)"
    )
    command = [sys.executable, "-c", script, json.dumps(site.config(JOBS_INFO_FILE=str(site.folder / "jobs.dat")))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(number)
    ]
    time.sleep(1)
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    assert {process.communicate(timeout=60)[0] for process in processes} == {"slurm://grid\n"}
    assert len(site.masters()) == 1


def test_more_downloads_at_once_than_the_server_has_sessions(site: Site, make_arc: MakeArc, tmp_path: Path) -> None:
    """From a host that nobody can reach without the connection that there is."""
    command = ["ssh", "-M", "-fN", "-i", str(site.key), "grid-by-hand"]
    subprocess.run(command, check=True, timeout=20, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    arc = make_arc("slurm", **site.config("grid-by-hand"))
    script = (
        "head -c 30000000 /dev/urandom | tee large | sha256sum >sum; mkdir d; for i in 1 2 3; do echo $i >d/$i; done"
    )
    jobs = [JobDescription("sh", ["-c", script], outputs=["large", "sum", "d"]) for _ in range(8)]
    ids = arc.submit_jobs(jobs)
    assert set(arc.wait(ids, timeout=LIMIT)) == {JobStatuses.COMPLETED}
    with ThreadPoolExecutor(8) as pool:
        folders = list(
            pool.map(lambda job_id: arc.save_job_outputs(job_id, directory=str(tmp_path / job_id[-14:])), ids)
        )
    for folder in folders:
        assert folder
        told = (Path(folder) / "sum").read_text().split()[0]
        assert subprocess.check_output(["sha256sum", str(Path(folder) / "large")], text=True).split()[0] == told
        assert (Path(folder) / "d" / "3").read_text() == "3\n"
    assert len(site.masters()) == 1


def test_several_processes_and_the_user_share_the_sessions_of_one_connection(site: Site, tmp_path: Path) -> None:
    """As above: a process that got no session could not go another way."""
    command = ["ssh", "-M", "-fN", "-i", str(site.key), "grid-by-hand"]
    subprocess.run(command, check=True, timeout=20, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    config = site.config("grid-by-hand", JOBS_INFO_FILE=str(tmp_path / "jobs.dat"))
    script = (
        "import json, sys; from jasmin_arc import ArcInterface, JobDescription\n"
        "with ArcInterface(log=None, config=json.loads(sys.argv[1])) as arc:\n"
        "    ids = arc.submit_jobs([JobDescription('sleep', ['3'], outputs=[])] * 2)\n"
        "    print(*[status.value for status in arc.wait(ids, timeout=80)]); arc.clean_jobs(ids, force=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, json.dumps(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(6)
    ]
    told = [process.communicate(timeout=LIMIT) for process in processes]
    assert [out for out, _ in told] == ["completed completed\n"] * 6, told


def test_a_wait_goes_on_when_the_connection_is_cut(site: Site, make_arc: MakeArc) -> None:
    arc = make_arc("slurm", **site.config())
    ids = arc.submit_jobs([sleeper(4), sleeper(8)])
    with ThreadPoolExecutor() as pool:
        wait = pool.submit(arc.wait, ids, timeout=LIMIT)
        for _ in range(3):
            time.sleep(1.5)
            site.cut()
        assert wait.result() == [JobStatuses.COMPLETED] * 2


def test_a_download_that_is_cut_is_an_error_or_complete_and_never_a_short_file(
    site: Site, make_arc: MakeArc, tmp_path: Path
) -> None:
    arc = make_arc("slurm", **site.config())
    script = "mkdir d; for i in 1 2 3 4 5 6 7 8; do head -c 20000000 /dev/zero >d/$i; done"
    job_id = arc.submit_job("sh", ["-c", script], outputs=["d"])
    arc.wait(job_id, timeout=LIMIT)
    failures = 0
    for delay in (0.02, 0.1, 0.2, 0.4):
        target = tmp_path / str(delay)
        cutter = threading.Timer(delay, site.cut)
        cutter.start()
        try:
            arc.save_job_outputs(job_id, directory=str(target))
        except JasminArcError:
            failures += 1
        cutter.join()
        sizes = [path.stat().st_size for path in target.rglob("*") if path.is_file() and path.parent.name == "d"]
        assert set(sizes) <= {20_000_000}, sizes
    assert failures
    folder = arc.save_job_outputs(job_id, directory=str(tmp_path / "last"))
    assert folder
    assert [(Path(folder) / "d" / str(number)).stat().st_size for number in range(1, 9)] == [20_000_000] * 8


@pytest.mark.parametrize("delay", [0.05, 0.15, 0.3])
def test_a_submission_that_is_cut_is_settled(site: Site, make_arc: MakeArc, delay: float) -> None:
    arc = make_arc("slurm", **site.config())
    assert arc.backend.endpoint
    cutter = threading.Timer(delay, site.cut)
    cutter.start()
    jobs = [JobDescription("true", outputs=[], inputs={"in": bytes(5_000_000)}, memory=f"{n} MB") for n in (10, 20, 30)]
    outcomes = arc.backend.submit(jobs)
    cutter.join()
    submitted = [outcome for outcome in outcomes if isinstance(outcome, str)]
    deadline = time.monotonic() + 30
    while arc.job_list.unfinished(arc.backend.endpoint):
        arc.recover()
        assert time.monotonic() < deadline
    assert set(submitted) <= set(arc.job_list.ids())
    assert arc.backend.states(arc.job_list.ids()).keys() == set(arc.job_list.ids())


# --- what others may see ------------------------------------------------------------------------------------------


def test_no_secret_of_the_submitter_is_in_a_jobs_environment(
    site: Site, make_arc: MakeArc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cret-of-the-submitter")
    monkeypatch.setenv("SBATCH_EXPORT", "ALL")
    monkeypatch.setenv("LC_SECRET", "s3cret-of-the-submitter")
    here = {**site.options, "SLURM_HOST": "", "SLURM_DIR": str(site.grid / "work" / "here")}
    for options in (here, site.config()):
        arc = make_arc("slurm", **options)
        ids = arc.submit_jobs([JobDescription("env"), JobDescription("env", runtime_environments=[])])
        assert set(arc.wait(ids, timeout=LIMIT)) == {JobStatuses.COMPLETED}
        for job_id in ids:
            environment = arc.read(job_id)
            assert "PATH=" in environment
            assert "s3cret" not in environment
        arc.backend.clean(ids)


def test_nothing_of_a_job_is_in_an_argument_of_a_process_here(site: Site, make_arc: MakeArc, tmp_path: Path) -> None:
    """Others on this host see the arguments of all processes."""
    arc = make_arc("slurm", **site.config())
    job_id = arc.submit_job(
        "sh", ["-c", "echo s3cret-argument"], environment={"V": "s3cret-variable"}, inputs={"s3cret-input": b"x"}
    )
    arc.wait(job_id, timeout=LIMIT)
    arc.save_job_outputs(job_id, directory=str(tmp_path / "out"))
    arc.backend.list_files(job_id)
    arc.clean_jobs(job_id)
    calls = (tmp_path / "ssh.calls").read_text()
    assert "grid-ssh" in calls
    assert "s3cret" not in calls
    assert job_id.rpartition("/")[2] not in calls
    assert "sbatch" not in calls


def test_a_job_has_the_same_id_here_and_over_ssh(site: Site, make_arc: MakeArc) -> None:
    here = {**site.options, "SLURM_HOST": "", "SLURM_DIR": str(site.grid / "work" / "here")}
    one, other = make_arc("slurm", **here), make_arc("slurm", **{**here, "SLURM_HOST": "grid-ssh-root"})
    ids = [one.submit_job("true", outputs=[]), other.submit_job("true", outputs=[])]
    for arc in (one, other):
        assert arc.wait(ids, timeout=LIMIT) == [JobStatuses.COMPLETED] * 2
        assert set(ids) <= set(arc.backend.list_jobs())
    native = [{job_id: info.native_id for job_id, info in arc.backend.query(ids).items()} for arc in (one, other)]
    assert native[0] == native[1]
    assert other.backend.clean(ids) == {}
    assert set(ids).isdisjoint(one.backend.list_jobs())
