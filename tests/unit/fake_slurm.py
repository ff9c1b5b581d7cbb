"""A stand-in for Slurm's commands, for what a real Slurm does too rarely or too late: it runs no jobs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from jasmin_arc import ArcInterface
from jasmin_arc.backends.slurm.backend import SlurmBackend

_COMMON = """#!/bin/sh
PATH=/usr/bin:/bin
# A job is a line: NUMBER SIZE STATE REASON COMMENT
fake={folder}
echo "${{0##*/}} $*" >>"$fake/calls"
[ ! -r "$fake/${{0##*/}}.fault" ] || . "$fake/${{0##*/}}.fault"
"""
_COMMANDS = {
    "sbatch": """
size=1 state=RUNNING reason=None
for word; do
    case $word in
        --comment=*) comment=${word#*=} ;;
        --array=0-*) size=$((${word#--array=0-} + 1)) ;;
        --hold) state=PENDING reason=JobHeldUser ;;
    esac
done
take() {
    echo x >>"$fake/count"
    number=$((100 + $(wc -l <"$fake/count")))
    echo "$number $size $state $reason $comment" >>"$fake/jobs"
}
[ -z "$accepted" ] || { take; eval "$accepted"; }
take
echo "$number"
""",
    "squeue": """
rows() {
    while read -r number size state reason comment; do
        index=0
        while [ "$index" -lt "$size" ]; do
            id=$number; [ "$size" = 1 ] || id=${number}_$index
            echo "$id|$state|0|$reason|short|1|1700000000|N/A|N/A||||0|$comment"
            index=$((index + 1))
        done
    done <"$fake/jobs"
}
rows >"$fake/rows"
eval "$slowly"
cat "$fake/rows"
""",
    "scontrol": """
case $1 in
    show) case $* in
        *partition*) echo "PartitionName=short Default=YES MaxTime=01:00:00 TotalCPUs=8" ;;
        *) printf 'ClusterName             = fake\\nMaxArraySize            = 1001\\nSLURM_VERSION = 22.05.8\\n' ;;
    esac ;;
    release)
        for number in $(echo "$2" | tr , ' '); do
            sed -i "s/^$number \\([0-9]*\\) .*Held[A-Za-z]*/$number \\1 RUNNING None/" "$fake/jobs"
        done ;;
esac
""",
    "scancel": """
for number; do sed -i "s/^${number%%_*} \\([0-9]*\\) [A-Z]*/${number%%_*} \\1 CANCELLED/" "$fake/jobs"; done
""",
    "sinfo": "\n",
}


class FakeSlurm:
    """Commands in a folder of their own, and an interface that uses them."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.dir = folder / "slurm dir"
        (folder / "bin").mkdir()
        (folder / "jobs").touch()
        (folder / "calls").touch()
        for name, script in _COMMANDS.items():
            path = folder / "bin" / name
            path.write_text(_COMMON.format(folder=f"'{folder}'") + script)
            path.chmod(0o755)
        self.log = io.StringIO()
        self.config = {
            "BACKEND": "slurm",
            "SLURM_DIR": str(self.dir),
            "SLURM_BIN": str(folder / "bin"),
            "JOBS_INFO_FILE": str(folder / "jobs.dat"),
            **options,
        }
        self.arc = ArcInterface(log=self.log, config=self.config)

    @property
    def backend(self) -> SlurmBackend:
        backend = self.arc.backend
        assert isinstance(backend, SlurmBackend)
        return backend

    def fault(self, command: str, script: str = "") -> None:
        """Let a command first run a script, until another call."""
        path = self.folder / f"{command}.fault"
        path.write_text(script) if script else path.unlink(missing_ok=True)

    def program(self, name: str, script: str) -> None:
        """Put another program before that of the system."""
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def jobs(self) -> list[list[str]]:
        """Number, size, state, reason and comment of all jobs."""
        return [line.split() for line in (self.folder / "jobs").read_text().splitlines()]

    def calls(self, command: str) -> list[str]:
        lines = (self.folder / "calls").read_text().splitlines()
        return [line for line in lines if line.startswith(f"{command} ")]

    def folders(self) -> list[str]:
        """What is in SLURM_DIR, but for the shared answer of squeue."""
        return sorted(path.name for path in self.dir.iterdir() if not path.name.startswith("queue"))
