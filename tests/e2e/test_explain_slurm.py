"""Explaining jobs of a real Slurm: without accounting, and on a site with accounts, QoS and limits of memory."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jasmin_arc import ArcInterface, Explanation, JobDescription, JobInfo

pytestmark = pytest.mark.grid
LIMIT = 120
"""Seconds after which something is wrong"""


def shell(script: str, **options: Any) -> JobDescription:
    return JobDescription(executable="/bin/sh", arguments=["-c", script], **{"outputs": [], **options})


Case = tuple[JobDescription, str, str]
ENDS: dict[str, Case] = {
    "exit code": (shell("echo 'KeyError: 1850' >&2; exit 3"), "exit-code", "exit code 3: KeyError: 1850"),
    "own SIGKILL": (shell("kill -KILL $$"), "signal", "The program was killed (SIGKILL)"),
    "own SIGTERM": (shell("kill -TERM $$"), "signal", "The program was ended by a signal (SIGTERM)"),
    "own SIGSEGV": (shell("kill -SEGV $$"), "signal", "The program crashed (SIGSEGV)"),
    "all of it killed": (shell("kill -KILL $PPID $$"), "signal", "killed from outside, with signal 9 (SIGKILL)"),
    "no program": (JobDescription(executable="no-such", outputs=[]), "missing-executable", "no-such was not found"),
    "no interpreter": (
        JobDescription(executable="tool", inputs={"tool": b"#!/no/such\n"}, outputs=[]),
        "missing-interpreter",
        "./tool is there",
    ),
    "no module": (
        shell("true", runtime_environments=["no-such"]),
        "runtime-environment",
        "no-such could not be loaded",
    ),
}
ENDS_ON_LOTUS: dict[str, Case] = {
    "memory": (
        shell("python3 -c 'import time; x = bytearray(300 << 20); time.sleep(30)'", memory="100 MB"),
        "memory",
        "of which it had asked for 100 MB per slot",
    ),
}
"""Only there is memory limited"""
WAITING: dict[str, Case] = {
    "later": (shell("true", native={"begin": "now+1hour"}), "waiting", "until the time when it may begin (BeginTime)"),
    "dependency": (shell("true", native={"dependency": "singleton"}, name="first"), "waiting", "(Dependency)"),
    "too long": (
        shell("true", wall_time="30d"),
        "over-limits",
        "never starts: wall_time: 30 d is over the limit of",
    ),
}
WAITING_ON_LOTUS: dict[str, Case] = {
    "QoS, slots": (
        shell("true", slots=2, native={"qos": "standard"}),
        "over-limits",
        "never starts: slots: 2 is over the limit of QoS 'standard', 1 (QOSMaxCpuPerJobLimit)",
    ),
    "QoS, wall time": (
        shell("true", wall_time="5h", native={"qos": "short"}),
        "over-limits",
        "never starts: wall_time: 5 h is over the limit of QoS 'short', 4 h (QOSMaxWallDurationPerJobLimit)",
    ),
    "QoS, memory": (
        shell("true", memory="130 GB", native={"qos": "standard"}),
        "over-limits",
        "QoS 'standard', 128 GB for all slots (QOSMaxMemoryPerJob)",
    ),
    "account": (shell("true", queue="orchid"), "not-allowed", "Job's account not permitted to use this partition"),
}


@dataclass
class Place:
    """A Slurm, and the jobs that were submitted there."""

    arc: ArcInterface
    tools: Path
    ids: dict[str, str] = field(default_factory=dict)

    def submit(self, name: str, description: JobDescription) -> str:
        self.ids[name] = self.arc.submit_jobs([description])[0]
        return self.ids[name]

    def run(self, tool: str, *arguments: str) -> None:
        subprocess.run([str(self.tools / tool), *arguments], check=True, timeout=60)

    def look_again(self) -> None:
        """Forget what Slurm said before: who asks as often as a test gets answers that are some seconds old."""
        (Path(self.arc.config.SLURM_DIR) / "queue").unlink(missing_ok=True)

    def info(self, name: str) -> JobInfo:
        self.look_again()
        return self.arc.get_job_info(self.ids[name])

    def explain(self, name: str) -> Explanation:
        self.look_again()
        return self.arc.explain(self.ids[name])

    def until_it_runs(self, name: str) -> None:
        until(lambda: self.info(name), lambda info: info.state == "Running")

    def explain_end(self, name: str) -> Explanation:
        until(lambda: self.info(name), lambda info: info.final)
        return self.explain(name)


def until(ask: Callable[[], Any], right: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + LIMIT
    while not right(found := ask()):
        assert time.monotonic() < deadline, str(found)
        time.sleep(0.5)
    return found


@pytest.fixture(scope="module", params=["slurm", "lotus"])
def place(
    request: pytest.FixtureRequest,
    options_of: Callable[[str], dict[str, Any]],
    slurm_environment: Callable[[str], AbstractContextManager[None]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("slurm")
    own = {"JOBS_INFO_FILE": str(folder / "jobs.dat"), "SLURM_DIR": str(folder)}
    place = request.param
    with slurm_environment(place), ArcInterface(log=None, config={**options_of(place), **own}) as arc:
        made = Place(arc, Path(arc.config.SLURM_BIN))
        made.submit("first", shell("sleep 600", name="first", wall_time="1m"))
        made.until_it_runs("first")
        for name, (description, _, _) in cases(place == "lotus").items():
            made.submit(name, description)
        yield made
        ids = list(made.ids.values())
        arc.backend.cancel(ids)
        until(lambda: arc.backend.clean(ids), lambda failures: not failures)


def cases(is_lotus: bool) -> dict[str, Case]:
    return {**ENDS, **WAITING, **(ENDS_ON_LOTUS | WAITING_ON_LOTUS if is_lotus else {})}


ON_LOTUS = pytest.mark.parametrize("place", ["lotus"], indirect=True)


@pytest.mark.parametrize("name", ENDS)
def test_how_a_job_ended(place: Place, name: str) -> None:
    _, cause, words = ENDS[name]
    found = place.explain_end(name)
    assert found.cause == cause, found
    assert words in found.summary


@ON_LOTUS
@pytest.mark.parametrize("name", ENDS_ON_LOTUS)
def test_how_a_job_ended_on_a_site_that_limits_memory(place: Place, name: str) -> None:
    _, cause, words = ENDS_ON_LOTUS[name]
    found = place.explain_end(name)
    assert found.cause == cause, found
    assert words in found.summary


@pytest.mark.parametrize("name", WAITING)
def test_why_a_job_waits(place: Place, name: str) -> None:
    is_explained(place, name, *WAITING[name][1:])


@ON_LOTUS
@pytest.mark.parametrize("name", WAITING_ON_LOTUS)
def test_why_a_job_waits_on_a_site_with_accounts(place: Place, name: str) -> None:
    is_explained(place, name, *WAITING_ON_LOTUS[name][1:])


def is_explained(place: Place, name: str, cause: str, words: str) -> None:
    found = until(lambda: place.explain(name), lambda found: words in found.summary)
    assert found.cause == cause


def test_a_job_that_is_held(place: Place) -> None:
    place.submit("held", shell("true", native={"begin": "now+1hour"}))
    number = place.info("held").native_id
    place.run("scontrol", "uhold", number)
    is_explained(place, "held", "held", "in the name of its owner (JobHeldUser)")
    assert f"'scontrol release {number}'" in place.explain("held").advice
    place.run("scontrol", "release", number)
    place.run("scontrol", "hold", number)
    is_explained(place, "held", "held", "An administrator of the site holds the job back")


def test_jobs_that_were_cancelled(place: Place) -> None:
    for name in ("cancelled here", "cancelled there"):
        place.submit(name, shell("sleep 600"))
        place.until_it_runs(name)
    place.arc.cancel_job(place.ids["cancelled here"])
    place.run("scancel", place.info("cancelled there").native_id)
    here, there = place.explain_end("cancelled here"), place.explain_end("cancelled there")
    assert {here.cause, there.cause} == {"cancelled"}
    assert here.summary == "The job was cancelled at its user's request."
    assert there.summary.startswith("The job was cancelled in the batch system")


@ON_LOTUS
def test_a_job_that_was_cancelled_before_it_ran(place: Place) -> None:
    place.submit("cancelled by root", shell("true", native={"begin": "now+1hour"}))
    place.run("scancel", place.info("cancelled by root").native_id)
    found = place.explain_end("cancelled by root")
    assert found.cause == "cancelled"
    assert "by an administrator of the site" in found.summary


@ON_LOTUS
def test_a_node_that_broke_down(place: Place) -> None:
    place.submit("frail", shell("sleep 600", queue="frail"))
    place.until_it_runs("frail")
    place.run("scontrol", "update", "node=frail", "state=down", "reason=test")
    try:
        assert place.explain_end("frail").cause == "node-failure"
    finally:
        # It comes back by itself, too.
        with suppress(subprocess.CalledProcessError):
            place.run("scontrol", "update", "node=frail", "state=resume")


@ON_LOTUS
def test_a_job_that_made_room_for_another(place: Place) -> None:
    place.submit("preempted", shell("sleep 600", queue="scavenger"))
    place.until_it_runs("preempted")
    place.submit("comes first", shell("true", native={"nodelist": "scarce"}))
    assert place.explain_end("preempted").cause == "preempted"


@pytest.mark.soak
def test_a_wall_time_that_is_over(place: Place) -> None:
    """Slurm looks at it every half minute. The first job had the shortest that there is."""
    found = place.explain_end("first")
    assert found.cause == "wall-time"
    assert "that it had asked for, 1 min" in found.summary
