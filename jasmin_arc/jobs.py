"""Handles on many jobs: one sequence in place of lists of ids, statuses and folders side by side."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, overload

from jasmin_arc._support.cards import Card, Grid, Shown
from jasmin_arc._support.notebook import this_cell
from jasmin_arc._support.quantities import local_minute, local_zone
from jasmin_arc._support.text import counted, excerpt
from jasmin_arc._support.tracebacks import shortens_tracebacks
from jasmin_arc._support.values import of_property, short_ids
from jasmin_arc.constants import JobStatuses
from jasmin_arc.job import Job

if TYPE_CHECKING:
    from jasmin_arc.arc_interface import ArcInterface
    from jasmin_arc.job_info import JobInfo

_SHOWN = 3
"""How many ids the text for developers shows"""
_ROWS = 20
"""How many jobs the table shows"""
_LENGTHS = {"name": 100, "job": 100, "why": 200}
"""How many characters of a text of others the table shows"""
_FIRST = ("failed", "cancelled")
"""The statuses that the table shows first"""
_ENDS = ("completed", *_FIRST)
_NOT_ASKED = "this is what was known; the method infos asks now, and watch shows what happens"


@shortens_tracebacks
class Jobs(Shown, Sequence[Job]):
    """A sequence of jobs, which does not change.

    Answers come in its order, with few requests however many jobs there are. A slice, or the sum of two, is such a
    sequence too. In a notebook it is a table of what is known, the failed jobs first; nobody is asked for that.
    """

    def __init__(self, interface: ArcInterface, jobs: Iterable[Job]) -> None:
        self.interface = interface
        self._jobs = tuple(jobs)
        self._watched_in: object = None

    @property
    def ids(self) -> list[str]:
        """The ids of the jobs."""
        return [job.id for job in self._jobs]

    @property
    def statuses(self) -> list[JobStatuses]:
        """The present statuses; see ``ArcInterface.get_job_statuses``."""
        return self._told(self.interface.get_job_statuses(self.ids))

    @property
    def failed(self) -> Jobs:
        """Those of the jobs that have failed by now, or were cancelled."""
        pairs = zip(self._jobs, self.statuses)
        return Jobs(self.interface, [job for job, status in pairs if status is JobStatuses.FAILED])

    def infos(self) -> list[JobInfo]:
        """Return what is known of the jobs; see ``ArcInterface.get_job_infos``."""
        infos = self.interface.get_job_infos(self.ids)
        return [job._told_all(info) for job, info in zip(self._jobs, infos)]

    def wait(self, *, timeout: float | None = None, progress: bool = False, check: bool = False) -> list[JobStatuses]:
        """Return the statuses once all jobs have ended; see ``ArcInterface.wait``."""
        return self._told(self.interface.wait(self.ids, timeout=timeout, progress=progress, check=check))

    def watch(self, *, background: bool = False, timeout: float | None = None) -> Jobs:
        """Show the jobs on a board until all have ended; see ``ArcInterface.watch``."""
        return self.interface.watch(self, background=background, timeout=timeout)

    def outputs(
        self,
        directory: str | os.PathLike[str] = ".",
        *,
        files: Sequence[str] | None = None,
        overwrite: bool = False,
        progress: bool = False,
    ) -> list[str | None]:
        """Download the outputs, each job's into a folder of its own, and return the folders.

        See ``ArcInterface.save_outputs``.
        """
        return self.interface.save_outputs(self.ids, directory, files=files, overwrite=overwrite, progress=progress)

    def cancel(self) -> None:
        """Cancel the jobs; see ``ArcInterface.cancel_jobs``."""
        self.interface.cancel_jobs(self.ids)

    def clean(self, *, force: bool = False) -> None:
        """Erase the jobs with their files; see ``ArcInterface.clean_jobs``."""
        self.interface.clean_jobs(self.ids, force=force)

    def resubmit(self, *, progress: bool = False) -> Jobs:
        """Submit the same again as new jobs, and return handles on these; see ``ArcInterface.resubmit_jobs``."""
        ids = self.interface.resubmit_jobs(self.ids, progress=progress)
        return Jobs(self.interface, [Job(self.interface, job_id) for job_id in ids])

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame`` with a row for each job: its status, and the fields of ``JobInfo``.

        :raises ImportError: if pandas is not installed
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from error
        rows = []
        for info in self.infos():
            fields = asdict(info)
            first = {name: fields.pop(name) for name in ("name", "id")}
            rows.append({**first, "status": info.status.value, **fields, "state": str(info.state)})
        return pandas.DataFrame(rows)

    def _told(self, statuses: Sequence[JobStatuses]) -> list[JobStatuses]:
        """Remember what somebody was told of the jobs, to show it."""
        return [job._told(status) for job, status in zip(self._jobs, statuses)]

    @overload
    def __getitem__(self, index: int) -> Job: ...
    @overload
    def __getitem__(self, index: slice) -> Jobs: ...
    def __getitem__(self, index: int | slice) -> Job | Jobs:
        return Jobs(self.interface, self._jobs[index]) if isinstance(index, slice) else self._jobs[index]

    def __len__(self) -> int:
        return len(self._jobs)

    def __add__(self, other: Jobs) -> Jobs:
        return Jobs(self.interface, [*self._jobs, *other]) if isinstance(other, Jobs) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Jobs) and other._jobs == self._jobs

    def __hash__(self) -> int:
        return hash(self._jobs)

    def _line(self) -> str:
        shown = ", ".join(self.ids[:_SHOWN]) + (", ..." if len(self) > _SHOWN else "")
        return f"<{counted(len(self), 'job')}{': ' if self else ''}{shown}>"

    def _ipython_display_(self) -> None:
        """Show nothing at the end of the cell that has a board with the same jobs; else leave it to the other ways."""
        if self._watched_in is None or self._watched_in != this_cell():
            raise NotImplementedError

    def _card(self) -> Card:
        listed = self.interface._listed(self.ids)
        rows = [job._row(listed.get(job.id)) for job in self._jobs]
        counts = Counter(row["status"] for row in rows)
        words = ", ".join(f"{number} {word}" for word, number in counts.most_common())
        shown = sorted(rows, key=lambda row: row["status"] not in _FIRST)[:_ROWS]
        more = [f"and {len(rows) - len(shown)} more"] if len(rows) > len(shown) else []
        ended = all(row["status"] in _ENDS for row in rows)
        note = "; ".join([*more, *([] if ended else [_NOT_ASKED])])
        return Card(counted(len(rows), "job"), about=words, grids=[_grid(shown)] if shown else [], note=note)


def _grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """Return a table with the columns of which something is known."""
    short = short_ids(row["job"] for row in rows)
    texts = [{**row, "job": short[row["job"]], "submitted": _minute(row["submitted"])} for row in rows]
    for row in texts:
        row.update({key: excerpt(row[key], max_length=length) for key, length in _LENGTHS.items()})
    known = [key for key in rows[0] if any(row[key] for row in texts)]
    headings = [f"{key} ({local_zone()})" if key == "submitted" else key.replace("_", " ") for key in known]
    return Grid(headings, [[of_property(key, row[key]) for key in known] for row in texts], statuses=True)


def _minute(moment: datetime | None) -> str:
    return "" if moment is None else local_minute(moment)
