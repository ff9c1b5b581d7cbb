"""Work on the local backend, and the time that an import takes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from measure import Row, at_most, seconds
from peers import peer_memory

from jasmin_arc import ArcInterface, JobDescription, JobStatuses
from jasmin_arc.constants import JobState
from jasmin_arc.job_list import JobList, JobRecord


def importing() -> Iterator[Row]:
    """How much longer Python takes to start with the library."""
    code = {"bare Python": "pass", "import jasmin_arc": "import jasmin_arc"}
    taken = {
        who: seconds(lambda text=text: peer_memory([sys.executable, "-c", text]), times=21)
        for who, text in code.items()
    }
    extra = (taken["import jasmin_arc"] - taken["bare Python"]) * 1000
    yield Row("import", "bare Python", f"{taken['bare Python'] * 1000:.0f} ms")
    yield Row(
        "import",
        "import jasmin_arc",
        f"{taken['import jasmin_arc'] * 1000:.0f} ms",
        f"+{extra:.0f} ms",
        at_most(extra, 60),
    )


def local(folder: Path) -> Iterator[Row]:
    """Many jobs that do nothing."""
    config = {"BACKEND": "local", "LOCAL_DIR": str(folder / "local"), "JOBS_INFO_FILE": str(folder / "local.dat")}
    with ArcInterface(log=None, config=config) as arc:
        true = JobDescription(executable="true", outputs=[])
        ids: list[str] = []
        submitted = seconds(lambda: ids.extend(arc.submit_jobs([true] * 1000)))
        yield Row("local: submit 1000 jobs", "ArcInterface, local", f"{submitted:.2f} s", "", at_most(submitted, 5))
        arc.wait(ids)
        overhead = seconds(lambda: _until_final(arc), times=20) * 1000
        yield Row(
            "local: from submit to final state of true",
            "ArcInterface, local",
            f"{overhead:.0f} ms",
            "",
            at_most(overhead, 50),
        )
        for _ in range(9):
            ids.extend(arc.submit_jobs([true] * 1000))
        arc.wait(ids)
        listed = seconds(lambda: len(arc.list_jobs()), times=3)
        yield Row(f"local: list {len(ids)} jobs", "ArcInterface, local", f"{listed:.2f} s", "", at_most(listed, 1))


def _until_final(arc: ArcInterface) -> None:
    job_id = arc.submit_job("true", outputs=[])
    while not arc.get_job_info(job_id).final:
        time.sleep(0.001)


def job_list(folder: Path) -> Iterator[Row]:
    """What one look into the job list takes."""
    jobs = JobList(folder / "local.dat")
    (first, *_) = jobs.ids()
    yield Row(
        f"job list of {len(jobs.ids())}: one job",
        "JobList",
        f"{seconds(lambda: jobs.get([first]), times=50) * 1000:.2f} ms",
    )


def long_list(folder: Path, count: int = 100_000) -> Iterator[Row]:
    """A list of many jobs: some of them, and the newest at the shell."""
    config = {"BACKEND": "local", "LOCAL_DIR": str(folder / "empty"), "JOBS_INFO_FILE": str(folder / "long.dat")}
    with ArcInterface(log=None, config=config) as arc:
        _fill(arc.job_list, arc.backend.endpoint, count)
        arc.list_jobs(last=1)
        calls: dict[str, Callable[[], list[str]]] = {
            "by name": lambda: arc.list_jobs(name="model-7-*"),
            "by time": lambda: arc.list_jobs(since=START + timedelta(seconds=count - 100)),
            "by status": lambda: arc.list_jobs(status=JobStatuses.FAILED),
        }
        for what, call in calls.items():
            taken = seconds(call, times=7)
            found = f"ArcInterface.list_jobs: {len(call())} found"
            yield Row(f"list of {count} jobs: {what}", found, f"{taken * 1000:.0f} ms", "", at_most(taken, 0.1))
    file = folder / "long.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("jasmin-arc")), "--config", str(file), "list", "--last", "50"]
    taken = seconds(lambda: subprocess.run(command, check=True, capture_output=True), times=7)
    work = f"list of {count} jobs: the newest 50"
    yield Row(work, "jasmin-arc list --last 50", f"{taken * 1000:.0f} ms", "", at_most(taken, 0.3))


START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def _fill(jobs: JobList, endpoint: str, count: int) -> None:
    text = JobDescription(executable="/bin/true", arguments=["x" * 200]).to_json()
    for start in range(0, count, 10_000):
        records = [
            JobRecord(
                token=f"token{number}",
                endpoint=endpoint,
                name=f"model-{number % 1000}-{number}",
                description=text,
                id=f"{endpoint}/{number * 7919 % 1_000_003:08d}",
                submitted=START + timedelta(seconds=number),
                final_state=JobState.FINISHED if number % 500 else JobState.FAILED,
            )
            for number in range(start, start + 10_000)
        ]
        jobs.intend(records)
        jobs.commit(record.id or "" for record in records)
