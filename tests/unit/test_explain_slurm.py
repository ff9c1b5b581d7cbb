"""Explaining what Slurm says: how jobs ended, with accounting and without it, and why jobs wait.

The texts are those that Slurm 22.05 wrote; those of newer versions are from its sources.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jasmin_arc import Explanation, JobDescription, JobInfo
from jasmin_arc.constants import JobState
from jasmin_arc.explain.conclude import explain
from jasmin_arc.explain.facts import Facts
from jasmin_arc.site_info import QosInfo, QueueInfo, SiteInfo

JOB_ID = "slurm://lotus/20261120-090000-abcdef01/0123456789abcd"
SITE = SiteInfo(
    "slurm://lotus",
    queues=(
        QueueInfo("standard", max_wall_time=timedelta(hours=24), total_slots=384),
        QueueInfo("debug", max_wall_time=timedelta(hours=1), total_slots=64),
    ),
    accounts=("mygws", "no-project"),
    qos=(
        QosInfo("standard", timedelta(hours=24), max_slots=1, max_memory=128 << 30, max_jobs=4000),
        QosInfo("short", timedelta(hours=4), max_slots=1, max_memory=200 << 30, max_jobs=2000),
        QosInfo("high", timedelta(hours=48), max_slots=96, max_memory=1000 << 30),
    ),
    default_account="mygws",
    default_qos="standard",
    default_queue="standard",
)


def job(program: str = "cdo", **options: Any) -> JobDescription:
    return JobDescription(executable=program, **options)


def ended(native: str, error: str, *, err: str = "", stderr: str = "", **more: Any) -> Explanation:
    """A job that ended: Slurm's state, what the backend says of it, what slurmstepd wrote, and more of its info."""
    description = more.pop("description", job())
    told = {"state": JobState.FAILED, "errors": (error,) if error else (), "native_id": "7", **more}
    info = JobInfo(JOB_ID, native_state=native, **told)
    return explain(Facts(info, logs={"errors": err}, stderr=stderr, description=description))


def waits(reason: str, *, site: SiteInfo | None = SITE, queue: str = "standard", **options: Any) -> Explanation:
    """A job that waits for this reason; with options of its description."""
    info = JobInfo(JOB_ID, JobState.QUEUING, native_state="PENDING", reason=reason, native_id="7", queue=queue)
    return explain(Facts(info, site=site, description=job(**options)))


STEPD = "slurmstepd-vm: error: "
AT = "CANCELLED AT 2026-11-22T01:57:18"
OVER_MEMORY = (
    f"{STEPD}*** JOB 1 ON vm {AT} ***\n"
    f"{STEPD}StepId=1.batch exceeded memory limit (314728448 > 104857600), being killed\n"
    f"{STEPD}Exceeded job memory limit\n"
)
OOM_KILL = (
    f"{STEPD}Detected 1 oom-kill event(s) in StepId=1.batch. Some of your processes may have been killed by the cgroup "
    "out-of-memory handler.\n"
)
KILLED = "the job was killed from outside, with signal 9 (FAILED)"
TIMED_OUT = "Slurm ended the job: it ran into its time limit (TIMEOUT)"
ENDS: dict[str, tuple[Explanation, str, str]] = {
    "exit 3": (
        ended("FAILED", "exit code 3", exit_code=3, reason="NonZeroExitCode", stderr="KeyError: 1850\n"),
        "exit-code",
        "exit code 3: KeyError: 1850",
    ),
    "own SIGKILL": (ended("FAILED", "exit code 137", exit_code=137, reason="JobLaunchFailure"), "signal", "SIGKILL"),
    "own SIGTERM": (ended("FAILED", "exit code 143", exit_code=143, reason="JobLaunchFailure"), "signal", "SIGTERM"),
    "own SIGSEGV": (
        ended("FAILED", "exit code 139", exit_code=139, reason="JobLaunchFailure"),
        "signal",
        "The program crashed (SIGSEGV)",
    ),
    "cancelled by this library": (
        ended("CANCELLED", "User requested to cancel the job", state=JobState.KILLED),
        "cancelled",
        "at its user's request",
    ),
    "cancelled by this library, while it ran": (
        ended(
            "CANCELLED",
            "User requested to cancel the job",
            state=JobState.KILLED,
            err=f"{STEPD}*** JOB 5 ON vm {AT} ***\n",
        ),
        "cancelled",
        "at its user's request",
    ),
    "cancelled by somebody": (
        ended("CANCELLED", "Slurm: the job was cancelled (CANCELLED)", state=JobState.KILLED, reason="Priority"),
        "cancelled",
        "in the batch system, not through this library; it is not said by whom",
    ),
    "cancelled by an account": (
        ended("CANCELLED", "Slurm: the job was cancelled by jane (CANCELLED)", state=JobState.KILLED),
        "cancelled",
        "in the batch system by jane, not through this library",
    ),
    "cancelled by a number": (
        ended("CANCELLED", "Slurm: the job was cancelled by 1001 (CANCELLED)", state=JobState.KILLED),
        "cancelled",
        "by the user with the number 1001, not through",
    ),
    "cancelled by root": (
        ended("CANCELLED", "Slurm: the job was cancelled by root (CANCELLED)", state=JobState.KILLED),
        "cancelled",
        "by an administrator of the site (root)",
    ),
    "cancelled, and forgotten": (
        ended("", "exit code 143", err=f"{STEPD}*** JOB 5 ON vm {AT} ***\nTerminated\n", exit_code=143),
        "cancelled",
        "it is not said by whom",
    ),
    "wall time": (
        ended("TIMEOUT", TIMED_OUT, reason="TimeLimit", description=job(wall_time="1 m")),
        "wall-time",
        "longer than the wall time that it had asked for, 1 min",
    ),
    "wall time, by default": (
        ended("TIMEOUT", TIMED_OUT),
        "wall-time",
        "the queue allows jobs that ask for no wall_time",
    ),
    "wall time, trapped": (
        ended("TIMEOUT", TIMED_OUT, exit_code=7, reason="TimeLimit"),
        "wall-time",
        "killed because it ran longer",
    ),
    "wall time, and forgotten": (
        ended("", "exit code 143", err=f"{STEPD}*** JOB 2 ON vm {AT} DUE TO TIME LIMIT ***\n", exit_code=143),
        "wall-time",
        "killed because it ran longer",
    ),
    "memory, without cgroups": (
        ended("FAILED", KILLED, err=OVER_MEMORY, reason="JobLaunchFailure", description=job(memory="100 MB")),
        "memory",
        "of which it had asked for 100 MB per slot: it used 300 MB, and may use 100 MB",
    ),
    "memory, without cgroups and without a word": (
        ended("FAILED", KILLED, reason="JobLaunchFailure", memory=199 << 20, description=job(memory="100 MB", slots=2)),
        "memory",
        "ran out of memory",
    ),
    "memory, with cgroups": (
        ended("OUT_OF_MEMORY", "Slurm ended the job: it ran out of memory (OUT_OF_MEMORY)", exit_code=137),
        "memory",
        "ran out of memory",
    ),
    "memory, with cgroups, and forgotten": (
        ended("", "exit code 137", err=OOM_KILL, exit_code=137),
        "memory",
        "ran out of memory",
    ),
    "killed, nobody knows why": (
        ended("FAILED", KILLED, reason="JobLaunchFailure", memory=20 << 20, description=job(memory="100 MB")),
        "signal",
        "from outside, with signal 9 (SIGKILL); it is not said by whom. Mostly, this means that it used more memory",
    ),
    "terminated, nobody knows why": (
        ended("FAILED", KILLED.replace("9", "15"), reason="JobLaunchFailure"),
        "signal",
        "from outside, with signal 15 (SIGTERM); it is not said by whom.",
    ),
    "node down": (
        ended("NODE_FAIL", "Slurm ended the job: its node failed (NODE_FAIL)", reason="NodeDown"),
        "node-failure",
        "broke down",
    ),
    "node down, and forgotten": (
        ended(
            "",
            "exit code 143",
            err=f"{STEPD}*** JOB 3 ON frail {AT} DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***\n",
            exit_code=143,
        ),
        "node-failure",
        "broke down",
    ),
    "node that did not boot": (
        ended("BOOT_FAIL", "Slurm ended the job: its node could not be started (BOOT_FAIL)"),
        "node-failure",
        "its node could not be started",
    ),
    "preempted": (
        ended("PREEMPTED", "Slurm ended the job: it was preempted (PREEMPTED)"),
        "preempted",
        "make room for another job",
    ),
    "preempted, and forgotten": (
        ended("", "exit code 143", err=f"{STEPD}*** JOB 4 ON scarce {AT} DUE TO PREEMPTION ***\n", exit_code=143),
        "preempted",
        "make room for another job",
    ),
    "deadline": (
        ended("DEADLINE", "Slurm ended the job: its deadline passed (DEADLINE)", reason="DeadLine"),
        "deadline",
        "its deadline passed",
    ),
    "no program": (
        ended("FAILED", "exit code 127", exit_code=127, stderr=".jasmin_arc_run: 9: exec: cdo: not found\n"),
        "missing-executable",
        "The program cdo was not found",
    ),
    "no interpreter": (
        ended(
            "FAILED",
            "exit code 127",
            exit_code=127,
            stderr=".jasmin_arc_run: 9: exec: ./tool: not found\n",
            description=job("tool", inputs={"tool": b"#!/no/such\n"}),
        ),
        "missing-interpreter",
        "./tool is there",
    ),
    "no module": (
        ended(
            "FAILED",
            "the module 'jaspy' could not be loaded",
            exit_code=1,
            stderr="ERROR: Unable to locate a modulefile for 'jaspy'\n",
        ),
        "runtime-environment",
        "The module jaspy could not be loaded.",
    ),
    "no folder for its output": (
        ended("FAILED", "the job could not be started (JobLaunchFailure)", reason="JobLaunchFailure"),
        "batch-system",
        "could not start it there",
    ),
    "nothing but a reason": (ended("FAILED", "", reason="BadConstraints"), "batch-system", "BadConstraints"),
}


@pytest.mark.parametrize(("found", "cause", "words"), ENDS.values(), ids=ENDS.keys())
def test_how_a_job_ended(found: Explanation, cause: str, words: str) -> None:
    assert found.cause == cause, found
    assert words in found.summary
    assert found.summary.endswith((".", "1850"))
    assert found.advice


def test_a_program_that_ended_by_a_signal_is_not_blamed_on_slurm() -> None:
    found, *_ = ENDS["own SIGSEGV"]
    assert "start" not in found.summary
    assert "stderr" in found.advice


def test_what_was_killed_without_a_word_can_be_looked_up() -> None:
    found, *_ = ENDS["killed, nobody knows why"]
    assert "memory used: 20 MB of 100 MB" in found.evidence
    assert "'sacct -o State,ReqMem,MaxRSS -j 7'" in found.advice


def test_what_slurmstepd_says_is_told() -> None:
    found, *_ = ENDS["memory, without cgroups"]
    assert f"log: {STEPD}StepId=1.batch exceeded memory limit (314728448 > 104857600), being killed" in found.evidence


NEVER = "The job never starts"
WAITING: dict[str, tuple[Explanation, str, str]] = {
    "Priority": (
        waits("Priority"),
        "waiting",
        "its turn in queue 'standard'. Jobs of higher priority come first (Prio",
    ),
    "Resources": (waits("Resources"), "waiting", "what it needs is not free yet (Resources)."),
    "None": (waits("None"), "waiting", "for its turn in queue 'standard'."),
    "Dependency": (waits("Dependency"), "waiting", "for another job to end (Dependency)."),
    "DependencyNeverSatisfied": (waits("DependencyNeverSatisfied"), "never-starts", f"{NEVER}: the job that it"),
    "JobHeldUser": (waits("JobHeldUser"), "held", "held back in the name of its owner (JobHeldUser)."),
    "JobHeldAdmin": (waits("JobHeldAdmin"), "held", "An administrator"),
    "held by Slurm": (waits("launch failed requeued held"), "held", "could not be run there"),
    "held by Slurm, as older versions write it": (
        waits("launch_failed_requeued_held"),
        "held",
        "could not be run there",
    ),
    "held, as it was requeued": (waits("job requeued in held state"), "held", "could not be run there"),
    "BeginTime": (waits("BeginTime"), "waiting", "until the time"),
    "Licenses": (waits("Licenses"), "waiting", "licences"),
    "JobArrayTaskLimit": (waits("JobArrayTaskLimit"), "waiting", "others of its array"),
    "PartitionDown": (waits("PartitionDown"), "waiting", "starts no jobs now (PartitionDown)"),
    "PartitionInactive": (waits("PartitionInactive"), "waiting", "starts no jobs now"),
    "maintenance": (
        waits("ReqNodeNotAvail, Reserved for maintenance"),
        "waiting",
        "reserved for maintenance (ReqNodeNotAvail, Reserved for maintenance).",
    ),
    "node not there": (
        waits("ReqNodeNotAvail, UnavailableNodes:host[1-3]"),
        "waiting",
        "out of service or reserved (ReqNodeNotAvail, UnavailableNodes:host[1-3]).",
    ),
    "NodeDown": (waits("NodeDown"), "waiting", "out of service"),
    "nodes down, in a sentence": (
        waits("Nodes_required_for_job_are_DOWN,_DRAINED_or_reserved_for_jobs_in_higher_priority_partitions"),
        "waiting",
        "out of service",
    ),
    "Reservation": (waits("Reservation"), "waiting", "until its reservation begins"),
    "BadConstraints": (waits("BadConstraints"), "never-starts", "no node has what it asks for"),
    "PartitionTimeLimit": (
        waits("PartitionTimeLimit", wall_time="25h"),
        "over-limits",
        f"{NEVER}: wall_time: 1 d 1 h is over the limit of queue 'standard', 1 d, and of QoS 'standard', 1 d (Parti",
    ),
    "PartitionTimeLimit of a place that tells nothing": (
        waits("PartitionTimeLimit", site=None, wall_time="25h"),
        "over-limits",
        f"{NEVER}: it asks for more wall time than queue 'standard' allows one job (PartitionTimeLimit).",
    ),
    "PartitionConfig": (
        waits("PartitionConfig", slots=1000),
        "over-limits",
        f"{NEVER}: slots: 1000 is over the limit of queue 'standard', 384, and of QoS 'standard', 1 (PartitionConfig).",
    ),
    "PartitionConfig, of something else": (
        waits("PartitionConfig", queue="", site=None),
        "over-limits",
        f"{NEVER}: it asks for more slots, memory or nodes than its queue allows one job (PartitionConfig).",
    ),
    "PartitionNodeLimit": (
        waits("PartitionNodeLimit"),
        "over-limits",
        "more nodes than queue 'standard' allows one job",
    ),
    "QOSMaxCpuPerJobLimit": (
        waits("QOSMaxCpuPerJobLimit", slots=2),
        "over-limits",
        f"{NEVER}: slots: 2 is over the limit of QoS 'standard', 1 (QOSMaxCpuPerJobLimit).",
    ),
    "QOSMaxWallDurationPerJobLimit": (
        waits("QOSMaxWallDurationPerJobLimit", wall_time="5h", native={"qos": "short"}),
        "over-limits",
        f"{NEVER}: wall_time: 5 h is over the limit of QoS 'short', 4 h (QOSMaxWallDurationPerJobLimit).",
    ),
    "QOSMaxWallDurationPerJobLimit of a QoS that is not known": (
        waits("QOSMaxWallDurationPerJobLimit", wall_time="5h", native={"qos": "secret"}),
        "over-limits",
        f"{NEVER}: it asks for more wall time than its QoS allows one job (QOSMaxWallDuration",
    ),
    "QOSMaxMemoryPerJob": (
        waits("QOSMaxMemoryPerJob", memory="65 GB", slots=2),
        "over-limits",
        f"{NEVER}: memory: 130 GB for all slots is over the limit of QoS 'standard', 128 GB for all slots (QOS",
    ),
    "QOSMaxGRESPerJob": (
        waits("QOSMaxGRESPerJob"),
        "over-limits",
        "more GPUs or other devices than QoS 'standard'",
    ),
    "QOSMinGRES": (waits("QOSMinGRES"), "over-limits", "fewer GPUs or other devices than its QoS demands"),
    "AssocMaxWallDurationPerJobLimit": (
        waits("AssocMaxWallDurationPerJobLimit"),
        "over-limits",
        "more wall time than its account allows one job",
    ),
    "MaxMemPerLimit": (waits("MaxMemPerLimit"), "over-limits", "more memory than the site allows one job"),
    "QOSMaxJobsPerUserLimit": (
        waits("QOSMaxJobsPerUserLimit"),
        "waiting",
        "until others have ended: its QoS limits the jobs of one user together (QOSMaxJobsPerUserLimit).",
    ),
    "QOSMaxCpuPerUserLimit": (
        waits("QOSMaxCpuPerUserLimit"),
        "waiting",
        "its QoS limits the slots of one user together",
    ),
    "MaxCpuPerAccount": (waits("MaxCpuPerAccount"), "waiting", "limits the slots of one account together"),
    "AssocMaxJobsLimit": (waits("AssocMaxJobsLimit"), "waiting", "its account limits the jobs of one user together"),
    "AssocGrpCpuLimit": (
        waits("AssocGrpCpuLimit"),
        "waiting",
        "its account limits the slots of all its users together",
    ),
    "QOSGrpMemLimit": (waits("QOSGrpMemLimit"), "waiting", "its QoS limits the memory of all its users together"),
    "AssocGrpCPUMinutesLimit": (waits("AssocGrpCPUMinutesLimit"), "waiting", "its account has no processor time left"),
    "InvalidAccount": (waits("InvalidAccount"), "not-allowed", f"{NEVER}: the account may not be used there"),
    "InvalidQOS": (waits("InvalidQOS"), "not-allowed", f"{NEVER}: the QoS may not be used there"),
    "account, in a sentence": (
        waits("Job's account not permitted to use this partition (orchid allows orchid not my_gws)"),
        "not-allowed",
        "(Job's account not permitted to use this partition (orchid allows orchid not my_gws)).",
    ),
    "a word of tomorrow": (
        waits("MoonPhase"),
        "waiting",
        "for a reason that only the batch system has a word for (MoonP",
    ),
}


@pytest.mark.parametrize(("found", "cause", "words"), WAITING.values(), ids=WAITING.keys())
def test_why_a_job_waits(found: Explanation, cause: str, words: str) -> None:
    assert found.cause == cause, found
    assert words in found.summary
    assert found.summary.endswith(".")
    assert found.advice.endswith((".", ")"))


def test_an_end_that_nobody_saw_is_not_invented() -> None:
    told = "Slurm no longer knows the job 7, and the job has left no word of how it ended"
    found = explain(Facts(JobInfo(JOB_ID, JobState.UNDEFINED, errors=(told,))))
    assert (found.cause, found.summary) == ("unknown-state", f"{told}.")


def test_the_reason_is_evidence() -> None:
    assert waits("Priority").evidence == ("state: Queuing (PENDING, Priority)",)


def test_what_would_start_is_named() -> None:
    time = waits("PartitionTimeLimit", queue="debug", wall_time="2h")
    assert time.advice == (
        "Cancel it, and submit it again with less wall_time=, or in another queue (queue=): queue 'standard' allows it."
    )
    slots = waits("QOSMaxCpuPerJobLimit", slots=2)
    assert slots.advice == (
        "Cancel it, and submit it again with fewer slots=, or with another QoS (native={'qos': NAME}): QoS 'high' "
        "allows it."
    )
    nowhere = waits("QOSMaxCpuPerJobLimit", slots=2, wall_time="3d")
    assert nowhere.advice.endswith("or with another QoS (native={'qos': NAME}); site() shows what each allows.")
    assert "site()" in waits("InvalidAccount", site=None).advice
    soon = waits("Priority", slots=2)
    assert (soon.cause, soon.advice) == (
        "over-limits",
        "Cancel it, and submit it again with another QoS (native={'qos': NAME}): QoS 'high' allows it.",
    )
    assert waits("InvalidAccount").advice == (
        "Cancel it, and submit it again with what you may use (account=, native={'qos': NAME}): the accounts mygws, "
        "no-project; the QoS standard, short, high."
    )

    nodes = waits("PartitionNodeLimit")
    assert nodes.advice.endswith("again with fewer slots=; site() shows what the queues allow.")


def test_the_qos_that_the_place_names_counts() -> None:
    info = JobInfo(JOB_ID, JobState.QUEUING, reason="QOSMaxCpuPerJobLimit")
    found = explain(Facts(info, {"status": "state=PENDING\nqos=short"}, description=job(slots=2), site=SITE))
    assert "slots: 2 is over the limit of QoS 'short', 1" in found.summary


@pytest.mark.parametrize(
    ("started", "expected"),
    [("1795168800", "2026-11-20 10:00 UTC"), ("1795161600", ""), ("N/A", ""), ("9" * 30, ""), ("", "")],
)
def test_when_it_is_expected_to_start(started: str, expected: str) -> None:
    now = datetime(2026, 11, 20, 9, tzinfo=timezone.utc)
    info = JobInfo(JOB_ID, JobState.QUEUING, reason="Priority", queue="standard")
    found = explain(Facts(info, {"status": f"reason=Priority\nstarted={started}\nended="}, now=now))
    told = f" The batch system expects it to start at {expected}." if expected else ""
    assert found.summary.endswith(f"Jobs of higher priority come first (Priority).{told}")


def test_a_job_whose_submission_was_interrupted() -> None:
    info = JobInfo(JOB_ID, JobState.ACCEPTED, native_state="PENDING", reason="JobHeldUser", native_id="7")
    found = explain(Facts(info, unfinished=True, not_uploaded=(".jasmin_arc_run",)))
    assert found.cause == "held"
    assert found.summary == "The job waits, because its submission is not finished."
    assert "recover()" in found.advice
    assert "scontrol" not in found.advice
    assert "'scontrol release 7'" in waits("JobHeldUser").advice


@pytest.mark.parametrize(
    ("native", "cause", "words"),
    [
        ("SUSPENDED", "held", "stopped the job for some time"),
        ("CONFIGURING", "starting", "made ready"),
        ("COMPLETING", "ending", "has ended"),
    ],
)
def test_states_of_slurm_that_say_more(native: str, cause: str, words: str) -> None:
    found = explain(Facts(JobInfo(JOB_ID, JobState.RUNNING, native_state=native)))
    assert found.cause == cause
    assert words in found.summary


@pytest.mark.parametrize(
    "said",
    [
        "sbatch: error: Job rejected: Please specify an account!",
        "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
        "sbatch: error: Batch job submission failed: Invalid qos specification",
    ],
)
def test_what_a_compute_element_was_refused(said: str) -> None:
    errors = ("Job submission to LRMS failed",)
    found = explain(Facts(JobInfo(JOB_ID, JobState.FAILED, errors=errors), logs={"errors": said}, site=SITE))
    assert found.cause == "not-allowed"
    assert "mygws, no-project" in found.advice


WORDS = st.from_regex(r"(QOS|Assoc|)(Max|Min|Grp)[A-Z][A-Za-z]{2,12}(PerJob|PerUser|)(Limit|)", fullmatch=True)


@given(WORDS | st.text(max_size=30))
def test_there_are_words_for_every_reason(reason: str) -> None:
    found = waits(reason, slots=2)
    assert all(char.isprintable() for char in found.summary + found.advice)
    assert not re.search(r"[{}]", found.summary + found.advice.replace("{'qos': NAME}", "")) or re.search(
        "[{}]", reason
    )
