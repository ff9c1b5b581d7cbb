"""One cluster: its shell, what it says of itself, and the scripts that run there."""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jasmin_arc._support.text import excerpt
from jasmin_arc.backends.shell.shell import ScriptError, Shell
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.exceptions import ServerError, ServerUnavailableError

_SCRIPTS = Path(__file__).parent / "remote"
SLOW_SECONDS = 300.0
"""How long a script that changes something may be silent: Slurm may be busy, and so may the disk"""
_NO_FOLDER = 41
"""The exit code of a script that cannot enter SLURM_DIR"""
_DEFAULT_MEMORY = 1024
_CHANGING = """SINFO_PARTITION SLURM_CLUSTERS SQUEUE_ACCOUNT SQUEUE_ARRAY SQUEUE_FEDERATION SQUEUE_LICENSES SQUEUE_LOCAL
    SQUEUE_NAMES SQUEUE_PARTITION SQUEUE_QOS SQUEUE_STATES SQUEUE_USERS"""
"""Variables of the user that would leave out jobs or nodes"""
_PAIR = re.compile(r"^(\w[\w.]*)\s*= (.*)$", re.MULTILINE)
_HOME = re.compile(r"~[A-Za-z0-9._-]*")
_ID = re.compile(r"slurm://(?P<cluster>[^/]+)/(?P<batch>[0-9]{8}-[0-9]{6}-[0-9a-f]{8})/(?P<token>[0-9a-f]{14})\Z")


@dataclass(frozen=True)
class Place:
    """Where a job lives: its batch, and its folder in there."""

    batch: str
    token: str

    @property
    def offset(self) -> int:
        """The number of the first job of its array."""
        return int(self.token[8:11], 16)

    @property
    def index(self) -> int:
        """Its index in the array."""
        return int(self.token[11:], 16)

    @property
    def folder(self) -> str:
        return f"{self.batch}/{self.token}"


@dataclass(frozen=True)
class Defaults:
    """What is sent for jobs that do not say it themselves."""

    account: str
    partition: str
    qos: str

    @classmethod
    def of(cls, config: ConnectionConfig) -> Defaults:
        return cls(config.SLURM_ACCOUNT, config.SLURM_PARTITION, config.SLURM_QOS)


@dataclass(frozen=True)
class Facts:
    """What the cluster says of itself."""

    dir: str
    """SLURM_DIR, without symbolic links"""
    config: Mapping[str, str]
    partitions: Mapping[str, Mapping[str, str]]

    @property
    def name(self) -> str:
        return self.config.get("ClusterName", "") or "slurm"

    @property
    def max_array_size(self) -> int:
        """How many jobs an array may have: the largest index is one less."""
        return _number(self.config.get("MaxArraySize", "")) or 1

    @property
    def default_partition(self) -> str:
        return next((name for name, values in self.partitions.items() if values.get("Default") == "YES"), "")

    def default_memory(self, partition: str) -> int:
        """The MB of memory for each processor of jobs which ask for none. Slurm that is not told how much to give them
        may give them all of a node."""
        values = self.partitions.get(partition or self.default_partition, {})
        told = values.get("DefMemPerCPU", ""), self.config.get("DefMemPerCPU", "")
        return next(filter(None, map(_number, told)), _DEFAULT_MEMORY)


class Cluster:
    """Runs scripts for a SLURM_DIR. Threads may share it.

    :param folder: SLURM_DIR as it is configured
    :param binaries: SLURM_BIN
    """

    def __init__(self, shell: Shell, *, folder: str, binaries: str) -> None:
        self.shell = shell
        self._lock = threading.Lock()
        path = f"PATH={_quoted_path(binaries)}:$PATH\n" if binaries else ""
        unset = f"unset {' '.join(_CHANGING.split())}\n"
        self._start = f"{unset}{path}LC_ALL=C\nexport PATH LC_ALL\ndir={_quoted_path(folder)}\n"

    @property
    def facts(self) -> Facts:
        """What the cluster says of itself; it is asked once.

        :raises ServerError: if it cannot be asked, or has no Slurm
        """
        with self._lock:
            return self._facts

    @cached_property
    def _facts(self) -> Facts:
        try:
            return _read_facts(self.shell.ask(self.script("hello", "")), self.shell.host)
        except ScriptError as error:
            if error.code != _NO_FOLDER:
                raise
            problem = f"jobs cannot be kept in SLURM_DIR: {error.message}"
            raise ServerError(
                problem, advice="set it to a folder there that you may write, and that all nodes see"
            ) from error

    def script(self, name: str, calls: str) -> str:
        """One of the scripts in ``remote/``, with the calls of its functions."""
        return f"{self._start}{(_SCRIPTS / f'{name}.sh').read_text(encoding='utf-8')}\n{calls}\n"

    def ask(self, name: str, *calls: Iterable[str]) -> str:
        """Run a script that may run twice."""
        return self.shell.ask(self.script(name, _calls(calls)))

    def run(
        self,
        name: str,
        *calls: Iterable[str],
        data: Iterable[bytes] = (),
        before: str = "",
        told: Callable[[str], object] | None = None,
    ) -> str:
        """Run a script once, which may take long."""
        return self.shell.run(before + self.script(name, _calls(calls)), data, told=told, patience=SLOW_SECONDS)

    def insist(self, name: str, *calls: Iterable[str]) -> str:
        """Run a script that may take long, and run it again if the connection was cut."""
        try:
            return self.run(name, *calls)
        except ServerUnavailableError:
            return self.run(name, *calls)

    def job_id(self, place: Place) -> str:
        return f"slurm://{self.facts.name}/{place.folder}"

    def place(self, job_id: str) -> Place | None:
        """Where a job lives; ``None`` if the id is that of another cluster or backend."""
        found = _ID.match(job_id)
        return Place(found["batch"], found["token"]) if found and found["cluster"] == self.facts.name else None


def _calls(calls: Iterable[Iterable[str]]) -> str:
    return "\n".join(shlex.join(words) for words in calls)


def _quoted_path(path: str) -> str:
    """A path for a shell, which puts its home directory in the place of ``~``."""
    home, slash, rest = path.partition("/")
    if not _HOME.fullmatch(home):
        return shlex.quote(path)
    # A slash between quotes would keep the shell from it.
    return f"{home}{slash}{shlex.quote(rest) if rest else ''}"


def _read_facts(told: str, host: str) -> Facts:
    missing = re.match(r"missing (\w+)", told)
    where = f"on {host}" if host else "on this machine"
    if missing:
        elsewhere = "" if host else ", or SLURM_HOST to the host that has them"
        advice = f"set SLURM_BIN to the folder with Slurm's commands{' there' if host else elsewhere}"
        raise ServerError(f"{missing[1]} is not on the PATH {where}", advice=advice)
    folder = re.match(r"dir (/.*)\n", told)
    if not folder:
        raise ServerError(f"Slurm {where} says something else than what it is: {excerpt(told)}")
    return Facts(folder[1], dict(_PAIR.findall(told)), read_partitions(told))


def read_partitions(told: str) -> dict[str, dict[str, str]]:
    """Read what ``scontrol -o show partition`` prints, among other lines: by name, what is set."""
    lines = (line for line in told.splitlines() if line.startswith("PartitionName="))
    tables = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
    return {values["PartitionName"]: values for values in tables}


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
