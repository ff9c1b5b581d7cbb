"""Slurm over SSH: hosts and keys that are not there, connections that are cut, and who may see what."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
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
            # ssh names its socket in the place of its arguments, and these take the place of the environment.
            files = [Path(f"/proc/{process[1]}/{name}") for name in ("cmdline", "environ")] if process else []
            if process and any(str(self.folder).encode() in file.read_bytes() for file in files):
                found[int(process[1])] = int(line.split()[3].rpartition(":")[2])
        return found

    def cut(self) -> None:
        """Let the server end all connections of this test."""
        for port in self.masters().values():
            for line in ss(f"sport = :{self.port} and dport = :{port}"):
                for process in re.findall(r'"sshd",pid=(\d+)', line):
                    subprocess.run(["kill", "-KILL", process], check=False)


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
    command = re.search(r"run `(ssh -fN[^`]* grid-no-key)` once", str(error.value))
    assert command, error.value
    # A password would be asked for here.
    with_key = ["ssh", "-i", str(site.key), *shlex.split(command[1])[1:]]
    subprocess.run(with_key, check=True, timeout=20, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert arc.wait(arc.submit_job("true", outputs=[]), timeout=LIMIT)[0] is JobStatuses.COMPLETED
    assert len(site.masters()) == 1


def test_the_connection_that_a_user_has_made_is_taken(site: Site, make_arc: MakeArc) -> None:
    arc = make_arc("slurm", **site.config("grid-by-hand"))
    with pytest.raises(JasminArcError, match=r"run `ssh -fN.* grid-by-hand` once"):
        arc.submit_job("true")
    command = ["ssh", "-M", "-fN", "-i", str(site.key), "grid-by-hand"]
    subprocess.run(command, check=True, timeout=20, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert arc.wait(arc.submit_job("true", outputs=[]), timeout=LIMIT)[0] is JobStatuses.COMPLETED
    assert len(site.masters()) == 1


def test_a_master_that_ssh_makes_by_itself_is_taken(site: Site, make_arc: MakeArc) -> None:
    arc = make_arc("slurm", **site.config("grid-ssh-master"))
    assert arc.wait(arc.submit_job("true", outputs=[]), timeout=LIMIT)[0] is JobStatuses.COMPLETED
    assert site.masters() == {}
