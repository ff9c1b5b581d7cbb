"""Work on the local backend, and the time that an import takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from measure import Row, at_most, seconds
from peers import peer_memory

from jasmin_arc import ArcInterface, JobDescription
from jasmin_arc.job_list import JobList


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
