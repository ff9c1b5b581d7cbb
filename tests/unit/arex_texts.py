"""What A-REX 6.17 really wrote about jobs on Slurm; only paths, ids and times have been shortened."""

from __future__ import annotations

JOB_SCRIPT = """\
SLURM jobname: {name}
---------------------------------------------------------------------
WARNING: The job description contains no explicit memory requirement.
         No 'defaultmemory' enforcement in in arc.conf.              
         JOB WILL BE PASSED TO BATCH SYSTEM WITHOUT MEMORY LIMIT !!! 
---------------------------------------------------------------------
SLURM job script built
SLURM script follows:
-------------------------------------------------------------------
#!/bin/bash -l
# SLURM batch job script built by arex
#SBATCH -p short
#SBATCH -J '{name}'
        if [ $? -ne 0 -o -z "$memory_cgroup" ]; then
            echo "Failed to initialize memory cgroup for accounting." 1>&2
      if ! $RUNTIME_LOCAL_SCRATCH_MOVE_TOOL "$f" "$RUNTIME_NODE_JOB_DIR"; then
        echo "Failed to '$RUNTIME_LOCAL_SCRATCH_MOVE_TOOL' '$f' to '$RUNTIME_NODE_JOB_DIR'" 1>&2
        exit 1
-------------------------------------------------------------------

"""  # noqa: W291 - as A-REX writes it

PREPARED = """\
2026-11-20T08:44:54Z Job state change UNDEFINED -> ACCEPTED   Reason: (Re)Accepting new job
2026-11-20T08:44:54Z Job state change ACCEPTED -> PREPARING   Reason: Starting job processing
"""

SUBMITTING = PREPARED + (
    "2026-11-20T08:44:54Z Job state change PREPARING -> SUBMIT   Reason: Pre-staging finished, passing job to LRMS\n"
    "----- starting submit_slurm_job -----\n"
)

FAILED = "2026-11-20T08:45:45Z Job state change INLRMS -> FINISHING   Reason: Job failure detected\n"


def ran(output: str = "", *, name: str = "sh") -> str:
    """The log of a job that ran, with what the batch system has to say."""
    return (
        SUBMITTING
        + JOB_SCRIPT.format(name=name)
        + "job submitted successfully!\nlocal job id: 462\n----- exiting submit_slurm_job -----\n\n"
        "2026-11-20T08:45:26Z Job state change SUBMIT -> INLRMS   Reason: Job is passed to LRMS\n"
        "------- Contents of output stream forwarded by the LRMS ---------\n"
        "Detecting resource accounting method available for the job.\n"
        "Looking for /usr/bin/time tool for accounting measurements\n"
        "GNU time found and will be used for job accounting.\n"
        f"{output}"
        "------------------------- End of output -------------------------\n"
    )


TIME_LIMIT = "slurmstepd-vm: error: *** JOB 462 ON vm CANCELLED AT 2026-11-20T08:46:17 DUE TO TIME LIMIT ***\n"
CANCELLED = "slurmstepd-vm: error: *** JOB 468 ON vm CANCELLED AT 2026-11-20T08:45:43 ***\nTerminated\n"

REFUSED_MEMORY = (
    SUBMITTING
    + JOB_SCRIPT.format(name="sh")
    + """\
job *NOT* submitted successfully!
got error code from sbatch: 1 !
Output is:
sbatch: error: Memory specification can not be satisfied
sbatch: error: Batch job submission failed: Requested node configuration is not available
----- exiting submit_slurm_job -----

2026-11-20T08:45:42Z Job state change SUBMIT -> FINISHING   Reason: Job failure detected
"""
)

NO_RUNTIME_ENVIRONMENT = (
    SUBMITTING
    + """\
ERROR: Requested RunTimeEnvironment APPS/NO/SUCH-1.0 is missing, broken or not enabled.
2026-11-20T08:45:16Z Job state change SUBMIT -> FINISHING   Reason: Job failure detected
"""
)

UPLOADS_TIMED_OUT = (
    "User file: /data.nc - Timeout waiting\n"
    "User file: /a/b.txt - Timeout waiting\n"
    "User file: /.jasmin_arc_run - Timeout waiting\n"
)

_DTR = "[2026-11-20 08:44:57] [{level}] [4210/6] DTR bb0a...367f: {text}\n"


def staging(*lines: tuple[str, str]) -> str:
    """Lines of the data staging."""
    return "".join(_DTR.format(level=level, text=text) for level, text in lines)


INPUT_TRIED_AGAIN = PREPARED + staging(
    (
        "INFO",
        "Scheduler received new DTR bb0a081e with source: http://127.0.0.1:1/none, destination: "
        "file:/arc/session/abc/in, assigned to transfer share _default-download with priority 25",
    ),
    ("VERBOSE", "Failed to connect to 127.0.0.1(IPv4):1"),
    (
        "ERROR",
        "Failed checking source replica http://127.0.0.1:1/none: Failed to obtain information about file: "
        "Failed to connect to 127.0.0.1(IPv4):1",
    ),
    ("ERROR", "Error with source file, moving to next replica"),
    ("ERROR", "Trying next replica"),
    ("ERROR", "No more source replicas"),
    ("INFO", "9 retries left, will wait until 2026-11-20 08:45:07 before next attempt"),
)

INPUT_NOT_FOUND = (
    "Failed in data staging: Failed checking source replica https://vm:8443/arex/nothing: Failed to obtain information "
    "about file: No such file or directory: Not Found\n"
)

OUTPUT_NOT_FOUND = (
    "Failed in data staging: Failed checking source replica file:/arc/session/abc/sub/result.nc: Failed to obtain "
    "information about file: No such file or directory: Failed to stat file /arc/session/abc/sub/result.nc\n"
)

OUTPUT_TRIED_AGAIN = ran() + staging(
    (
        "ERROR",
        "Transfer failed: Failed writing to destination: http://127.0.0.1:1/put/result.nc : "
        "Failed while writing to destination: Failed to connect to 127.0.0.1(IPv4):1",
    ),
    ("ERROR", "No more destination replicas"),
    ("INFO", "8 retries left, will wait until 2026-11-20 08:46:26 before next attempt"),
)

OUTPUT_NOT_SENT = (
    "Failed in data staging: Failed writing to destination: http://127.0.0.1:1/put/result.nc : "
    "Failed while writing to destination: Failed to connect to 127.0.0.1(IPv4):1\n"
)

INPUT_PROXY_EXPIRED = (
    "Failed in data staging: Failed checking source replica https://127.0.0.1:1/nothing: Failed to obtain information "
    "about file: Failed to read in-memory credentials (Proxy expired)\n"
)

OUTPUT_PROXY_EXPIRED = (
    "Failed in data staging: Failed writing to destination: https://vm:8443/arex/put/r.nc : Failed while writing to "
    "destination: Temporary service error: Job does not exist (Proxy expired)\n"
)
