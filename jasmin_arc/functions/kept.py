"""Results in files, each by the hash of its call: a cache, and what a named executor remembers."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import re
import shlex
import shutil
import stat
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from jasmin_arc._support.machine import host_name
from jasmin_arc._support.text import one_line, printable, told
from jasmin_arc._support.whole_file import write_whole
from jasmin_arc.exceptions import JasminArcError, OperationNotPossibleError
from jasmin_arc.functions.results import RAISED, RETURNED, Outcome

_KEY = re.compile(r"[0-9a-f]{64}\Z")
_PLAN = re.compile(r"[0-9a-f]{16}\Z")
_NEW = ".jasmin-arc-new-"
_NEW_SECONDS = 3600
"""After how long without a change a file that is being written counts as left by a process that was killed"""
_FORMAT = b"jasmin-arc result 1"
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_IN_USE = (errno.EAGAIN, errno.EACCES)


class Kept:
    """A folder with one file for each result.

    Threads and processes may share it: a file is complete, or it counts as absent. The files hold pickles, and reading
    a pickle runs what it says. So a folder or a file that others may change is refused.

    :param folder: it is made if it does not exist
    :raises JasminArcError: if it cannot be made, belongs to another user, or other users may write to it
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _make_own(folder)
        _erase_left_overs(folder)

    def find(self, key: str) -> Outcome | None:
        """Return a result; ``None`` if there is none, or its file is damaged.

        :raises JasminArcError: if the file cannot be read, or another user may have written it
        """
        path = self._path(key)
        with _explained("read", path):
            try:
                _check_own(self.folder)
                content = _read_own(path)
            except _ABSENT:
                return None
        return _outcome(key, content)

    def keep(self, key: str, outcome: Outcome) -> None:
        """Keep a result, in place of an older one.

        :raises JasminArcError: if it cannot be written; then an older result is still there
        """
        path = self._path(key)
        head = json.dumps({"key": key, "kind": outcome.kind, "seconds": outcome.seconds}).encode()
        body = head + b"\n" + outcome.content
        with _explained("write", path):
            _make_own(self.folder)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            content = b"%b %b\n" % (_FORMAT, _checksum(body)) + body
            write_whole(path, content, prefix=_NEW, folder=self.folder)

    def drop(self, key: str) -> None:
        """Erase a result, if it is there.

        :raises JasminArcError: if it cannot be erased
        """
        path = self._path(key)
        with _explained("erase", path), suppress(*_ABSENT):
            path.unlink()

    def _path(self, key: str) -> Path:
        if not _KEY.match(key):
            raise ValueError(f"not the hash of a call: {key!r}")
        return self.folder / key[:2] / key


class Sweep:
    """What a named executor remembers: its results, and which calls are in which job. One object at a time may use it.

    :param folder: its name is the name of the executor; it is made if it does not exist
    :raises OperationNotPossibleError: if another process, or another object of this one, uses it
    :raises JasminArcError: if it cannot be made, belongs to another user, or other users may write to it
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._plans = folder / "plans"
        self._pid = os.getpid()
        _make_own(folder)
        self._lock: int | None = _locked(folder)
        try:
            self.results = Kept(folder / "results")
            _make_own(self._plans)
            _erase_left_overs(self._plans)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Sweep:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others use it. This may be done more than once."""
        lock, self._lock = self._lock, None
        if lock is not None:
            # Processes that were forked meanwhile have the file open too; closing it here would not free it, and they
            # must not free it for the parent.
            if os.getpid() == self._pid:
                with suppress(OSError):
                    fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)

    def plan(self, keys: Sequence[str]) -> str:
        """Write down which calls a job is going to make, in order.

        When this returns, it is on the disk, and the job may be submitted.

        :param keys: the hashes of the calls
        :return: 16 hexadecimal digits to find it by; always the same for the same calls
        :raises JasminArcError: if it cannot be written
        """
        content = "\n".join(keys).encode()
        digest = _plan_digest(content)
        path = self._plans / digest
        with _explained("write", path):
            _make_own(self._plans)
            write_whole(path, content, prefix=_NEW, sync=True)
        return digest

    def planned(self, digest: str) -> tuple[str, ...] | None:
        """Return the hashes of the calls of a job, in order; ``None`` if no such plan is there, or it is damaged.

        :param digest: what :meth:`plan` returned; it may be any text
        :raises JasminArcError: if it cannot be read, or another user may have written it
        """
        if not _PLAN.match(digest):
            return None
        path = self._plans / digest
        with _explained("read", path):
            try:
                content = _read_own(path)
            except _ABSENT:
                return None
        if _plan_digest(content) != digest:
            return None
        keys = tuple(content.decode("ascii", "replace").split("\n"))
        return keys if all(map(_KEY.match, keys)) else None

    def drop_plan(self, digest: str) -> None:
        """Erase a plan, if it is there.

        :raises JasminArcError: if it cannot be erased
        """
        if not _PLAN.match(digest):
            return
        path = self._plans / digest
        with _explained("erase", path), suppress(*_ABSENT):
            path.unlink()

    def drop_other_plans(self, needed: Collection[str]) -> None:
        """Erase the plans of jobs that are gone.

        :param needed: the plans that stay
        """
        names: set[str] = set()
        with suppress(OSError):
            names.update(path.name for path in self._plans.iterdir())
        for name in names.difference(needed):
            with suppress(JasminArcError):
                self.drop_plan(name)

    def forget(self) -> None:
        """Erase all results and plans. Jobs that were submitted go on, but their results are not found any more.

        :raises JasminArcError: if some cannot be erased
        """
        for folder in (self._plans, self.results.folder):
            with _explained("erase", folder):
                shutil.rmtree(folder)
                _make_own(folder)


def _outcome(key: str, content: bytes) -> Outcome | None:
    """Read a file; a result of another key, in a renamed file, is none."""
    first, _, body = content.partition(b"\n")
    if first != b"%b %b" % (_FORMAT, _checksum(body)):
        return None
    line, _, result = body.partition(b"\n")
    try:
        head = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(head, dict) or head.get("key") != key or head.get("kind") not in (RETURNED, RAISED):
        return None
    seconds = head.get("seconds")
    return Outcome(head["kind"], result, seconds if isinstance(seconds, float) and math.isfinite(seconds) else 0.0)


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _plan_digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _locked(folder: Path) -> int:
    """Take the lock of a sweep, and return the open file that holds it."""
    path = folder / "lock"
    with _explained("open", path):
        # It is never erased: another process could then lock a new file of the same name.
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network file systems have no locks. There nobody can tell who else is at work.
        if error.errno in _IN_USE:
            holder = os.pread(lock, 200, 0).decode("utf-8", "replace")
            os.close(lock)
            raise OperationNotPossibleError(
                f"the sweep {one_line(folder.name)!r} is in use by {printable(holder) or 'another process'}",
                advice="wait until it has ended, or shut down the executor or the kernel there, or choose another name",
            ) from None
    with suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()} on {host_name()}".encode(), 0)
    return lock


def _make_own(folder: Path) -> None:
    with _explained("use", folder):
        # The mode counts for the last folder alone.
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        _check_own(folder)


def _check_own(path: Path) -> None:
    """Check that a path, and a symbolic link in its place, belong to this user, and that nobody else may write."""
    _refuse(path, [path.lstat(), path.stat()])


def _read_own(path: Path) -> bytes:
    # Without O_NONBLOCK, a named pipe would keep us waiting for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        found = os.fstat(handle)
        _refuse(path, [path.lstat(), found])
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(errno.ENOENT, "it is not a file")
        with os.fdopen(handle, "rb", closefd=False) as stream:
            return stream.read()
    finally:
        os.close(handle)


def _refuse(path: Path, found: Sequence[os.stat_result]) -> None:
    shown, quoted = one_line(str(path)), one_line(shlex.quote(str(path)))
    if {entry.st_uid for entry in found} != {os.geteuid()}:
        raise JasminArcError(
            f"{shown} belongs to another user: results are read only from where nobody else may write",
            advice="choose a folder of your own",
        )
    # The mode of a symbolic link itself means nothing.
    if found[-1].st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise JasminArcError(
            f"other users may write to {shown}: results are read only from where nobody else may write",
            advice=f"'chmod go-w {quoted}' helps, if you trust what is there",
        )


def _erase_left_overs(folder: Path) -> None:
    with suppress(OSError):
        for path in folder.glob(f"{_NEW}*"):
            with suppress(OSError):
                if time.time() - path.lstat().st_mtime > _NEW_SECONDS:
                    path.unlink()


@contextmanager
def _explained(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = one_line(error.strerror) if error.strerror else told(error)
        raise JasminArcError(
            f"cannot {action} {one_line(str(path))}: {reason}",
            advice="free some space, or look at the permissions of the folder",
        ) from error
