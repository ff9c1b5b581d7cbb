"""What the doctor looks at for jobs on Slurm."""

from __future__ import annotations

from jasmin_arc._support.text import counted, first_few, one_line
from jasmin_arc.backends.shell.shell import Shell
from jasmin_arc.backends.slurm.cluster import Cluster, Defaults
from jasmin_arc.backends.slurm.site import site
from jasmin_arc.backends.slurm.submission import what_sbatch_says
from jasmin_arc.doctor import CheckFailed, Examination, Look, Outcome, skipped

_NEXT = "See whether Slurm works there: run 'sinfo'."


def checks(examination: Examination) -> dict[str, Look]:
    """Return the checks, by name, in the order in which each can stand on those before it."""
    slurm = _Slurm(examination)
    return {
        "shell": Look(slurm.reach, "Check SLURM_HOST."),
        "Slurm": Look(slurm.commands, _NEXT),
        "job folder": Look(slurm.folder, "Set SLURM_DIR to a folder there that you may write and that all nodes see."),
        "choices": Look(slurm.choices, _NEXT),
        "trial": Look(slurm.trial, _NEXT),
    }


class _Slurm:
    def __init__(self, examination: Examination) -> None:
        config = examination.config
        self._config = config
        self._outcomes = examination.outcomes
        self._defaults = Defaults.of(config)
        self._shell = Shell(config.SLURM_HOST, timeout=config.TIMEOUT)
        examination.left_open.callback(self._shell.close)
        self._cluster = Cluster(self._shell, folder=config.SLURM_DIR, binaries=config.SLURM_BIN)
        self._where = config.SLURM_HOST or "this machine"

    def reach(self) -> str:
        name = self._shell.ask("uname -n").strip()
        return f"ssh reaches {self._where} ({name})" if self._config.SLURM_HOST else "/bin/sh runs commands here"

    def commands(self) -> str:
        if self._outcomes["shell"] is not Outcome.OK:
            raise skipped(f"{self._where} is not reached (see above)")
        facts = self._cluster.facts
        version = facts.config.get("SLURM_VERSION", "")
        return (
            f"the cluster {facts.name} answers, with Slurm {version} and {counted(len(facts.partitions), 'partition')}"
        )

    def folder(self) -> str:
        self._need_slurm()
        return f"{self._cluster.facts.dir} can be written"

    def choices(self) -> str:
        self._need_slurm()
        offered = site(self._cluster.ask("site"), self._cluster.facts, self._defaults, "")
        found = []
        for option, name, names in (
            ("SLURM_ACCOUNT", offered.default_account, offered.accounts),
            ("SLURM_PARTITION", offered.default_queue, [queue.name for queue in offered.queues]),
            ("SLURM_QOS", offered.default_qos, [qos.name for qos in offered.qos]),
        ):
            kind = option.partition("_")[2].lower().replace("qos", "QoS")
            if name and names and name not in names:
                problem = f"{option} is {name}, and you may use {first_few(names, 10)}"
                raise CheckFailed(problem, "Set it to one of these.")
            if names:
                found.append(f"{kind} {name or '(none by default)'} of {first_few(names, 10)}")
        return "; ".join(found)

    def trial(self) -> str:
        """Let sbatch look at a job, which is not submitted."""
        self._need_slurm()
        values = {"account": self._defaults.account, "partition": self._defaults.partition, "qos": self._defaults.qos}
        options = [f"--{name}={value}" for name, value in values.items() if value]
        said = self._cluster.ask("trial", ["trial", *options]).strip()
        if said:
            raise CheckFailed(
                f"Slurm would refuse a job with these settings: {one_line(what_sbatch_says(said.splitlines()))}",
                "Set what it speaks of: SLURM_ACCOUNT, SLURM_PARTITION or SLURM_QOS.",
            )
        return "Slurm would take a job with these settings"

    def _need_slurm(self) -> None:
        if self._outcomes["Slurm"] is not Outcome.OK:
            raise skipped("Slurm is not there (see above)")
