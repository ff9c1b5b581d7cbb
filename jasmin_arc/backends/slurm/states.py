"""What the jobs are doing: what Slurm says of them, and what they say themselves.

A job marks its start and its end by the name of a file in the folder of its batch, so one listing tells the ends of a
thousand jobs, and nobody has to ask Slurm for them. Slurm alone knows of jobs that it ended so hard that they could
not say so. Its answer about all jobs of the user is shared by all processes of the user, and asked for rarely.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from jasmin_arc._support.ranges import expanded
from jasmin_arc._support.text import excerpt
from jasmin_arc.backends.slurm.cluster import Cluster, Place
from jasmin_arc.constants import JobState
from jasmin_arc.exceptions import JasminArcError, ServerError, ServerUnavailableError

_PERSON = "2"
"""How many seconds old Slurm's answer may be when somebody asks for a state"""
_WATCH = "watch"
_RARELY = 30.0
"""Seconds before the accounting is asked of a job again"""
_WORDS = {
    JobState.QUEUING: "PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT",
    JobState.RUNNING: "RUNNING COMPLETING RESIZING SIGNALING STAGE_OUT",
    JobState.HOLD: "SUSPENDED STOPPED",
    JobState.FINISHED: "COMPLETED",
    JobState.KILLED: "CANCELLED",
    JobState.FAILED: "FAILED TIMEOUT NODE_FAIL OUT_OF_MEMORY BOOT_FAIL DEADLINE PREEMPTED REVOKED",
}
GENERAL_STATES = {word: state for state, words in _WORDS.items() for word in words.split()}
"""By Slurm's words"""
_ALL = -1
"""Stands for the index of a job that is no part of an array, and for all of an array that was cancelled as a whole"""
_COLUMNS = 14
_END = re.compile(r"(\d+)(t?)\Z")
_MARK = re.compile(r"([0-9a-f]{14})\.(run|cancelled|(\d+)(t?))\Z")
_TOKEN = re.compile(r"[0-9a-f]{14}\Z")


class Row(NamedTuple):
    """What squeue says of a job; texts as they come."""

    native_id: str
    state: str
    exit_code: str
    reason: str
    partition: str
    processors: str
    submitted: str
    started: str
    ended: str
    nodes: str
    account: str
    qos: str
    restarts: str
    comment: str

    @classmethod
    def of(cls, line: str) -> Row:
        return cls(*map(str.strip, line.split("|", _COLUMNS)[:_COLUMNS]))

    @property
    def general(self) -> JobState:
        return GENERAL_STATES.get(self.state, JobState.OTHER)

    @property
    def is_held(self) -> bool:
        return self.state == "PENDING" and self.reason in ("JobHeldUser", "JobHeldAdmin")


@dataclass(frozen=True)
class Seen:
    """What is seen of one job."""

    row: Row | None = None
    """What Slurm says; ``None`` if the job is not in its answer"""
    is_running: bool = False
    """Whether it has marked its start"""
    code: int | None = None
    """The exit code that it has marked"""
    was_told_to_end: bool = False
    """Whether it ended after a signal to end, so that Slurm knows better why"""
    is_cancelled: bool = False
    """Whether this library has cancelled it"""
    is_committed: bool = True
    is_young: bool = False
    """Whether Slurm's answer is older than the job"""

    @property
    def state(self) -> JobState | None:
        """The state; ``None`` if neither Slurm knows the job, nor it has said how it ended."""
        if self.row is not None and self.row.general.final:
            return self.row.general
        if self.code is not None and (not self.was_told_to_end or self.is_cancelled or self.row is None):
            # A program may end well when it is told to end.
            is_killed = self.is_cancelled and (self.code or self.was_told_to_end)
            return JobState.KILLED if is_killed else JobState.FAILED if self.code else JobState.FINISHED
        if self.row is None:
            return JobState.KILLED if self.is_cancelled and not self.is_young else self._unlisted
        # Slurm's answer may be older than the mark; but a job that runs again has the mark of its first run.
        is_late = self.is_running and self.row.general is JobState.QUEUING and self.row.restarts in ("", "0")
        return JobState.RUNNING if is_late else self.row.general

    @property
    def _unlisted(self) -> JobState | None:
        if not self.is_committed:
            return JobState.ACCEPTED
        if not self.is_young:
            return None
        return JobState.RUNNING if self.is_running else JobState.QUEUING

    @property
    def is_doubtful(self) -> bool:
        """Whether only Slurm can tell how it ended, and has not told it."""
        return self.was_told_to_end and not self.is_cancelled and not (self.row and self.row.general.final)


@dataclass
class Look:
    """One look at batches."""

    rows: dict[tuple[str, int, int], str] = field(default_factory=dict)
    """What squeue says of the jobs of these batches, by batch, offset and index"""
    silent: list[str] = field(default_factory=list)
    """What squeue said when it failed"""
    tokens: dict[str, set[str]] = field(default_factory=dict)
    """By batch, the jobs that have a folder"""
    marks: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    """By batch and token, what the job has marked"""
    decided: set[str] = field(default_factory=set)
    """The batches of which it is decided whether they run"""
    young: set[str] = field(default_factory=set)

    def __contains__(self, place: Place) -> bool:
        return place.token in self.tokens.get(place.batch, ())

    def row(self, place: Place) -> Row | None:
        line = self.rows.get((place.batch, place.offset, place.index))
        line = line or self.rows.get((place.batch, place.offset, _ALL))
        return Row.of(line) if line else None

    def all_rows(self) -> Iterator[Row]:
        return map(Row.of, self.rows.values())

    def seen(self, place: Place) -> Seen:
        marks = self.marks.get(place.batch, {}).get(place.token, set())
        end = next((found for mark in marks if (found := _END.match(mark))), None)
        return Seen(
            row=self.row(place),
            is_running="run" in marks,
            code=int(end[1]) if end else None,
            was_told_to_end=bool(end and end[2]),
            is_cancelled="cancelled" in marks,
            is_committed=place.batch in self.decided,
            is_young=place.batch in self.young,
        )


class States:
    """Looks at jobs. Threads may share it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._accounts: dict[Place, tuple[dict[str, str], float]] = {}

    def states(self, places: Mapping[str, Place], *, watching: bool = False) -> dict[str, JobState | JasminArcError]:
        """Return the states of those of the jobs that exist.

        :param watching: whether an older answer of Slurm will do
        """
        look = self.look(places.values(), age=_WATCH if watching else _PERSON)
        seen = {job_id: look.seen(place) for job_id, place in places.items() if place in look}
        if watching and any(one.is_doubtful for one in seen.values()):
            look = self.look(places.values(), age=_PERSON)
            seen = {job_id: look.seen(place) for job_id, place in places.items() if place in look}
        answers: dict[str, JobState | JasminArcError] = {}
        gone: dict[str, Place] = {}
        for job_id, one in seen.items():
            state = one.state
            if look.silent and (state is None or one.is_doubtful or not (state.final or watching)):
                answers[job_id] = silence(look)
            elif state is None:
                gone[job_id] = places[job_id]
                answers[job_id] = forgotten(job_id)
            else:
                if one.is_doubtful and one.row is None:
                    gone[job_id] = places[job_id]
                answers[job_id] = state
        for job_id, told in (self._accounted(gone) if gone else {}).items():
            # The accounting comes late: what has ended does not run again.
            if told.final or isinstance(answers[job_id], JasminArcError):
                answers[job_id] = told
        return answers

    def look(self, places: Iterable[Place], *, age: str = _PERSON) -> Look:
        batches = list(dict.fromkeys(place.batch for place in places))
        return read_look(self._cluster.ask("look", ["look", age, *batches]), batches)

    def _accounted(self, gone: Mapping[str, Place]) -> dict[str, JobState]:
        """What Slurm's accounting says of jobs that the queue has forgotten. It is asked of them once in a while."""
        now = time.monotonic()
        due = [place for place in gone.values() if now - self._accounts.get(place, ({}, -_RARELY))[1] >= _RARELY]
        records = self.accounts(due) if due else {}
        self._accounts.update((place, (records.get(place, {}), now)) for place in due)
        words = {job_id: self._accounts[place][0].get("State", "").partition(" ")[0] for job_id, place in gone.items()}
        return {job_id: GENERAL_STATES.get(word, JobState.OTHER) for job_id, word in words.items() if word}

    def native_ids(self, places: Iterable[Place]) -> dict[Place, str]:
        """Return Slurm's numbers of those of the jobs that Slurm has taken."""
        wanted = list(places)
        if not wanted:
            return {}
        numbers = read_ids(self._cluster.ask("ids", ["ids", *dict.fromkeys(place.batch for place in wanted)]))
        found = {}
        for place in wanted:
            if (place.batch, place.offset) in numbers:
                number, size = numbers[(place.batch, place.offset)]
                found[place] = f"{number}_{place.index}" if size > 1 else number
        return found

    def accounts(self, places: Iterable[Place]) -> dict[Place, dict[str, str]]:
        """Return what Slurm's accounting says of jobs, by column; of none where there is no accounting."""
        natives = self.native_ids(places)
        if not natives:
            return {}
        # Whole arrays: the numbers of ten thousand jobs are too long for one argument.
        numbers = dict.fromkeys(native.partition("_")[0] for native in natives.values())
        told = self._cluster.ask("accounts", ["accounts", ",".join(numbers)])
        rows = (line.split("|") for line in told.splitlines())
        columns = ("JobID", "State", "ExitCode", "Start", "End", "NodeList", "MaxRSS", "TotalCPU", "Reason")
        table = {
            number: dict(zip(columns, row)) for row in rows if len(row) >= len(columns) for number in expanded(row[0])
        }
        for number, row in table.items():
            if number.endswith(".batch") and number[:-6] in table:
                table[number[:-6]]["MaxRSS"] = row["MaxRSS"]
        return {place: table[native] for place, native in natives.items() if native in table}


def read_look(told: str, batches: Iterable[str]) -> Look:
    """Read what ``remote/look.sh`` prints."""
    look = Look(tokens={batch: set() for batch in batches})
    head, _, rest = told.partition("queue\n")
    look.silent = [line.partition(" ")[2] for line in head.splitlines() if line.startswith("silent")]
    # The comments of other jobs may have lines of any sort; before the first answer of Slurm, there are no rows.
    rows, *own = re.split(f"(?=\nbatch {next(iter(look.tokens), '')} )", f"\n{rest}", maxsplit=1)
    for line in rows.splitlines():
        _read_row(line, look)
    for part in "".join(own).split("\nbatch ")[1:]:
        heading, _, names = part.partition("\n")
        batch, new, fate = heading.split(" ")
        if new:
            look.young.add(batch)
        if fate:
            look.decided.add(batch)
        for name in names.split("\n"):
            _read_name(name, look.tokens.setdefault(batch, set()), look.marks.setdefault(batch, {}))
    return look


def _read_name(name: str, tokens: set[str], marks: dict[str, set[str]]) -> None:
    if _TOKEN.match(name):
        tokens.add(name)
    elif mark := _MARK.match(name):
        marks.setdefault(mark[1], set()).add(mark[2])


def _read_row(line: str, look: Look) -> None:
    # The comment comes last; of the user's other jobs it may be anything.
    words = line.rstrip(" |").rpartition("|")[2].split("/")
    if len(words) == 3 and words[0] == "jasmin_arc" and words[1] in look.tokens and words[2].isdecimal():
        index = line.partition("|")[0].partition("_")[2].rstrip()
        if line.count("|") >= _COLUMNS - 1 and (not index or index.isdecimal()):
            look.rows[(words[1], int(words[2]), int(index) if index else _ALL)] = line


def read_ids(told: str) -> dict[tuple[str, int], tuple[str, int]]:
    """Read what ``remote/ids.sh`` prints: by batch and offset, Slurm's number, and of how many jobs it is."""
    lines = (line.split(" ") for line in told.splitlines())
    return {
        (words[0], int(words[1])): (words[3].partition(";")[0], int(words[4]))
        for words in lines
        if len(words) == 5 and words[2] == "0" and words[1].isdecimal() and words[4].isdecimal()
    }


def silence(look: Look) -> ServerError:
    return ServerUnavailableError(f"Slurm does not answer: {excerpt(' '.join(look.silent)) or 'squeue fails'}")


def forgotten(job_id: str) -> ServerError:
    problem = f"Slurm no longer knows the job {job_id}, and the job has left no word of how it ended"
    return ServerError(
        problem, advice="look at its files; then cancel it, so that it counts as cancelled and can be erased"
    )
