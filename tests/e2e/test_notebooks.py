"""In a notebook: what objects and boards show, the stop button, and a restart of the kernel, with a real kernel."""

from __future__ import annotations

import pytest
from notebook_kit import Kernel, html_of, kernel, text_of, until

__all__ = ["kernel"]

SLEEPING = """
from jasmin_arc import ArcInterface, JobDescription
arc = ArcInterface(local_slots=4)
jobs = arc.submit([JobDescription("sleep", [{seconds}], name=f"m-{{n}}") for n in range(3)])
"""
GOING_ON = "stopped; 3 jobs go on: wait() leads back to them, cancel_jobs() ends them"


def test_an_interrupted_wait_leaves_one_line_and_the_jobs(kernel: Kernel) -> None:
    kernel.run(SLEEPING.format(seconds=300))
    for waits in ("jobs.wait()", "arc.wait('m-*')", "list(arc.as_completed(jobs))", "jobs.watch()"):
        error = kernel.run(waits, stop_after=1.5).outputs[-1]
        assert (error.ename, error.traceback) == ("KeyboardInterrupt", [f"KeyboardInterrupt: {GOING_ON}"]), waits
    one = GOING_ON.replace("3 jobs go", "the job goes").replace("them", "it")
    assert kernel.run("jobs[0].wait()", stop_after=1.5).outputs[-1].traceback == [f"KeyboardInterrupt: {one}"]
    assert kernel.run("await jobs[0]", stop_after=1.5).outputs[-1].traceback == [f"CancelledError: {one}"]
    assert text_of(kernel.run("{status.value for status in jobs.statuses}")) == "{'in progress'}"
    kernel.run("jobs.cancel()")


def test_a_board_is_updated_in_its_place_also_after_its_cell_has_ended(kernel: Kernel) -> None:
    cell = kernel.run(SLEEPING.format(seconds=2) + "arc.watch(jobs, background=True)")
    # The board alone: the jobs that are returned are not shown a second time.
    (before,) = html_of(cell)
    assert "0 of 3 jobs ended" in before
    assert "3 jobs" in text_of(kernel.run("jobs"))

    def all_completed() -> bool:
        # What the kernel tells is noted while a cell runs.
        kernel.run("import time; time.sleep(0.5)")
        return "3 completed" in text_of(cell)

    until(all_completed)
    (after,) = html_of(cell)
    assert "3 of 3 jobs ended" in after


def test_a_board_that_is_waited_for(kernel: Kernel) -> None:
    kernel.run(SLEEPING.format(seconds=1))
    cell = kernel.run("jobs = arc.watch(jobs)\njobs")
    assert [output.output_type for output in cell.outputs] == ["display_data"]
    assert text_of(cell).endswith("3 completed")
    assert "m-0" in html_of(cell)[0]
    assert "m-0" in html_of(kernel.run("jobs"))[0]


@pytest.mark.parametrize("what", ["arc", "jobs", "jobs[0]", "jobs[0].info()", "jobs[0].explain()", "arc.site()"])
def test_an_object_at_the_end_of_a_cell_is_shown_as_html_and_as_lines(kernel: Kernel, what: str) -> None:
    kernel.run(SLEEPING.format(seconds=0) + "s = jobs.wait()")
    cell = kernel.run(what)
    assert html_of(cell)[0].startswith("<div")
    assert len(text_of(cell).splitlines()) > 1
    among_others = text_of(kernel.run(f"[{what}, 1]"))
    assert len(among_others.splitlines()) <= 2 and among_others.endswith("1]")


def test_a_restart_of_the_kernel_loses_no_job(kernel: Kernel) -> None:
    kernel.run(SLEEPING.format(seconds=2))
    kernel.restart()
    assert "not defined" in text_of(kernel.run("jobs"))
    kernel.run("from jasmin_arc import ArcInterface\narc = ArcInterface()\njobs = arc.jobs('m-*')")
    assert text_of(kernel.run("len(jobs), {status.value for status in jobs.wait()}")) == "(3, {'completed'})"
