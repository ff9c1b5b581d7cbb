"""Looking inside jobs: their files while they run, and what is saved of them afterwards."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from contract_kit import LIMIT, ended, saved, shell, until

from jasmin_arc import ArcInterface, JobNotFoundError, JobStatuses

LINES = 40
TALKER = """
    mkdir folder; printf 12345 > folder/data; printf abc > 'with space'
    i=0; while [ $i -lt %d ]; do echo "line $i é"; i=$((i + 1)); sleep 0.15; done
"""


def test_a_running_job_is_an_open_book(arc: ArcInterface) -> None:
    job_id = arc.submit_job("/bin/sh", ["-c", TALKER % LINES], outputs=["folder", "with space"])
    # Asked at once: a file that is not there yet is waited for.
    pieces = arc.follow(job_id)
    text = next(piece for piece in pieces if piece)
    # A compute element may not have learned yet that the job runs.
    assert arc.get_job_status(job_id) not in (JobStatuses.COMPLETED, JobStatuses.FAILED)
    so_far = arc.read(job_id, "stdout")
    assert so_far.startswith("line 0 é\n")
    files = {entry.name: entry for entry in arc.list_files(job_id)}
    assert files["with space"].size == 3
    assert files["folder"].is_dir
    assert [(entry.name, entry.size) for entry in arc.list_files(job_id, "folder")] == [("folder/data", 5)]
    assert arc.read(job_id, "folder/data", limit=3) == "123"
    assert arc.read(job_id, "with space", encoding=None) == b"abc"
    with pytest.raises(JobNotFoundError, match="no-such-file"):
        arc.read(job_id, "no-such-file")
    assert arc.explain(job_id).cause in ("starting", "waiting", "running")
    # The rest, to the end: everything, in order, once.
    text += "".join(pieces)
    assert text == "".join(f"line {number} é\n" for number in range(LINES))
    assert arc.get_job_status(job_id) is JobStatuses.COMPLETED
    assert "".join(arc.follow(job_id, "with space")) == "abc"


def test_what_a_python_program_prints_arrives_while_it_runs(arc: ArcInterface) -> None:
    program = "import time; print('first'); time.sleep(15); open('over', 'w')"
    job_id = arc.submit_job("python3", ["-c", program], outputs=["over"])
    assert next(piece for piece in arc.follow(job_id) if piece) == "first\n"
    # A compute element learns late of an end.
    assert "over" not in [entry.name for entry in arc.list_files(job_id)]
    arc.cancel_job(job_id)


def test_following_jobs_that_are_not_there_or_say_nothing(arc: ArcInterface) -> None:
    job_id = arc.submit_job("false", outputs=[])
    assert "".join(arc.follow(job_id)) == ""
    assert arc.get_job_status(job_id) is JobStatuses.FAILED
    head, _, last = job_id.rpartition("/")
    with pytest.raises(JobNotFoundError):
        next(arc.follow(f"{head}/{last[::-1]}"))


def test_saving_what_is_wanted(arc: ArcInterface, tmp_path: Path) -> None:
    script = "mkdir -p run/deep; for f in a.nc b.nc 'c d.nc' run/e.nc run/deep/f.nc g.txt; do echo $f > \"$f\"; done"
    job_id, empty = arc.submit_jobs(
        [shell(script, outputs=["*.nc", "run", "g.txt"]), shell("sleep 0", outputs=["never"])]
    )
    ended(arc, job_id, empty)
    streams = {"stdout.txt", "stderr.txt"}
    assert saved(arc, job_id, files=["*.nc"]).keys() - streams == {"a.nc", "b.nc", "c d.nc"}
    assert saved(arc, job_id, files=["g.txt", "run/*.nc"]).keys() - streams == {"g.txt", "run/e.nc"}
    assert saved(arc, job_id, files=["run"]).keys() - streams == {"run/e.nc", "run/deep/f.nc"}
    assert saved(arc, job_id, files=["no such file"]).keys() <= streams
    whole = saved(arc, job_id, directory=tmp_path / "whole", progress=False)
    assert whole.keys() - streams == {"a.nc", "b.nc", "c d.nc", "run/e.nc", "run/deep/f.nc", "g.txt"}
    assert whole["c d.nc"] == b"c d.nc\n"
    assert saved(arc, job_id, directory=tmp_path / "whole", overwrite=True) == whole
    folders = arc.save_outputs([job_id, empty], tmp_path / "all", files=["a.*"])
    assert folders[0] is not None
    assert {path.name for path in Path(folders[0]).iterdir()} - streams == {"a.nc"}


def test_files_that_are_sent_twice_over_come_back_as_they_were(arc: ArcInterface, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    (tmp_path / "in.bin").write_bytes(content)
    (job_id,) = arc.submit_jobs([shell("cp in.bin 'out put.bin'", inputs=[tmp_path / "in.bin"], outputs=["* *"])])
    assert ended(arc, job_id) == [JobStatuses.COMPLETED]
    assert saved(arc, job_id)["out put.bin"] == content
    with arc.backend.open(job_id, "out put.bin", 1_000_000) as stream:
        assert stream.read() == content[1_000_000:]
    assert until(lambda: arc.get_job_info(job_id).ended)
    assert arc.list_jobs(since=timedelta(hours=1)) == [job_id]
    assert arc.wait([job_id], timeout=LIMIT) == [JobStatuses.COMPLETED]
