"""Running scripts in a shell on this machine, or in one over SSH.

A script and its data go through standard input, and answers come through standard output, so that nothing is in an
argument that other users of the host can read.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import secrets
import select
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from typing import IO

from jasmin_arc._support.parallel import start_thread
from jasmin_arc._support.text import one_line
from jasmin_arc.backends.shell.ssh import Ssh
from jasmin_arc.exceptions import JasminArcError, ServerError, ServerUnavailableError

_START = 'exec /bin/sh -c \'read -r length; eval "$(head -c "$length")"\''
"""Reads the length of the script, and the script: a shell that reads from its input itself may take more of it"""
_STAY = (
    'exec /bin/sh -c \'while read -r length mark; do script=$(head -c "$length"); echo "$mark"; echo "$mark" >&2; '
    '(eval "$script") </dev/null; printf "\\n%s %s\\n" "$mark" "$?"; echo "$mark" >&2; done\''
)
"""Does so again and again, and puts each answer between marks"""
_CHANNELS = 4
"""How many scripts run at the same time: an SSH server lets a connection have ten, and some fewer"""
_BLOCK = 1 << 18
_LONGEST_WORD = 4000
_PATIENCE = 600.0
"""Seconds to wait for one of the channels"""


class ScriptError(ServerError):
    """A script ended with an exit code other than 0."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Shell:
    """A place where scripts run. Threads may share it.

    :param host: the host, as ``ssh`` knows it; empty for this machine
    :param timeout: the seconds without a sign of life after which the place counts as out of reach
    """

    def __init__(self, host: str, *, timeout: float) -> None:
        self.host = host
        self._ssh = Ssh(host, timeout=timeout) if host else None
        self._timeout = timeout
        self._channels = threading.BoundedSemaphore(_CHANNELS - 1)
        self._asking = threading.Lock()
        self._standing: _Standing | None = None

    def ask(self, script: str) -> str:
        """Run a script that changes nothing, or that may run twice, and return what it prints.

        A shell that stays does so, as the way to a new one may be long.

        :raises ServerError: if it fails
        """
        if not self._asking.acquire(blocking=False):
            return self.run(script)
        try:
            if self._standing is not None and self._standing.owner != os.getpid():
                # After a fork: its answers are for the parent.
                self._dismiss()
            if self._standing is None:
                self._standing = _Standing(self._command(_STAY))
            code, answer, said = self._standing.ask(script, self._timeout)
        except (OSError, EOFError):
            # The connection was cut, or never came to be; whoever makes a new one finds out why.
            self._dismiss()
            return self.run(script)
        except BaseException:
            # An answer that nobody reads now must not be taken for that to the next question.
            self._dismiss()
            raise
        finally:
            self._asking.release()
        if code:
            raise self.failure(code, said)
        return answer

    def run(
        self,
        script: str,
        data: Iterable[bytes] = (),
        *,
        told: Callable[[str], object] | None = None,
        patience: float | None = None,
    ) -> str:
        """Run a script once, and return what it prints.

        :param data: what the script reads
        :param told: called with each line as it comes
        :param patience: the most seconds without a line, or without data that it reads
        :raises ServerError: if it fails; what it has done until then is not known
        """
        with self.open(script, data, patience=patience) as output:
            lines = []
            for line in io.TextIOWrapper(output, "utf-8", "surrogateescape", newline="\n"):
                lines.append(line)
                if told is not None:
                    told(line.rstrip("\n"))
        return "".join(lines)

    def open(self, script: str, data: Iterable[bytes] = (), *, patience: float | None = None) -> io.BufferedReader:
        """Start a script, and return what it prints as a stream; an error is raised at its end.

        :raises ServerUnavailableError: if it cannot be started
        """
        if not self._channels.acquire(timeout=_PATIENCE):
            raise ServerUnavailableError(f"too many files are open on {self.host or 'this machine'}: close some")
        mark = secrets.token_hex(8)
        start = _whole(f"printf '%s\\n' {mark}; printf '%s\\n' {mark} >&2\n{script}")
        try:
            channel = _Channel(self, self._command(_START), mark.encode() + b"\n", patience or self._timeout)
        except BaseException:
            self._channels.release()
            raise
        channel.send(b"%d\n" % len(start) + start, data)
        reader: io.BufferedReader = io.BufferedReader(channel, _BLOCK)
        try:
            channel.skip_noise()
        except BaseException:
            reader.close()
            raise
        return reader

    def _command(self, command: str) -> list[str]:
        return ["/bin/sh", "-c", command] if self._ssh is None else self._ssh.command(command)

    def close(self) -> None:
        """Let go of the shell that stays; the connection to the host does so by itself, after some minutes."""
        with self._asking:
            self._dismiss()

    def _dismiss(self) -> None:
        standing, self._standing = self._standing, None
        if standing is not None:
            standing.close()

    def ended(self) -> None:
        """Count a channel that has been closed."""
        self._channels.release()

    def failure(self, code: int, said: str) -> JasminArcError:
        """What a script, or the way to it, failed of."""
        if self._ssh is not None and code == 255:
            return self._ssh.failure(said)
        where = f" on {self.host}" if self.host else ""
        return ScriptError(f"a command failed{where}: {one_line(said) or f'exit code {code}'}", code)


class _Standing:
    """A shell that runs one small script after another."""

    def __init__(self, command: list[str]) -> None:
        self.owner = os.getpid()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the shell
        try:
            self._process = _start(command, self._said)
        except BaseException:
            self._said.close()
            raise

    def ask(self, script: str, patience: float) -> tuple[int, str, str]:
        """Run a script, and return its exit code, what it prints, and what it says of errors.

        :raises EOFError: if the shell ends before the script does
        :raises ServerUnavailableError: if there is no sign of life for too long
        """
        assert self._process.stdin is not None
        mark = secrets.token_hex(8)
        text = _whole(script)
        self._process.stdin.write(f"{len(text)} {mark}\n".encode() + text)
        self._process.stdin.flush()
        begin, end = f"{mark}\n".encode(), re.compile(f"\n{mark} (\\d+)\n".encode())
        answer = bytearray()
        while not (found := end.search(answer, max(len(answer) - _BLOCK - 100, 0))):
            answer += self._read(patience)
        code = int(found[1])
        printed = bytes(answer[: found.start() + 1]).partition(begin)[2]
        return code, printed.decode("utf-8", "surrogateescape").removesuffix("\n"), self._errors(begin) if code else ""

    def _read(self, patience: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        if not _has_come(descriptor, patience):
            raise ServerUnavailableError(f"no answer to a question within {patience:.0f} s")
        piece = os.read(descriptor, _BLOCK)
        if not piece:
            raise EOFError
        return piece

    def _errors(self, mark: bytes) -> str:
        until = time.monotonic() + 1.0
        while True:
            # Before the first mark is what the user's start files print, and the errors of scripts before this one.
            said, ended, _ = _text_of(self._said).partition(mark)[2].partition(mark)
            if ended or time.monotonic() > until:
                return said.decode("utf-8", "replace").strip()
            time.sleep(0.01)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if self.owner != os.getpid():
            # It is not a child of this process, so there is nobody to wait for.
            self._process.returncode = 0
        self._process.kill()
        self._process.stdout.close()
        self._process.wait()
        self._said.close()


def _has_come(descriptor: int, seconds: float) -> bool:
    """Wait for an answer. Of select, descriptors above 1023 are an error."""
    answers = select.poll()
    answers.register(descriptor, select.POLLIN)
    return bool(answers.poll(seconds * 1000))


def _text_of(file: IO[bytes]) -> bytes:
    """The end of what a process has written. Its place in the file is left alone, as it is that of the process too."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), _BLOCK, max(0, size - _BLOCK))


def _whole(script: str) -> bytes:
    """In braces, so that nothing runs of a script that was cut on its way."""
    return f"{{\n{script}\n}}".encode("utf-8", "surrogateescape")


def _start(command: list[str], said: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        # In a session of its own: Ctrl-C is for the caller, and nothing can ask for a password on the terminal.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, start_new_session=True
        )
    except OSError as error:
        raise ServerUnavailableError(f"{command[0]} cannot be started: {error.strerror}") from error
    with contextlib.suppress(OSError, AttributeError):
        # Each turn to the other process and back takes time.
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 1 << 20)  # type: ignore[arg-type]
    return process


class _Channel(io.RawIOBase):
    """The output of one script, read as it comes."""

    def __init__(self, shell: Shell, command: list[str], mark: bytes, patience: float) -> None:
        super().__init__()
        self._shell = shell
        self._mark = mark
        self._patience = patience
        self._early = b""
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the channel
        self._feeder: threading.Thread | None = None
        self._feeding: BaseException | None = None
        try:
            self._process = _start(command, self._said)
        except BaseException:
            self._said.close()
            raise
        self._alive = time.monotonic()

    def send(self, script: bytes, data: Iterable[bytes]) -> None:
        """Send the script, and the data in a thread of its own, as the answer may begin before all is sent."""

        def feed() -> None:
            assert self._process.stdin is not None
            try:
                with self._process.stdin as stdin:
                    stdin.write(script)
                    for piece in data:
                        stdin.write(piece)
                        self._alive = time.monotonic()
            except BrokenPipeError:
                pass  # The script has ended, and its exit code tells why.
            except BaseException as error:  # noqa: BLE001 - raised where the answer is read
                # The script finds that its input was cut short, and may tidy up.
                self._feeding = error

        if data == () and len(script) < select.PIPE_BUF * 8:
            feed()
        else:
            self._feeder = start_thread(feed, "jasmin_arc slurm")

    def skip_noise(self) -> None:
        """Read up to the mark: before it comes what the user's start files print."""
        while self._mark not in self._early:
            self._early = self._early[-_LONGEST_WORD:]
            piece = self._read(_BLOCK)
            if not piece:
                self._finish()
                raise ServerError("the shell ended before it began with the script")
            self._early += piece
        self._early = self._early.partition(self._mark)[2]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._early:
            piece, self._early = self._early[: len(buffer)], self._early[len(buffer) :]
        else:
            piece = self._read(len(buffer))
            if not piece:
                self._finish()
        buffer[: len(piece)] = piece
        return len(piece)

    def _read(self, size: int) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        # Not from the last answer on: the reader may have been busy since.
        self._alive = time.monotonic()
        while not _has_come(descriptor, 1.0):
            if time.monotonic() - self._alive > self._patience:
                self._process.kill()
                where = self._shell.host or "this machine"
                raise ServerUnavailableError(
                    f"no answer from {where} within {self._patience:.0f} s: {one_line(self._stderr())}".rstrip(": ")
                )
        self._alive = time.monotonic()
        return os.read(descriptor, size)

    def _finish(self) -> None:
        code = self._process.wait()
        if self._feeder is not None:
            self._feeder.join()
        if self._feeding is not None:
            raise self._feeding
        if code:
            raise self._shell.failure(code, self._stderr())

    def _stderr(self) -> str:
        text = _text_of(self._said)
        return (text.partition(self._mark)[2] or text).decode("utf-8", "replace").strip()

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        if self._process.poll() is None:
            self._process.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()
        if self._feeder is not None:
            self._feeder.join()
        elif self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        self._said.close()
        self._shell.ended()
