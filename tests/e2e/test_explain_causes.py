"""Each cause is produced for real, on the grid or on this machine, and explained."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from conftest import MakeArc

from jasmin_arc import (
    ArcInterface,
    Explanation,
    JobDescription,
    JobFailedError,
    JobNotFoundError,
    JobStatuses,
    JobSubmissionError,
)

LIMIT = 150
NOBODY = "http://127.0.0.1:1"


def shell(script: str, **options: Any) -> JobDescription:
    return JobDescription(executable="/bin/sh", arguments=["-c", script], **{"outputs": [], **options})


def until_explained(arc: ArcInterface, job_id: str, cause: str) -> Explanation:
    return until(lambda: arc.explain(job_id), lambda found: found.cause == cause)


def until(ask: Callable[[], Any], right: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + LIMIT
    while not right(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return found


def missing_interpreter() -> JobDescription:
    return JobDescription(executable="tool", inputs={"tool": b"#!/no/such/python\nprint(1)\n"}, outputs=[])


# --- The grid ---

ENDED = {
    "exit code": (shell("echo 'KeyError: 1850' >&2; exit 3"), "exit-code", "exit code 3: KeyError: 1850"),
    "missing program": (
        JobDescription(executable="/no/such/program", outputs=[]),
        "missing-executable",
        "/no/such/program was not found",
    ),
    "missing step": (
        JobDescription(steps=[["true"], ["no-such-step"], ["true"]], outputs=[]),
        "missing-executable",
        "no-such-step was not found",
    ),
    "missing inside": (shell("no-such-tool"), "missing-executable", "no-such-tool"),
    "missing interpreter": (missing_interpreter(), "missing-interpreter", "./tool is there"),
    "not a program": (JobDescription(executable="/etc/passwd", outputs=[]), "not-executable", "Permission denied"),
    "crash": (shell("kill -SEGV $$"), "signal", "SIGSEGV"),
    "memory": (
        shell("ulimit -v 200000; exec python3 -c 'bytearray(900 << 20)'", memory="200 MB"),
        "memory",
        "of which it had asked for 200 MB per slot",
    ),
    "cancelled there": (shell("scancel $SLURM_JOB_ID; sleep 60"), "cancelled", "in the batch system, not through"),
    "too much memory": (shell("true", memory="500 GB"), "over-limits", "512000 MB per slot is over the limit"),
    "runtime environment": (shell("true", runtime_environments=["NO/SUCH-1.0"]), "runtime-environment", "NO/SUCH-1.0"),
    "output not sent on": (
        shell("true", outputs={"sub/result.nc": f"{NOBODY}/result.nc"}),
        "output-missing",
        "not there: sub/result.nc",
    ),
    "output not made": (shell("echo no result", outputs=["result.nc"]), "output-missing", "did not make result.nc"),
    "finished": (shell("true", outputs=None), "finished", "reported success"),
}
"""Jobs that end: by name, the description, the cause and words of the summary"""

STUCK = {
    "input out of reach": (
        shell("true", inputs={"in": f"{NOBODY}/in"}),
        "input-url",
        f"{NOBODY}/in (Failed to connect",
    ),
    "output out of reach": (
        shell("echo 1 > r.nc", outputs={"r.nc": f"{NOBODY}/r.nc"}),
        "output-not-sent",
        f"{NOBODY}/r.nc (Failed to connect",
    ),
    "too many slots": (shell("true", slots=100_000), "over-limits", "slots: 100000 is over the limit"),
    "too long for the queue of jobs that name none": (
        shell("true", wall_time="2h"),
        "over-limits",
        "wall_time: 2 h is over the limit of queue 'short'",
    ),
    "too long": (shell("true", queue="short", wall_time="100h"), "over-limits", "wall_time: 4 d 4 h is over"),
}
"""Jobs that do not end by themselves, in any reasonable time"""


@dataclass
class Grid:
    """The jobs, and how they are asked about."""

    interfaces: dict[str, ArcInterface]
    ids: dict[str, str]

    def explain(self, backend: str, name: str) -> Explanation:
        return self.interfaces[backend].explain(self.ids[name])


@pytest.fixture(scope="module")
def grid(grid_config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """All jobs, submitted at once through REST, and waited for together."""
    folder = tmp_path_factory.mktemp("grid")
    own = {"JOBS_INFO_FILE": str(folder / "jobs.dat"), "PROXY_FILE": str(folder / "proxy.pem")}
    short = {"PROXY_FILE": str(folder / "short.pem"), "PROXY_VALIDITY_PERIOD": 30, "PROXY_RENEWAL_THRESHOLD": 1}

    def interface(backend: str, **options: Any) -> ArcInterface:
        return ArcInterface(log=None, config={**grid_config, **own, "BACKEND": backend, **options})

    rest, expiring = interface("rest"), interface("rest", **short)
    jobs = {name: description for name, (description, _, _) in {**ENDED, **STUCK}.items()}
    jobs["wrong address"] = shell("true", inputs={"in": f"{rest.config.endpoint}/nothing"})
    half = (rest.site().queues[0].total_slots or 2) // 2 + 1
    # Alone at first: those that are submitted together reach the batch system in any order. A queue of their own, as
    # others would wait behind them too.
    before = {"before others": rest.submit_jobs([shell("sleep 60", slots=half, queue="long")])[0]}
    until(lambda: rest.get_job_info(before["before others"]), lambda info: info.state == "Running")
    jobs["behind others"] = shell("true", slots=half, queue="long")
    jobs["to be cancelled"] = shell("sleep 600")
    (proxy_id,) = expiring.submit_jobs([shell("true", inputs={"in": "https://127.0.0.1:1/in"})])
    ids = {**before, **dict(zip(jobs, rest.submit_jobs(list(jobs.values()))))}
    ids["proxy"] = proxy_id
    ids["cut off"] = cut_off(rest)
    interfaces = {"rest": rest, "bindings": interface("bindings")}
    yield Grid(interfaces, ids)
    rest.backend.cancel(list(ids.values()))
    rest.backend.clean(list(ids.values()))
    for arc in (expiring, *interfaces.values()):
        arc.close()


CUT_OFF = """
    import json, os, sys
    from jasmin_arc import ArcInterface, JobDescription
    from jasmin_arc.backends.rest.submission import Submitter

    Submitter._upload = lambda *arguments: os._exit(1)
    arc = ArcInterface(log=None, config=json.loads(sys.argv[1]))
    arc.submit_job("/bin/true", [], {"data.nc": b"1"}, outputs=[])
"""


def cut_off(arc: ArcInterface) -> str:
    """A job whose submission ends with its process, between its creation and the upload of its inputs."""
    command = [sys.executable, "-c", textwrap.dedent(CUT_OFF), json.dumps(arc.config.as_dict())]
    assert subprocess.run(command, check=False, timeout=60).returncode == 1
    (record,) = (record for record in arc.job_list.unfinished(arc.config.endpoint) if record.id)
    assert record.id
    return record.id


BOTH = pytest.mark.parametrize("backend", ["rest", "bindings"])


@pytest.mark.grid
def test_waiting_behind_others(grid: Grid) -> None:
    arc, job_id = grid.interfaces["rest"], grid.ids["behind others"]
    words = ("The job waits for its turn in queue", "slots are free")  # the CE tells its queue a while after the state
    found = until(lambda: arc.explain(job_id), lambda found: all(part in found.summary for part in words))
    assert found.cause == "waiting"


@pytest.mark.grid
@BOTH
def test_an_upload_that_was_cut_off(grid: Grid, backend: str) -> None:
    found = until_explained(grid.interfaces[backend], grid.ids["cut off"], "inputs-missing")
    assert "data.nc" in found.summary
    assert "recover()" in found.advice


@pytest.mark.grid
@pytest.mark.parametrize(("backend", "name"), [*(("rest", name) for name in STUCK), ("bindings", "input out of reach")])
def test_jobs_that_do_not_get_on(grid: Grid, backend: str, name: str) -> None:
    _, cause, words = STUCK[name]
    assert words in until_explained(grid.interfaces[backend], grid.ids[name], cause).summary


@pytest.mark.grid
@BOTH
def test_a_job_is_judged_by_the_queue_that_it_will_be_in(
    grid: Grid, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    arc, job_id = grid.interfaces[backend], grid.ids["too long for the queue of jobs that name none"]
    found = until_explained(arc, job_id, "over-limits")
    assert found.advice == "Cancel it, and submit it again with another queue (queue=): queue 'long' allows it."
    told = "wall_time: 3 h is over the limit of queue 'short', 1 h; queue 'long' allows it"
    assert arc.check(shell("true", wall_time="3h")) == [told]
    assert arc.check(shell("true", wall_time="3h", queue="long")) == []
    grid.ids[f"3h {backend}"] = arc.submit_job("/bin/true", wall_time="3h")
    assert f"the job may never start: {told}" in caplog.text


@pytest.mark.grid
def test_a_script_that_was_forgotten(grid: Grid) -> None:
    arc = grid.interfaces["rest"]
    grid.ids["forgotten"] = arc.submit_job("python3", ["mean.py"], outputs=[])
    arc.wait([grid.ids["forgotten"]], timeout=LIMIT)
    found = grid.explain("rest", "forgotten")
    assert (found.cause, found.name) == ("input-not-sent", "python3")
    assert "did not find mean.py" in found.summary


@pytest.mark.grid
def test_a_cancelled_job(grid: Grid) -> None:
    arc, job_id = grid.interfaces["rest"], grid.ids["to be cancelled"]
    until(lambda: arc.get_job_status(job_id), lambda status: status is JobStatuses.IN_PROGRESS)
    arc.cancel_job(job_id)
    arc.wait([job_id], timeout=LIMIT)
    for backend in grid.interfaces:
        found = grid.explain(backend, "to be cancelled")
        assert (found.cause, found.evidence[0]) == ("cancelled", "state: Killed (KILLED)")


@pytest.mark.grid
@pytest.mark.parametrize(
    ("backend", "name"),
    [
        *(("rest", name) for name in ENDED),
        *(("bindings", name) for name in ("memory", "too much memory", "output not sent on")),
    ],
)
def test_jobs_that_ended(grid: Grid, backend: str, name: str) -> None:
    grid.interfaces["rest"].wait([grid.ids[name]], timeout=LIMIT)
    _, cause, words = ENDED[name]
    found = grid.explain(backend, name)
    assert found.cause == cause, found
    assert words in found.summary


@pytest.mark.grid
@pytest.mark.soak
def test_a_wall_time_that_is_over(make_arc: MakeArc) -> None:
    """Slurm counts it in minutes."""
    arc = make_arc("rest")
    (job_id,) = arc.submit_jobs([shell("sleep 600", wall_time="30s")])
    assert arc.wait([job_id], timeout=LIMIT) == [JobStatuses.FAILED]
    for asked in (arc, make_arc("bindings")):
        found = asked.explain(job_id)
        assert found.cause == "wall-time", found
        assert "that it had asked for, 30 s" in found.summary


@pytest.mark.grid
@BOTH
def test_an_input_that_is_not_there(grid: Grid, backend: str) -> None:
    grid.interfaces["rest"].wait([grid.ids["wrong address"]], timeout=LIMIT)
    found = grid.explain(backend, "wrong address")
    assert found.cause == "input-url", found
    assert "/arex/nothing (Not Found)" in found.summary


@pytest.mark.grid
@BOTH
def test_credentials_that_ended(grid: Grid, backend: str) -> None:
    grid.interfaces["rest"].wait([grid.ids["proxy"]], timeout=LIMIT)
    found = grid.explain(backend, "proxy")
    assert found.cause == "proxy-expired", found
    assert any("credentials ended at" in line for line in found.evidence)


@pytest.mark.grid
@BOTH
def test_a_queue_that_does_not_exist_is_refused_at_once(grid: Grid, backend: str) -> None:
    with pytest.raises(JobSubmissionError, match="no-such-queue"):
        grid.interfaces[backend].submit_job("/bin/true", queue="no-such-queue")


@pytest.mark.grid
@BOTH
def test_a_job_that_was_never_there(grid: Grid, backend: str) -> None:
    with pytest.raises(JobNotFoundError):
        grid.interfaces[backend].explain(grid.ids["finished"][:-6] + "zzzzzz")


@pytest.mark.grid
def test_jobs_of_the_bindings(grid: Grid) -> None:
    arc = grid.interfaces["bindings"]
    ids = arc.submit_jobs([shell("echo why >&2; exit 4"), missing_interpreter()])
    grid.ids.update(zip(("exit 4", "bindings' interpreter"), ids))
    with pytest.raises(JobFailedError, match=r"exit code 4: why; 1 more job did not succeed") as caught:
        arc.wait(ids, timeout=LIMIT, check=True)
    assert caught.value.job_ids == ids
    assert arc.explain(ids[1]).cause == "missing-interpreter"


@pytest.mark.grid
@BOTH
def test_results_of_a_job_that_never_ran(grid: Grid, backend: str) -> None:
    arc = grid.interfaces[backend]
    job = arc.job(grid.ids["runtime environment"])
    job.wait(timeout=LIMIT)
    for ask in (job.stdout, lambda: job.read("result.nc")):
        with pytest.raises(JobFailedError, match=r"The runtime environment NO/SUCH-1\.0 is missing"):
            ask()


@pytest.mark.grid
def test_a_wiped_job(grid: Grid) -> None:
    arc, job_id = grid.interfaces["rest"], grid.ids["finished"]
    assert arc.wait([job_id], timeout=LIMIT) == [JobStatuses.COMPLETED]
    arc.backend.clean([job_id])
    found = until_explained(arc, job_id, "wiped")
    assert "It had finished well" in found.summary
    until_explained(grid.interfaces["bindings"], job_id, "wiped")


# --- This machine ---


@pytest.fixture
def local(make_arc: MakeArc) -> ArcInterface:
    return make_arc("local", LOCAL_SLOTS=1)


@pytest.fixture
def empty_site() -> Iterator[str]:
    class NotFound(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), NotFound)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


HERE = {
    "exit code": (shell("echo 'KeyError: 1850' >&2; exit 3"), "exit-code", "exit code 3: KeyError: 1850"),
    "missing program": (
        JobDescription(executable="no-such-program"),
        "missing-executable",
        "The program no-such-program was not found",
    ),
    "missing interpreter": (missing_interpreter(), "missing-interpreter", "./tool is there"),
    "wall time": (shell("sleep 60", wall_time="1s"), "wall-time", "that it had asked for, 1 s"),
    "crash": (shell("kill -SEGV $$"), "signal", "SIGSEGV"),
    "traceback": (
        JobDescription(executable="python3", arguments=["t.py"], inputs={"t.py": b"x = 1\n\nx / 0\n"}, outputs=[]),
        "exit-code",
        "ZeroDivisionError: division by zero (t.py, line 3)",
    ),
    "module": (
        JobDescription(executable="python3", arguments=["-c", "import no_such_module"], outputs=[]),
        "missing-module",
        "no module no_such_module",
    ),
    "forgotten": (
        JobDescription(executable="./mean.py", outputs=[]),
        "input-not-sent",
        "did not find ./mean.py",
    ),
    "output not made": (shell("true", outputs=["result.nc"]), "output-missing", "did not make result.nc"),
    "finished": (shell("true", outputs=None), "finished", "reported success"),
}


@pytest.mark.parametrize(("description", "cause", "words"), HERE.values(), ids=HERE.keys())
def test_here(local: ArcInterface, description: JobDescription, cause: str, words: str) -> None:
    (job_id,) = local.submit_jobs([description])
    local.wait([job_id], timeout=LIMIT)
    found = local.explain(job_id)
    assert found.cause == cause, found
    assert words in found.summary


def test_an_input_url_that_is_not_found_here(local: ArcInterface, empty_site: str) -> None:
    job_id = local.submit_job("/bin/true", input_files={"x": f"{empty_site}/x.nc"})
    local.wait([job_id], timeout=LIMIT)
    found = local.explain(job_id)
    assert found.cause == "input-url", found
    assert f"{empty_site}/x.nc (HTTP 404)" in found.summary


def test_waiting_running_and_cancelled_here(local: ArcInterface) -> None:
    first, second = local.submit_jobs([shell("sleep 60"), shell("true")])
    until_explained(local, first, "running")
    assert "0 of 1 slots are free" in until_explained(local, second, "waiting").summary
    local.cancel_jobs([first, second])
    local.wait([first, second], timeout=LIMIT)
    assert {local.explain(first).cause, local.explain(second).cause} == {"cancelled"}
    with pytest.raises(JobFailedError) as caught:
        local.wait([first, second], check=True)
    assert "The job was cancelled at its user's request; 1 more job did not succeed;" in str(caught.value)
    assert "failed" not in str(caught.value)


def test_files_that_were_erased_here(local: ArcInterface) -> None:
    job_id = local.submit_job("/bin/sh", ["-c", "exit 3"])
    local.wait([job_id], timeout=LIMIT)
    local.backend.clean([job_id])
    found = local.explain(job_id)
    assert found.cause == "wiped"
    assert "It had failed" in found.summary
    local.job_list.remove([job_id])
    with pytest.raises(JobNotFoundError):
        local.explain(job_id)


def test_errors_say_why(local: ArcInterface) -> None:
    good, bad = local.submit_jobs([shell("echo fine"), shell("echo boom >&2; exit 3")])
    with pytest.raises(JobFailedError, match=r"exit code 3: boom; explain\(\) tells more$") as caught:
        local.wait([good, bad], timeout=LIMIT, check=True)
    assert caught.value.job_ids == [bad]
    assert local.wait([good], check=True) == [JobStatuses.COMPLETED]
    job = local.job(bad)
    assert job.explain() == local.explain(bad)
    for ask in (job.stdout, lambda: job.read("result")):
        with pytest.raises(JobFailedError, match="boom"):
            ask()
    assert job.read("stderr") == "boom\n"
    assert local.job(good).stdout() == "fine\n"


def test_outputs_of_a_job(local: ArcInterface, tmp_path: Path) -> None:
    job_id = local.submit_job("/bin/sh", ["-c", "echo 1 > output"])
    job = local.job(job_id)
    job.wait(timeout=LIMIT)
    folder = job.outputs(tmp_path / "saved")
    assert folder == str(tmp_path / "saved")
    assert (tmp_path / "saved" / "output").read_text() == "1\n"


def test_outputs_of_a_job_that_never_ran(local: ArcInterface, empty_site: str) -> None:
    job = local.job(local.submit_job("/bin/true", input_files={"x": f"{empty_site}/x.nc"}))
    job.wait(timeout=LIMIT)
    with pytest.raises(JobFailedError, match="HTTP 404"):
        job.outputs()
