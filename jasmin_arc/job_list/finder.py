"""Which job is meant by a word: an id, a part of it that only one job has, a name, or a pattern of names."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from fnmatch import translate
from typing import TYPE_CHECKING

from jasmin_arc._support.suggestions import nearest
from jasmin_arc._support.text import excerpt, last_part
from jasmin_arc.description import is_pattern
from jasmin_arc.exceptions import Advice, AmbiguousJobError, JobNotFoundError
from jasmin_arc.job_list.job_list import JobList

if TYPE_CHECKING:
    from jasmin_arc.backends.base import Backend

_MAX_SHOWN = 5
_MAX_COMPARED = 2000
"""How many names a misspelt one is compared with, the newest: that takes time"""
_MIN_PART = 4
"""How many characters of an id are enough: fewer are in some id by chance, and would name a job that nobody meant"""
_SHOW = Advice("{list} shows the jobs that there are")


class Finder:
    """Finds jobs by what people call them: first in the job list, then at the place. It asks for each of them once.

    :param place: the place whose jobs are meant
    """

    def __init__(self, place: Backend, job_list: JobList) -> None:
        self._place = place
        self._job_list = job_list

    def find(self, word: str) -> list[str]:
        """Return the ids of the jobs that are meant, oldest first: one, or all that have this name.

        :raises JobNotFoundError: if there is none
        :raises AmbiguousJobError: if it is a part of several ids
        """
        if "://" in word:
            return [word]
        found = (self._match(word, self._listed) or self._match(word, self._there)) if word.strip() else []
        if not found:
            raise self._not_found(word)
        return found

    def find_all(self, words: Sequence[str]) -> list[str]:
        """Return the ids of the jobs that all these words mean, in order; no job comes twice because of a pattern."""
        if all("://" in word for word in words):
            return list(words)
        return list(dict.fromkeys(job_id for word in words for job_id in self.find(word)))

    def find_one(self, word: str, *, newest: bool = True) -> str:
        """Return the id of one job.

        :param newest: whether a name that several jobs have means the newest of them
        :raises JobNotFoundError: if there is none
        :raises AmbiguousJobError: if several jobs are meant
        """
        found = self.find(word)
        if len(found) == 1 or (newest and not is_pattern(word)):
            return found[-1]
        problem = f"{len(found)} jobs are called {word!r}: {self._shown(found)}"
        raise AmbiguousJobError(problem, advice="give the id of one")

    def _match(self, word: str, jobs: _Jobs) -> list[str]:
        if exact := list(jobs.get(word, ())) or _called(word, jobs):
            return exact
        if len(word) < _MIN_PART:
            return []
        parts = [part for part in jobs if part.startswith(word)] or [part for part in jobs if word in part]
        found = [job_id for part in parts for job_id in jobs[part]]
        if len(found) > 1:
            problem = f"{len(found)} jobs match {word!r}: {self._shown(found)}"
            raise AmbiguousJobError(problem, advice="type more of the id")
        return found

    @functools.cached_property
    def _listed(self) -> _Jobs:
        return _by_part({job.id: job.name for job in self._job_list.select(self._place.endpoint)})

    @functools.cached_property
    def _there(self) -> _Jobs:
        # Jobs from another machine, or of a job list that was lost.
        return _by_part(dict.fromkeys(self._place.list_jobs(), ""))

    def _not_found(self, word: str) -> JobNotFoundError:
        if elsewhere := [job for job in self._job_list.select(None) if word in (job.name, last_part(job.id))]:
            return JobNotFoundError(
                f"no job matches {word!r} at {self._place.endpoint}, but this one does: {excerpt(elsewhere[-1].id)}",
                advice="choose the backend and the server that it was submitted to",
            )
        names = [name for jobs in reversed(self._listed.values()) for name in jobs.values() if name]
        meant = nearest(word, list(dict.fromkeys(names))[:_MAX_COMPARED])
        return JobNotFoundError(
            f"no job matches {word!r}", advice=Advice("did you mean {name!r}?", name=excerpt(meant)) if meant else _SHOW
        )

    def _shown(self, job_ids: Sequence[str]) -> str:
        names = {job_id: name for jobs in self._listed.values() for job_id, name in jobs.items()}
        short = [(last_part(job_id), names.get(job_id, "")) for job_id in job_ids[:_MAX_SHOWN]]
        texts = [part + (f" ({excerpt(name)})" if name else "") for part, name in short]
        return ", ".join(texts) + (f" and {len(job_ids) - _MAX_SHOWN} more" if len(job_ids) > _MAX_SHOWN else "")


_Jobs = dict[str, dict[str, str]]
"""What words are compared with: the names of jobs by id, by the last part of the id"""


def _called(word: str, jobs: _Jobs) -> list[str]:
    named = [(job_id, name) for names in jobs.values() for job_id, name in names.items() if name]
    exact = [job_id for job_id, name in named if name == word]
    if exact or not is_pattern(word):
        return exact
    # Only now, as what looks like a pattern may be the name of a job: "sim[1]" does not mean "sim1" then.
    matches = re.compile(translate(word)).match
    return [job_id for job_id, name in named if matches(name)]


def _by_part(names: Mapping[str, str]) -> _Jobs:
    jobs: _Jobs = {}
    for job_id, name in names.items():
        jobs.setdefault(last_part(job_id), {})[job_id] = name
    return jobs
