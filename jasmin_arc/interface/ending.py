"""Cancelling and erasing jobs, and settling what was interrupted."""

from __future__ import annotations

from jasmin_arc._support.bulk import JobLike, JobsLike, raise_failures
from jasmin_arc._support.tracebacks import shortens_tracebacks
from jasmin_arc.interface.parts import Parts


@shortens_tracebacks
class Ending(Parts):
    """Jobs are cancelled and erased."""

    def cancel_job(self, job_id: JobLike) -> None:
        """Cancel the given job. A job that has ended already is left as it is.

        :raises JobNotFoundError: if no job with the given ID could be found
        :raises AmbiguousJobError: if several jobs have the given name; :meth:`cancel_jobs` cancels them all
        """
        for error in self.backend.cancel([self._id(job_id, newest=False)]).values():
            raise error

    def cancel_jobs(self, job_ids: JobsLike) -> None:
        """Cancel many jobs. Those that have ended already are left as they are.

        :raises PartialFailureError: if some could not be cancelled
        """
        ids = self._ids(job_ids)
        raise_failures(ids, self.backend.cancel(ids), "cancelled")

    def clean_jobs(self, job_ids: JobsLike, *, force: bool = False) -> None:
        """Erase jobs with their files from the server and from the job list. Jobs known to be gone are no failure.

        A compute element erases them within some seconds; until then it may still list them.

        Outputs count as saved once all of them were downloaded after the job's end.

        :param force: also erase jobs whose outputs were never saved, and drop from the job list those that are not
            known there though no end of theirs was seen
        :raises PartialFailureError: if some could not be erased: they have not ended (cancel them and wait), or their
            outputs were never saved
        """
        ids = self._ids(job_ids)
        raise_failures(ids, self._ledger.erase(ids, force=force), "erased")

    def recover(self) -> dict[str, str]:
        """Settle what an earlier process left unfinished when it was killed in the middle of a submission.

        Jobs whose answer was lost are found; those that were complete are kept, the others, which could never run, are
        erased. Nothing is submitted again.

        :returns: by job id: its state, or ``"removed"``
        """
        settled = self.backend.recover()
        return {job_id: info.state.value if info is not None else "removed" for job_id, info in settled.items()}
