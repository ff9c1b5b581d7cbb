"""ARC's own parsers and this library agree on job descriptions, in both directions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from portable_descriptions import CONTROL_TEXTS, XML_TEXTS, portable_descriptions

from jasmin_arc import JobDescription
from jasmin_arc.description.formats.adl import from_adl, submission_adl, to_adl
from jasmin_arc.description.formats.xrsl import from_xrsl, to_xrsl

READER = Path(__file__).with_name("read_with_arc.py")
STDIN = ".jasmin_arc_stdin"
# One process reads the whole batch: loading the bindings takes longer than all the parsing.
batches = settings(
    max_examples=3,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
    deadline=None,
)


@pytest.fixture(scope="module")
def arc_python() -> str:
    """A Python that has ARC's bindings."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            probe = [python, "-c", "import arc, os; os._exit(0 if hasattr(arc, 'UserConfig') else 1)"]
            if subprocess.run(probe, capture_output=True, timeout=60).returncode == 0:
                return python
        except OSError:
            continue
    if os.environ.get("CI"):
        pytest.fail("no Python here has the ARC bindings")
    pytest.skip("no Python here has the ARC bindings")


def read_with_arc(python: str, texts: list[tuple[str, str]]) -> list[dict[str, Any] | None]:
    done = subprocess.run([python, READER], input=json.dumps(texts), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def expected(job: JobDescription) -> dict[str, Any]:
    """What the description means, in the words of ARC's own classes."""
    known = job.executable.startswith("/") or job.executable.removeprefix("./").split("/")[0] in {
        part for name in job.inputs for part in (name, name.split("/")[0])
    }
    inputs = {**job.inputs, **({} if job.stdin is None else {STDIN: job.stdin})}
    outputs = {} if job.outputs is None else {"stdout": None, "stderr": None, **job.outputs}
    seconds = [None if time is None else int(time.total_seconds()) for time in (job.wall_time, job.cpu_time)]
    return {
        "name": job.name,
        "command": [*([] if known else ["/usr/bin/env"]), job.executable, *job.arguments],
        "stdin": "" if job.stdin is None else STDIN,
        "streams": ["stdout", "stderr"],
        "environment": sorted([name, value] for name, value in job.environment.items()),
        "rerun": job.rerun or -1,
        "queue": job.queue or "",
        "slots": -1 if job.slots == 1 and job.slots_per_host is None else job.slots,
        "slots_per_host": job.slots_per_host or -1,
        "memory": -1 if job.memory is None else job.memory // 1024**2,
        "wall_time": seconds[0] or -1,
        "cpu_time": seconds[1] or -1,
        "runtime_environments": list(job.runtime_environments),
        "inputs": sorted(
            [
                f"./{name}" if name.startswith("@") else name,
                source if isinstance(source, str) else os.path.abspath(source),
            ]
            for name, source in inputs.items()
        ),
        "outputs": sorted([name, [] if target is None else [target]] for name, target in outputs.items()),
    }


def agree(python: str, language: str, write: Callable[[JobDescription], str], jobs: list[JobDescription]) -> None:
    answers = read_with_arc(python, [(language, write(job)) for job in jobs])
    for job, answer in zip(jobs, answers):
        assert answer is not None, f"ARC refuses {write(job)}"
        answer.pop("again")
        assert answer == expected(job)


def batch_of(texts: st.SearchStrategy[str]) -> st.SearchStrategy[list[JobDescription]]:
    return st.lists(portable_descriptions(texts), min_size=30, max_size=40)


@pytest.mark.grid
@batches
@given(jobs=batch_of(XML_TEXTS))
def test_arc_reads_what_we_write_in_adl(arc_python: str, jobs: list[JobDescription]) -> None:
    agree(arc_python, "emies:adl", to_adl, jobs)


@pytest.mark.grid
@batches
@given(jobs=batch_of(CONTROL_TEXTS))
def test_arc_reads_what_we_write_in_xrsl(arc_python: str, jobs: list[JobDescription]) -> None:
    agree(arc_python, "nordugrid:xrsl", to_xrsl, jobs)


@pytest.mark.grid
@batches
@given(jobs=batch_of(XML_TEXTS))
def test_we_read_what_arc_writes(arc_python: str, jobs: list[JobDescription]) -> None:
    """Only URLs are inputs here: ARC leaves local sources out of ADL, and makes them absolute in xRSL."""
    only_urls = [
        job.replace(
            inputs={name: source for name, source in job.inputs.items() if isinstance(source, str)},
            executable="/bin/" + job.executable.replace("/", "_"),
        )
        for job in jobs
        if job.stdin is None
    ]
    for language, write, read in (("emies:adl", to_adl, from_adl), ("nordugrid:xrsl", to_xrsl, from_xrsl)):
        answers = read_with_arc(arc_python, [(language, write(job)) for job in only_urls])
        assert [answer and read(answer["again"]) for answer in answers] == only_urls


@pytest.mark.grid
def test_arc_reads_the_description_that_is_submitted(arc_python: str, tmp_path: Path) -> None:
    job = JobDescription(
        executable="run.sh",
        inputs={"run.sh": tmp_path / "a b;c=1%20", "d.nc": "https://h.example:443/d.nc"},
        outputs=["out", "*.nc"],
        memory="1 GB",
        wall_time="2h",
        slots=4,
        slots_per_host=2,
        queue="short",
    )
    text = submission_adl(job, [("run.sh", tmp_path / "a b;c=1%20"), (".jasmin_arc_run", None)], token="secret")
    (answer,) = read_with_arc(arc_python, [("emies:adl", text)])
    assert answer is not None
    assert answer["command"] == ["/bin/sh", ".jasmin_arc_run"]
    assert ["run.sh", str(tmp_path / "a b;c=1%20")] in answer["inputs"]
    assert ["d.nc", "https://h.example:443/d.nc"] in answer["inputs"]
    assert answer["outputs"] == [["@.jasmin_arc_outputs", []], ["out", []], ["stderr", []], ["stdout", []]]
    assert (answer["memory"], answer["wall_time"], answer["slots"], answer["slots_per_host"]) == (1024, 7200, 4, 2)


PERIODS = [
    "10",
    "90 minutes",
    "1 day, 2 hours",
    "1h30m",
    "2 hours 5",
    "PT1H30M",
    "P1W",
    "P1Y2M3DT4S",
    "1 w",
    "60 seconds",
]


@pytest.mark.grid
def test_periods_and_quotes_mean_the_same(arc_python: str) -> None:
    texts = [f'&(executable="/bin/x")(walltime="{period}")(* note *)' for period in PERIODS]
    texts += [
        "&(executable=/bin/x)(arguments=a 'b''c' \"d\"\"e\" ^%f%%g% h # i # 'j')",
        '&(rsl_substitution=(A "/d"))(executable=$(A)/x)(arguments=$(A)/y z$(A) $(A)"/q" (* no *) u)',
        '&(Executable="/bin/x")(input_files=("f" "12.34") ("g" "file:///tmp/g%20"))(count=3)',
        '&(executable="/bin/x")(environment=(V "1")(W ""))(memory=10)(cputime="1 h")',
    ]
    for text, answer in zip(texts, read_with_arc(arc_python, [("nordugrid:xrsl", text) for text in texts])):
        job = from_xrsl(text)
        assert answer is not None, text
        for field in ("command", "environment", "inputs", "memory", "slots", "wall_time", "cpu_time"):
            assert answer[field] == expected(job)[field], text
