"""What the tests of the command line share: a command is run in this process, as a process, or in a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO
from unittest import mock

from jasmin_arc.cli import main

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "jasmin_arc"]
LOSES_ITS_JOB_LIST = [
    sys.executable,
    "-c",
    """
import os
from jasmin_arc import ArcInterface
from jasmin_arc.cli import main

def losing(call):
    def call_and_lose(self, *args, **options):
        answer = call(self, *args, **options)
        path = self.config.JOBS_INFO_FILE
        if os.path.isfile(path):
            os.rename(path, path + ".lost")
            os.mkdir(path)
        return answer
    return call_and_lose

for name in ("submit_jobs", "resubmit_jobs", "wait", "save_outputs", "cancel_jobs", "clean_jobs", "get_job_infos"):
    setattr(ArcInterface, name, losing(getattr(ArcInterface, name)))
main()
""",
]
"""The program, with a job list that cannot be read any more once a bulk call has done its work"""
NEVER_CLOSES = [
    sys.executable,
    "-c",
    "import sys, time; from jasmin_arc import ArcInterface; from jasmin_arc.cli import main\n"
    "ArcInterface.close = lambda _: (print('closing', file=sys.stderr), time.sleep(60))\n"
    "main()",
]
"""The program, with an end that hangs, and says that it has begun"""
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LONGEST = 120


@dataclass
class Answer:
    """What a process has said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document = json.loads(self.out)
        assert sorted(document) == ["command", "errors", "exit_code", "results"]
        assert document["exit_code"] == self.code
        return dict(document)


@dataclass
class Shell:
    """A user at a shell, with a home directory of their own."""

    home: Path
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        xdg = {f"XDG_{name}_HOME": str(self.home / name.lower()) for name in ("CONFIG", "STATE", "DATA", "CACHE")}
        return {**kept, **xdg, "HOME": str(self.home), "PYTHONPATH": str(ROOT), "TERM": "xterm", **self.options}

    def run(self, *args: str, stdin: str = "", **environment: str) -> Answer:
        """Run a command in this process, which saves the start of another one, with files in place of the streams."""
        with _surroundings(self.home, {**self.environment, **environment}), _streams(stdin) as (out, err):
            try:
                main(args)
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
            sys.stderr.flush()
            return _answer(code, _read(out), _read(err))

    def process(self, *args: str, stdin: str = "", program: Sequence[str] = PROGRAM, **environment: str) -> Answer:
        """Run a command as a process of its own, with its streams in pipes."""
        done = self._process(*args, stdin=stdin, program=program, **environment)
        return _answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    def bytes_of(self, *args: str) -> bytes:
        """Run a command as a process of its own, and return what it wrote to standard output."""
        return self._process(*args).stdout

    def _process(
        self, *args: str, stdin: str = "", program: Sequence[str] = PROGRAM, **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*program, *args],
            input=stdin.encode(),
            capture_output=True,
            cwd=self.home,
            env={**self.environment, **environment},
            timeout=_LONGEST,
        )

    def ids(self, *args: str) -> list[str]:
        """Run a command that must succeed, and return the first column of what it prints."""
        answer = self.run(*args)
        assert answer.code == 0, answer.err
        return [line.split("\t")[0] for line in answer.out.splitlines()]

    def terminal(
        self,
        *args: str,
        columns: int = 100,
        keys: Mapping[str, str] | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> Answer:
        """Run a command in a terminal; what it shows, without colours, is in ``out``, and all in ``err``.

        :param keys: what to type once a text has been shown
        """
        raw, code = self._in_terminal([*program, *args], columns, dict(keys or {}))
        assert "Traceback" not in raw
        # A line that is cleared, such as a clock that ticks while one waits, is gone in the end.
        lasting = re.sub(r"[^\n\r]*\r\x1b\[K", "", raw)
        return Answer(code, _ESCAPE.sub("", lasting).replace("\r\n", "\n"), raw)

    def in_terminal(self, command: list[str], *, columns: int) -> str:
        """Run any program in a terminal, and return what it sent there."""
        return self._in_terminal(command, columns, {})[0]

    def _in_terminal(self, command: list[str], columns: int, keys: dict[str, str]) -> tuple[str, int]:
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        process = subprocess.Popen(
            command,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            cwd=self.home,
            env=self.environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(follower)
        try:
            shown = _watch(leader, keys)
            return shown, process.wait(_LONGEST)
        finally:
            os.close(leader)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()


def _answer(code: int, out: str, err: str) -> Answer:
    assert "Traceback" not in out + err
    return Answer(code, out, err)


@contextlib.contextmanager
def _surroundings(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Work for a while in another folder, with another environment; signals do afterwards what they did before."""
    here, handlers = Path.cwd(), {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with mock.patch.dict(os.environ, environment, clear=True):
            os.chdir(folder)
            yield
    finally:
        os.chdir(here)
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _streams(stdin: str) -> Iterator[tuple[TextIO, TextIO]]:
    """Let files be the standard streams, and yield those for output and errors."""
    with contextlib.ExitStack() as files:
        given, out, err = (
            io.TextIOWrapper(files.enter_context(tempfile.TemporaryFile()), encoding="utf-8", write_through=True)
            for _ in range(3)
        )
        given.write(stdin)
        given.seek(0)
        with mock.patch.multiple(sys, stdin=given, stdout=out, stderr=err):
            yield out, err


def _read(stream: TextIO) -> str:
    stream.seek(0)
    return stream.read()


def _watch(leader: int, keys: dict[str, str]) -> str:
    shown, end = b"", time.monotonic() + _LONGEST
    while time.monotonic() < end:
        if not select.select([leader], [], [], 0.2)[0]:
            continue
        try:
            block = os.read(leader, 65536)
        except OSError:
            break
        if not block:
            break
        shown += block
        for text in [text for text in keys if text in shown.decode("utf-8", "replace")]:
            os.write(leader, keys.pop(text).encode())
    assert not keys, f"never shown: {list(keys)}; instead: {shown!r}"
    return shown.decode("utf-8", "replace")
