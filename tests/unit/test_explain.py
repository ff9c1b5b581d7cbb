"""Explaining: what A-REX, shells and batch systems really say, and the causes that follow."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import arex_texts as arex
import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_list_kit import add

from jasmin_arc import Explanation, JobDescription, JobFailedError, JobInfo, JobNotFoundError, ServerError
from jasmin_arc._support.text import excerpt
from jasmin_arc.backends.base import Backend
from jasmin_arc.constants import JobState
from jasmin_arc.exceptions import JasminArcError
from jasmin_arc.explain import job_failed
from jasmin_arc.explain.conclude import explain
from jasmin_arc.explain.facts import Facts
from jasmin_arc.explain.gather import gather
from jasmin_arc.job_info import RemoteFile
from jasmin_arc.job_list import JobList, JobRecord
from jasmin_arc.site_info import QueueInfo, SiteInfo

JOB_ID = "https://ce.example/arex/rest/1.0/jobs/abc"
NOW = datetime(2026, 11, 20, 9, tzinfo=timezone.utc)
SITE = SiteInfo(
    "https://ce.example/arex",
    queues=(
        QueueInfo(
            "short",
            max_wall_time=timedelta(hours=1),
            max_memory=2**36,
            total_slots=64,
            free_slots=0,
            running=7,
            waiting=3,
        ),
        QueueInfo("long"),
    ),
    runtime_environments=("ENV/PROXY",),
)


def facts(state: str = "Failed", failed: str = "", errors: str = "", stderr: str = "", **more: Any) -> Facts:
    """What the REST interface gives: the reason both in a file and in the job's document."""
    of_info = ("exit_code", "cpu_time", "proxy_expires", "native_state", "memory", "nodes")
    own = {key: more.pop(key) for key in of_info if key in more}
    reasons = tuple(line for line in failed.splitlines() if line)
    info = JobInfo(JOB_ID, JobState(state), queue="short", errors=reasons, **own)
    more.setdefault("description", job())
    return Facts(info, logs={"failed": failed, "errors": errors}, stderr=stderr, site=SITE, now=NOW, **more)


def job(program: str = "cdo", **options: Any) -> JobDescription:
    return JobDescription(executable=program, **options)


def ended(code: int, stderr: str = "", **more: Any) -> Facts:
    return facts(
        failed=f"LRMS error: ({code}) Job failed\n",
        errors=arex.ran() + arex.FAILED,
        stderr=stderr,
        exit_code=code,
        **more,
    )


TOOL = job("tool", inputs={"tool": b"#!/no/such/python\n"})
RUN = ".jasmin_arc_run: "
TRACEBACK = """\
Traceback (most recent call last):
  File "/arc/session/abc/mean.py", line 12, in <module>
    mean(data)
    ^^^^^^^^^^
  File "/usr/lib/python3/dist-packages/xarray/core.py", line 999, in mean
    raise KeyError(name)
KeyError: 'tas'
"""
CASES: dict[str, tuple[Facts, str, str]] = {
    "exit code": (ended(3, "reading\nKeyError: 1850\n"), "exit-code", "exit code 3: KeyError: 1850"),
    "exit code, silent": (ended(255), "exit-code", "exit code 255"),
    "missing program, dash": (
        ended(127, RUN + "2: exec: /no/such/program: not found\n"),
        "missing-executable",
        "/no/such/program was not found",
    ),
    "missing program, bash": (
        ended(127, RUN + "line 2: exec: cdo: not found\n"),
        "missing-executable",
        "cdo was not found",
    ),
    "missing program by path, bash": (
        ended(127, RUN + "line 2: /no/such: No such file or directory\n"),
        "missing-executable",
        "/no/such was not found",
    ),
    "missing program in a step": (ended(127, RUN + "9: exec: cdoo: not found\n"), "missing-executable", "cdoo"),
    "missing program inside a script": (
        ended(127, "./tool: 2: cdoo: not found\n", description=TOOL),
        "missing-executable",
        "or a command that it calls, was not found on the node: cdoo",
    ),
    "missing program inside bash": (
        ended(127, "bash: line 1: cdoo: command not found\n"),
        "missing-executable",
        "cdoo",
    ),
    "missing program, started by env for its environment": (
        ended(127, "/usr/bin/env: ‘cdoo’: No such file or directory\n", description=job("cdoo")),
        "missing-executable",
        "or a command that it calls, was not found on the node",
    ),
    "missing interpreter of a script in a folder": (
        ended(127, RUN + "3: exec: ./bin/tool: not found\n", description=job("bin/tool", inputs={"bin": "/here"})),
        "missing-interpreter",
        "./bin/tool is there",
    ),
    "missing program in an input folder": (
        ended(
            127,
            f"chmod: cannot access './bin/typo': No such file or directory\n{RUN}3: exec: ./bin/typo: not found\n",
            description=job("bin/typo", inputs={"bin": "/here"}),
        ),
        "missing-executable",
        "./bin/typo was not found",
    ),
    "127 without a word": (ended(127), "missing-executable", "127"),
    "missing interpreter, dash": (
        ended(127, RUN + "3: exec: ./tool: not found\n", description=TOOL),
        "missing-interpreter",
        "./tool is there",
    ),
    "missing interpreter, bash 5.2": (
        ended(127, RUN + "line 3: /s/tool: cannot execute: required file not found\n", description=TOOL),
        "missing-interpreter",
        "/s/tool is there",
    ),
    "missing interpreter, bash before": (
        ended(126, RUN + "./tool: /no/such/python: bad interpreter: No such file or directory\n", description=TOOL),
        "missing-interpreter",
        "/no/such/python",
    ),
    "missing interpreter, env": (
        ended(127, "/usr/bin/env: ‘pythonX’: No such file or directory\n", description=TOOL),
        "missing-interpreter",
        "pythonX",
    ),
    "missing interpreter of nobody knows which script": (
        ended(127, "env: pythonX: No such file or directory\n", description=TOOL),
        "missing-interpreter",
        "The interpreter that the program names in its first line is not on the node: pythonX.",
    ),
    "script not sent, Python": (
        ended(
            2,
            "python3: can't open file '/arc/session/abc/mean.py': [Errno 2] No such file or directory\n",
            not_sent=("mean.py", "other.py"),
        ),
        "input-not-sent",
        "The job did not find mean.py, which is not among its inputs.",
    ),
    "script not sent, local": (
        ended(2, "python3: can't open file '/d/jobs/abc/session/mean.py': [Errno 2]\n", not_sent=("mean.py",)),
        "input-not-sent",
        "mean.py",
    ),
    "script not sent, bash": (
        ended(127, "bash: ./run.sh: No such file or directory\n", not_sent=("run.sh",)),
        "input-not-sent",
        "run.sh",
    ),
    "script not sent, dash": (
        ended(2, "sh: 0: cannot open run.sh: No such file\n", not_sent=("run.sh",)),
        "input-not-sent",
        "run.sh",
    ),
    "program not sent": (
        ended(127, RUN + "2: exec: ./mean.py: not found\n", not_sent=("./mean.py",)),
        "input-not-sent",
        "./mean.py",
    ),
    "data not sent": (
        ended(1, "FileNotFoundError: [Errno 2] No such file or directory: 'in/a.nc'\n", not_sent=("in/a.nc",)),
        "input-not-sent",
        "in/a.nc",
    ),
    "a word that is no file": (
        ended(1, "KeyError: variable 'tas' not found\nlevel 1.5 not found\n", not_sent=("tas", "1.5")),
        "exit-code",
        "level 1.5 not found",
    ),
    "words that are in the message by chance": (
        ended(
            1,
            "sh: 2: FileNotFoundError: [Errno 2] No such file or directory: '/data/sst.nc'\n",
            not_sent=("2", "file", "directory", "such", "sh"),
        ),
        "exit-code",
        "/data/sst.nc",
    ),
    "a word that is a file": (
        ended(1, "cat: mean: No such file or directory\n", not_sent=("cat", "mean")),
        "input-not-sent",
        "The job did not find mean, which",
    ),
    "a number that is a file": (
        ended(1, "[Errno 2] No such file or directory: '1961'\n", not_sent=("2", "1961")),
        "input-not-sent",
        "The job did not find 1961, which",
    ),
    "another file of that name": (
        ended(1, "cat: /data/a.nc: No such file or directory\n", not_sent=("a.nc",)),
        "exit-code",
        "/data/a.nc",
    ),
    "a file with a longer name": (
        ended(1, "cat: a.nc.gz: No such file or directory\n", not_sent=("a.nc", "nc.gz")),
        "exit-code",
        "a.nc.gz",
    ),
    "traceback": (
        ended(1, TRACEBACK),
        "exit-code",
        "exit code 1: KeyError: 'tas' (mean.py, line 12)",
    ),
    "traceback, long message": (
        ended(1, TRACEBACK.replace("'tas'", "'tas'\nwith: more\n  of it")),
        "exit-code",
        "KeyError: 'tas' (mean.py, line 12)",
    ),
    "traceback before the end": (ended(3, TRACEBACK + "giving up\n"), "exit-code", "exit code 3: giving up"),
    "missing module": (
        ended(1, TRACEBACK.replace("KeyError: 'tas'", "ModuleNotFoundError: No module named 'xarray'")),
        "missing-module",
        "Python has no module xarray where the job ran (mean.py, line 12).",
    ),
    "missing module, -m": (ended(1, "/usr/bin/python3: No module named dask.x\n"), "missing-module", "module dask.x"),
    "not a program": (ended(126, RUN + "3: exec: ./tool: Exec format error\n"), "not-executable", "Exec format error"),
    "not executable": (
        ended(126, RUN + "2: exec: /etc/passwd: Permission denied\n"),
        "not-executable",
        "/etc/passwd is there, but cannot be run: Permission denied",
    ),
    "126 without a word": (ended(126), "not-executable", "cannot be run"),
    "crash": (ended(139), "signal", "crashed (SIGSEGV)"),
    "killed": (ended(137), "signal", "SIGKILL"),
    "terminated": (ended(143), "signal", "SIGTERM"),
    "wall time": (
        facts(
            failed="LRMS error: (271) Job timeout\n",
            errors=arex.ran(arex.TIME_LIMIT),
            description=job(wall_time="30s"),
        ),
        "wall-time",
        "longer than the wall time that it had asked for, 30 s",
    ),
    "CPU time": (
        facts(failed="LRMS error: (271) Job timeout\n", description=job(cpu_time="30s")),
        "wall-time",
        "CPU time",
    ),
    "wall time, never asked for": (facts(failed="LRMS error: (271) Job timeout\n"), "wall-time", "no wall_time"),
    "CPU time, enforced by the system alone": (
        ended(137, cpu_time=timedelta(seconds=29), description=job(cpu_time="30s")),
        "wall-time",
        "used the CPU time that it had asked for, 30 s",
    ),
    "killed long before its CPU time was used": (
        ended(137, cpu_time=timedelta(seconds=9), description=job(cpu_time="30s")),
        "signal",
        "SIGKILL",
    ),
    "wall time on local": (
        facts(failed="LRMS error: (271) Job timeout: it was killed at its wall-time limit of 3 s", description=None),
        "wall-time",
        "its time limit",
    ),
    "memory, Slurm": (
        facts(
            failed="LRMS error: (137) Job failed\n",
            errors=arex.ran(
                "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=462.batch. Some of your processes may have "
                "been killed by the cgroup out-of-memory handler.\n"
            ),
            exit_code=137,
            description=job(memory="2 GB"),
        ),
        "memory",
        "2048 MB per slot",
    ),
    "memory, Python": (ended(1, 'File "<string>", line 1\nMemoryError\n'), "memory", "ran out of memory"),
    "memory, C++": (ended(134, "terminate called after throwing 'std::bad_alloc'\n"), "memory", "ran out of memory"),
    "memory, all of it": (ended(137, description=job(memory="1 GB"), memory=2**30), "memory", "1024 MB"),
    "cancelled in the batch system": (
        facts(failed="LRMS error: (271) Job was cancelled\n", errors=arex.ran(arex.CANCELLED)),
        "cancelled",
        "in the batch system, not through this library; it is not said by whom",
    ),
    "node failure": (facts(failed="LRMS error: (-1) Node fail\n", errors=arex.ran()), "node-failure", "broke down"),
    "lost by the batch system": (
        facts(failed="LRMS error: (-1) Job missing from SLURM\n", errors=arex.ran()),
        "batch-system",
        "The batch system lost the job.",
    ),
    "not handed over": (
        facts(
            failed="Job submission to LRMS failed\n",
            errors=arex.SUBMITTING + "sbatch: error: Batch job submission failed: Unable to contact slurm controller\n",
        ),
        "batch-system",
        "Unable to contact slurm controller",
    ),
    "no such queue, Slurm": (
        facts(
            failed="Job submission to LRMS failed\n",
            errors=arex.SUBMITTING + "sbatch: error: invalid partition specified: short\n",
        ),
        "no-such-queue",
        "no queue 'short'",
    ),
    "too much memory": (
        facts(
            failed="Job submission to LRMS failed\n",
            errors=arex.REFUSED_MEMORY,
            description=job(memory="500 GB"),
        ),
        "over-limits",
        "memory: 512000 MB per slot is over the limit of queue 'short', 65536 MB per slot",
    ),
    "too much, of something": (
        facts(failed="Job submission to LRMS failed\n", errors=arex.REFUSED_MEMORY),
        "over-limits",
        "Memory specification can not be satisfied",
    ),
    "runtime environment": (
        facts(failed="Job submission to LRMS failed\n", errors=arex.NO_RUNTIME_ENVIRONMENT),
        "runtime-environment",
        "APPS/NO/SUCH-1.0",
    ),
    "input never uploaded": (
        facts(failed=arex.UPLOADS_TIMED_OUT, errors=arex.PREPARED),
        "inputs-missing",
        "data.nc, a/b.txt",
    ),
    "input URL not found": (
        facts(failed=arex.INPUT_NOT_FOUND, errors=arex.PREPARED, exit_code=None),
        "input-url",
        "https://vm:8443/arex/nothing (Not Found)",
    ),
    "input URL not found, local": (
        facts(failed="Failed in data staging: input URL not found: http://127.0.0.1:8/x.nc (HTTP 404)"),
        "input-url",
        "http://127.0.0.1:8/x.nc (HTTP 404)",
    ),
    "input URL out of reach, local": (
        facts(
            failed="Failed in data staging: cannot fetch the input URL http://127.0.0.1:1/x: NewConnectionError: "
            "[Errno 111] Connection refused"
        ),
        "input-url",
        "http://127.0.0.1:1/x ([Errno 111] Connection refused)",
    ),
    "input URL, no details": (facts(failed="Data download failed\n"), "input-url", "could not be fetched."),
    "proxy expired before the inputs": (
        facts(failed=arex.INPUT_PROXY_EXPIRED, errors=arex.INPUT_TRIED_AGAIN),
        "proxy-expired",
        "credentials had ended",
    ),
    "proxy expired before the outputs": (
        facts(failed=arex.OUTPUT_PROXY_EXPIRED, exit_code=0),
        "proxy-expired",
        "credentials had ended",
    ),
    "output not made": (
        facts(failed=arex.OUTPUT_NOT_FOUND, errors=arex.ran(), exit_code=0),
        "output-missing",
        "not there: sub/result.nc",
    ),
    "output not sent": (
        facts(failed=arex.OUTPUT_NOT_SENT, errors=arex.OUTPUT_TRIED_AGAIN, exit_code=0),
        "output-not-sent",
        "http://127.0.0.1:1/put/result.nc (Failed to connect to 127.0.0.1(IPv4):1)",
    ),
    "cancelled, though it says failed": (
        facts(failed="Job is canceled by external request\n"),
        "cancelled",
        "its user's request",
    ),
    "nothing is known": (facts(), "batch-system", "it is not said why"),
    "something else": (facts(failed="Internal error\n"), "batch-system", "Internal error"),
    # --- not failed ---
    "finished": (facts("Finished", exit_code=0), "finished", "reported success"),
    "finished without its output": (
        facts("Finished", missing_outputs=("result.nc",)),
        "output-missing",
        "did not make result.nc",
    ),
    "cancelled": (facts("Killed", "Job is canceled by external request\n"), "cancelled", "its user's request"),
    "being cancelled": (facts("Running", native_state="KILLING"), "cancelled", "its user's request"),
    "erased after success": (facts("Deleted", known_end="Finished"), "wiped", "It had finished well"),
    "erased after failure": (facts("Deleted", known_end="Failed"), "wiped", "It had failed"),
    "erased": (facts("Deleted"), "wiped", "was not seen"),
    "input URL, tried again": (
        facts("Preparing", errors=arex.INPUT_TRIED_AGAIN),
        "input-url",
        "http://127.0.0.1:1/none (Failed to connect to 127.0.0.1(IPv4):1). The compute element tries again",
    ),
    "input not uploaded yet": (
        facts("Preparing", errors=arex.PREPARED, not_uploaded=("data.nc",)),
        "inputs-missing",
        "data.nc",
    ),
    "starting": (facts("Preparing", errors=arex.PREPARED), "starting", "being prepared"),
    "handed over": (facts("Submitting"), "starting", "handing the job to the batch system"),
    "waiting": (facts("Queuing"), "waiting", "queue 'short'; 3 jobs wait there and 7 run; 0 of 64 slots are free"),
    "waiting for ever": (
        facts("Queuing", description=job(slots=1000)),
        "over-limits",
        "slots: 1000 is over the limit of queue 'short', 64",
    ),
    "too long for the queue": (facts("Queuing", description=job(wall_time="10h")), "over-limits", "10 h"),
    "held": (facts("Hold"), "held", "holds the job back"),
    "running": (facts("Running", nodes=("node7", "node8")), "running", "The job runs on node7, node8."),
    "credentials ended, files to copy": (
        facts(
            "Running",
            proxy_expires=NOW - timedelta(hours=1),
            description=job(outputs={"a": "https://store.example/a"}),
        ),
        "proxy-expired",
        "2026-11-20 08:00 UTC",
    ),
    "credentials ended, none needed": (facts("Running", proxy_expires=NOW - timedelta(hours=1)), "running", "runs"),
    "output, tried again": (
        facts("Finishing", errors=arex.OUTPUT_TRIED_AGAIN),
        "output-not-sent",
        "tries again",
    ),
    "ending": (facts("Finishing", errors=arex.ran()), "ending", "being gathered"),
    "a state of tomorrow": (facts("Other", native_state="DREAMING"), "unknown-state", "'DREAMING'"),
}


@pytest.mark.parametrize(("known", "cause", "words"), CASES.values(), ids=CASES.keys())
def test_the_cause(known: Facts, cause: str, words: str) -> None:
    found = explain(known)
    assert (found.cause, found.job_id) == (cause, JOB_ID)
    assert words in found.summary
    assert found.advice.endswith((".", ")"))


def test_the_causes_that_users_meet_are_known() -> None:
    causes = {cause for _, cause, _ in CASES.values()}
    assert causes >= {
        "exit-code",
        "missing-executable",
        "missing-interpreter",
        "wall-time",
        "memory",
        "inputs-missing",
        "input-url",
        "output-missing",
        "no-such-queue",
        "over-limits",
        "waiting",
        "proxy-expired",
        "cancelled",
        "batch-system",
        "wiped",
    }


@pytest.mark.parametrize(
    "name", ["out of memory", "Job timeout", "Proxy expired", "oom-kill", "invalid partition", "User file: x - y"]
)
def test_what_users_call_their_jobs_is_no_evidence(name: str) -> None:
    known = facts(
        failed="LRMS error: (3) Job failed\n", errors=arex.ran(name=name), exit_code=3, description=job(name=name)
    )
    known = Facts(known.info, logs={**known.logs, "description": name, "local": f"jobname={name}"}, site=SITE)
    assert explain(known).cause == "exit-code"
    assert name not in str(explain(known))


def test_the_whole_reads_well() -> None:
    known = facts(
        failed="LRMS error: (271) Job timeout\n",
        errors=arex.ran(arex.TIME_LIMIT) + arex.FAILED,
        stderr="step 7 of 100\n\n",
        native_state="FAILED",
        description=job(wall_time="30s"),
    )
    assert str(explain(known)) == (
        f"{JOB_ID}\n"
        "The job was killed because it ran longer than the wall time that it had asked for, 30 s.\n"
        "  - state: Failed (FAILED)\n"
        "  - reported: LRMS error: (271) Job timeout\n"
        "  - log: slurmstepd-vm: error: *** JOB 462 ON vm CANCELLED AT 2026-11-20T08:46:17 DUE TO TIME LIMIT ***\n"
        "  - stderr: step 7 of 100\n"
        "Ask for more with wall_time=, within the 1 h that the queue allows, or give each job less to do."
    )


def test_the_job_is_called_by_its_name() -> None:
    info = JobInfo(JOB_ID, JobState.FAILED, name="m-\x1b[1961", exit_code=3)
    found = explain(Facts(info))
    assert str(found).splitlines()[0] == f"m- [1961  ({JOB_ID})"
    assert str(job_failed(found, [JOB_ID])).startswith(f"m- [1961 ({JOB_ID}): The program ended")


def test_the_link_leads_to_the_section_on_the_cause() -> None:
    assert explain(ended(3)).link == "docs/troubleshooting.md#exit-code"


def test_a_traceback_keeps_its_shape_and_begins_where_a_frame_does() -> None:
    evidence = explain(ended(1, TRACEBACK.replace("    raise", "\traise"))).evidence
    lines = [line.removeprefix("stderr: ") for line in evidence if line.startswith("stderr: ")]
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1:3] == ['  File "mean.py", line 12, in <module>', "    mean(data)"]
    assert "    raise KeyError(name)" in lines


def test_nobody_has_to_know_the_run_script() -> None:
    evidence = explain(ended(127, "/arc/abc/" + RUN + "2: exec: cdoo: not found\n")).evidence
    assert evidence[-1] == "stderr: cdoo: not found"


def test_a_queue_that_would_do_is_named_in_place_of_another_look_at_the_limits() -> None:
    waiting = explain(facts("Queuing", description=job(wall_time="10h")))
    assert waiting.advice == "Cancel it, and submit it again with another queue (queue=): queue 'long' allows it."
    refused = facts(failed="Job submission to LRMS failed\n", description=job(memory="500 GB"))
    assert explain(refused).advice == "Submit it again with another queue (queue=): queue 'long' allows it."
    nowhere = Facts(
        JobInfo(JOB_ID, JobState.QUEUING, queue="short"),
        description=job(wall_time="10h"),
        site=SiteInfo(SITE.endpoint, queues=SITE.queues[:1]),
    )
    assert explain(nowhere).advice == "Cancel it, and ask for less: no queue of the site allows it."


def test_a_job_whose_queue_is_not_told_yet_is_judged_by_the_one_of_such_jobs() -> None:
    site = replace(SITE, default_queue="short")
    queuing = Facts(JobInfo(JOB_ID, JobState.QUEUING), description=job(wall_time="10h"), site=site)
    assert explain(queuing).cause == "over-limits"


def test_limits_against_use() -> None:
    info = JobInfo(JOB_ID, JobState.FAILED, exit_code=1, wall_time=timedelta(seconds=50), memory=100 * 2**20)
    evidence = explain(Facts(info, description=job(wall_time="1 m", memory="200 MB"))).evidence
    assert "wall time used: 50 s of 1 min" in evidence
    assert "memory used: 100 MB of 200 MB" in evidence


def test_secrets_of_urls_are_not_shown() -> None:
    url = "https://me:hunter2@store.example/x.nc?signature=hunter3"
    failed = f"Failed in data staging: Failed checking source replica {url}: Failed to obtain information: Not Found\n"
    text = str(explain(facts(failed=failed, errors=failed, stderr=f"cannot read {url}\n")))
    assert "store.example/x.nc" in text
    assert "hunter" not in text


def test_what_follows_the_time_in_a_signature_is_hidden_as_well() -> None:
    shown = excerpt("GET https://jane:pw@h/x?se=2026-11-20T08:00:00Z&sig=SECRET failed. Why? a=b")
    assert shown == "GET https://...h/x?... failed. Why? a=b"


def test_control_characters_do_not_reach_the_terminal() -> None:
    text = str(explain(ended(1, "\x1b[2J\x07 boom \u202e\n")))
    assert "boom" in text
    assert all(char.isprintable() for char in text.replace("\n", ""))


PIECES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [entry for entry in vars(arex).values() if isinstance(entry, str)]
        + ["-" * 30, "\n", "exec: ", RUN, "error: ", ": not found\n", "User file: ", " - ", "://", "?", "=", "@"]
    ),
)
TEXTS = st.lists(PIECES, max_size=6).map("".join)
TIMES = st.none() | st.datetimes(timezones=st.just(timezone.utc))
SPANS = st.none() | st.timedeltas(min_value=timedelta(0))
NUMBERS = st.none() | st.integers(0, 2**40)
INFOS = st.builds(
    JobInfo,
    id=st.text(max_size=20),
    state=st.sampled_from(JobState),
    native_state=st.text(max_size=10),
    exit_code=st.none() | st.integers(-3, 300),
    queue=st.sampled_from(["", "short", "gone"]) | st.text(max_size=5),
    nodes=st.lists(st.text(max_size=5), max_size=2).map(tuple),
    position=NUMBERS,
    started=TIMES,
    ended=TIMES,
    wall_time=SPANS,
    memory=NUMBERS,
    errors=st.lists(TEXTS, max_size=3).map(tuple),
    proxy_expires=TIMES,
    session_expires=TIMES,
)
FACTS = st.builds(
    Facts,
    info=INFOS,
    logs=st.dictionaries(st.sampled_from(["failed", "errors", "local", "description"]), TEXTS, max_size=3),
    stderr=TEXTS,
    description=st.sampled_from(
        [None, job(), TOOL, job(slots=1000, memory="1 TB", wall_time="9h", outputs={"a": "http://x.example/a"})]
    ),
    site=st.sampled_from([None, SITE, SiteInfo("x://")]),
    not_sent=st.lists(st.text(max_size=5), max_size=2).map(tuple),
    not_uploaded=st.lists(st.text(max_size=5), max_size=2).map(tuple),
    missing_outputs=st.lists(st.text(max_size=5), max_size=2).map(tuple),
    known_end=st.sampled_from(["", "Finished", "Failed", "Odd"]),
)


@given(FACTS)
def test_there_is_always_an_explanation(known: Facts) -> None:
    found = explain(known)
    assert found.cause and found.summary and found.advice
    assert all(char.isprintable() for line in (found.summary, found.advice, *found.evidence) for char in line)
    assert len(str(found)) < 12_000


def test_the_short_form() -> None:
    why = Explanation("x://1", "exit-code", "The program ended with exit code 3: boom", "See stderr.")
    error = job_failed(why, ["x://1", "x://2"])
    assert (
        str(error)
        == "x://1: The program ended with exit code 3: boom; 1 more job did not succeed; explain() tells more"
    )
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, JobFailedError)
    assert (again.job_ids, str(again)) == (["x://1", "x://2"], str(error))


# --- Gathering ---


class Place(Backend):
    """Knows jobs; what is an error is raised."""

    name = "place"
    endpoint = "https://ce.example/arex"

    def __init__(self, *jobs: JobInfo, files: Sequence[str] | JasminArcError = (), out_of_order: bool = False) -> None:
        self.jobs = {info.id: info for info in jobs}
        self.files = files
        self.out_of_order = out_of_order

    def query(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        return {job_id: self.jobs[job_id] for job_id in job_ids if job_id in self.jobs}

    def evidence(self, job_id: str) -> dict[str, str]:
        self._fail()
        return {"failed": "LRMS error: (271) Job timeout\n"}

    def site(self) -> SiteInfo:
        self._fail()
        return SITE

    def list_files(self, job_id: str, path: str = "", *, recursive: bool = False) -> list[RemoteFile]:
        self._fail()
        if isinstance(self.files, JasminArcError):
            raise self.files
        folders = {name.partition("/")[0] for name in self.files if "/" in name and not path}
        here = [RemoteFile(name, 1) for name in self.files if name.rpartition("/")[0] == path]
        return [*here, *(RemoteFile(folder, is_dir=True) for folder in sorted(folders))]

    def open(self, job_id: str, path: str, offset: int = 0) -> BinaryIO:
        raise JobNotFoundError(path)

    def _fail(self) -> None:
        if self.out_of_order:
            raise ServerError("out of order")

    def _not_asked(self, *_: object, **__: object) -> NoReturn:
        raise NotImplementedError

    submit = list_jobs = cancel = clean = close = _not_asked


@pytest.fixture
def job_list(tmp_path: Path) -> JobList:
    return JobList(tmp_path / "jobs.dat")


def listed(job_list: JobList, description: JobDescription, *, final: str = "") -> None:
    add(job_list, [JobRecord("token", Place.endpoint, "name", description.to_json(), JOB_ID)])
    if final:
        job_list.set_final({JOB_ID: final})


def gathered(place: Place, job_list: JobList, **options: Any) -> Explanation:
    return explain(gather(place, job_list, JOB_ID, **options))


def test_an_unknown_job(job_list: JobList) -> None:
    with pytest.raises(JobNotFoundError, match="abc"):
        gathered(Place(), job_list)


def test_a_job_that_only_the_job_list_remembers(job_list: JobList) -> None:
    listed(job_list, job(), final="Finished")
    found = gathered(Place(), job_list)
    assert (found.cause, found.evidence) == ("wiped", ("state: Deleted",))
    assert "finished well" in found.summary


def test_a_wiped_job_that_the_place_still_remembers(job_list: JobList) -> None:
    assert gathered(Place(JobInfo(JOB_ID, JobState.DELETED, native_state="WIPED")), job_list).cause == "wiped"


@pytest.mark.parametrize("out_of_order", [False, True])
def test_what_cannot_be_had_is_left_out(job_list: JobList, out_of_order: bool) -> None:
    place = Place(
        JobInfo(JOB_ID, JobState.FAILED, errors=("LRMS error: (271) Job timeout",)), out_of_order=out_of_order
    )
    assert gathered(place, job_list).cause == "wall-time"


def test_inputs_that_were_never_uploaded(job_list: JobList) -> None:
    listed(job_list, job(inputs={"here": b"", "missing": b"", "folder/x": b"", "fetched": "http://x.example/"}))
    preparing = JobInfo(JOB_ID, JobState.PREPARING)
    found = gathered(Place(preparing, files=["here"]), job_list)
    assert found.cause == "inputs-missing"
    assert found.summary.endswith(": folder/x, missing, .jasmin_arc_run.")
    assert gathered(Place(preparing, files=[".jasmin_arc_run"]), job_list).cause == "starting"
    assert gathered(Place(preparing, files=ServerError("no")), job_list).cause == "starting"


def test_a_job_of_another_tool_has_no_run_script_to_wait_for(
    job_list: JobList, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(JobInfo(JOB_ID, JobState.PREPARING), files=["here"])
    monkeypatch.setattr(place, "description", lambda _: job(inputs={"fetched": "http://x.example/"}))
    monkeypatch.setattr(place, "evidence", lambda _: {"description": "<Path>/bin/sh</Path>"})
    assert gathered(place, job_list).cause == "starting"
    monkeypatch.setattr(place, "evidence", lambda _: {"description": "<Argument>.jasmin_arc_run</Argument>"})
    assert gathered(place, job_list).cause == "inputs-missing"


def test_outputs_that_were_not_made(job_list: JobList) -> None:
    listed(job_list, job(outputs=["made", "sub/missing", "sub/made", "output", "*.nc"]))
    place = Place(JobInfo(JOB_ID, JobState.FINISHED, exit_code=0), files=["made", "sub/made"])
    assert "did not make output, sub/missing." in gathered(place, job_list).summary
    assert "did not make sub/missing." in gathered(place, job_list, optional=["output"]).summary
    place.files = ["made"]
    assert "sub/made" in gathered(place, job_list).summary
    for error in (ServerError("no answer"), JobNotFoundError("the job has been erased meanwhile")):
        place.files = error
        assert gathered(place, job_list).cause == "finished"


def test_facts_of_one_job_only(job_list: JobList) -> None:
    logs: Mapping[str, str] = gather(Place(JobInfo(JOB_ID, JobState.RUNNING)), job_list, JOB_ID).logs
    assert logs == {"failed": "LRMS error: (271) Job timeout\n"}
