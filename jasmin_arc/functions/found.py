"""The calls that jobs of earlier processes make, or have made."""

from __future__ import annotations

from jasmin_arc.functions.ended import Seen, Sent, why


class Found:
    """Leads from calls to jobs. Its user has a lock."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[Sent, int]] = {}
        self._errors: dict[str, BaseException] = {}

    def add(self, sent: Sent) -> None:
        """Add a job. It counts for its calls, not an older one that makes some of them, too."""
        self._jobs.update((key, (sent, number)) for number, key in enumerate(sent.keys))

    def job(self, key: str) -> tuple[Sent, int] | None:
        """Return the job that makes a call, and the number of the call there."""
        return self._jobs.get(key)

    def error(self, key: str) -> BaseException | None:
        """Return why a call has no result, if it died with its job before anybody asked for it."""
        return self._errors.get(key)

    def ended(self, seen: Seen, number: int, *, died: bool) -> None:
        """Note that the job of a call has ended.

        :param died: whether the call died with it, and nobody was told
        """
        keys = seen.sent.keys
        if keys and self._jobs.get(keys[number], (None, 0))[0] is seen.sent:
            if died:
                self._errors[keys[number]] = why(seen, number)
            del self._jobs[keys[number]]

    def clear(self) -> None:
        """Forget the jobs."""
        self._jobs.clear()
