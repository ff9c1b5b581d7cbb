"""Showing jobs on a board while they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from jasmin_arc._support.tracebacks import shortens_tracebacks
from jasmin_arc.constants import JobState
from jasmin_arc.interface.waiting import Waiting


@shortens_tracebacks
class Watching(Waiting):
    """Jobs are shown on a board."""

    def _watch(
        self,
        job_ids: Sequence[str],
        told: Callable[[Mapping[str, JobState]], object],
        *,
        reasons: Mapping[str, str],
        background: bool,
        timeout: float | None,
    ) -> None:
        """Show the jobs until all have ended; see ``ArcInterface.watch``.

        :param told: is told the states that each answer has
        :param reasons: why jobs failed, as far as that is known
        """
        from jasmin_arc.interface.live_board import LiveBoard

        if job_ids:
            # Here and not in another thread, as it may ask for a passphrase.
            self.backend.authenticate()
        LiveBoard(self, job_ids, told, reasons).show(background=background, timeout=timeout)
