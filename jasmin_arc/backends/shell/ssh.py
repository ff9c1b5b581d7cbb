"""The system's OpenSSH as a subprocess: one connection that many commands share.

User, key, ProxyJump and ControlPath are the user's own, in ``~/.ssh/config``. Where that names no ControlPath, the
connection has its socket in a folder that only the user may enter.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO

from jasmin_arc._support.text import one_line
from jasmin_arc.exceptions import ServerError, ServerUnavailableError

_PERSIST_SECONDS = 600
"""For how long a connection without commands stays"""
_STAYING = 2
"""How many shells may stay in one connection: a server lets it have ten sessions, and some fewer"""


class NoSessionError(ServerUnavailableError):
    """The command was not begun, as the server lets no more run over the connection for now."""


class Ssh:
    """Commands for one host. Threads may share it.

    Nothing here asks for a password or accepts an unknown host key. If neither a connection nor a key that works
    without a password is there, the error says how the user makes the connection.
    """

    def __init__(self, host: str, *, timeout: float) -> None:
        self._host = host
        self._timeout = timeout
        self._lock = threading.Lock()
        self._was_connected = False
        self._options = [
            *("-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ClearAllForwardings=yes"),
            *("-o", "PermitLocalCommand=no", "-o", "RemoteCommand=none", "-o", f"ConnectTimeout={timeout:.0f}"),
        ]

    def command(self, command: str) -> list[str]:
        """Return what to run for a command there. The connection is made first, if it is not there.

        :raises ServerError: if it cannot be made
        """
        with self._lock:
            if not self.is_connected():
                with self._alone():
                    if not self.is_connected():
                        self._connect()
            self._was_connected = True
        return self._client("-o", "ControlMaster=no", "--", self._host, command)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for other processes that make the same connection: two would take the socket from each other."""
        with Path(f"{self._file}.lock").open("w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def place_to_stay(self) -> IO[str] | None:
        """Return a file that is held open by who stays in the connection for long; ``None`` if others do so already.

        Sessions of a connection are few, and others need some as well.
        """
        for number in range(_STAYING):
            file = Path(f"{self._file}.{number}").open("w", encoding="ascii")  # noqa: SIM115 - for the caller
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
            else:
                return file
        return None

    def _client(self, *arguments: str) -> list[str]:
        """Return what to run, so that it takes the connection that is there."""
        own = ["-S", self._own_socket] if self._own_socket else []
        return ["ssh", *self._options, *own, *arguments]

    def is_connected(self) -> bool:
        """Whether somebody answers at the socket of the connection."""
        with socket.socket(socket.AF_UNIX) as trial:
            try:
                trial.connect(self._socket)
            except OSError:
                return False
        return True

    def _connect(self) -> None:
        Path(self._socket).unlink(missing_ok=True)
        options = ["-o", "ControlMaster=yes", "-o", f"ControlPersist={_PERSIST_SECONDS}", "-o", "ServerAliveInterval=5"]
        command = self._client(*options, "-fN", "--", self._host)
        # It goes to the background, and so must not hold a pipe to this process.
        with tempfile.TemporaryFile() as said:
            code = self._run(command, said.fileno())
            said.seek(0)
            text = said.read(1 << 16).decode("utf-8", "replace")
        if code:
            raise self.failure(text)

    def _run(self, command: list[str], stderr: int) -> int:
        quiet = subprocess.DEVNULL
        try:
            return subprocess.run(
                command,
                stdin=quiet,
                stdout=quiet,
                stderr=stderr,
                start_new_session=True,
                timeout=self._timeout + 5,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise ServerUnavailableError(f"ssh does not reach {self._host} within {self._timeout:.0f} s") from error
        except OSError as error:
            advice = "install OpenSSH's client" if isinstance(error, FileNotFoundError) else ""
            raise ServerUnavailableError(f"ssh cannot be started: {error.strerror}", advice=advice) from error

    def failure(self, said: str) -> ServerError:
        """Return what the failure of ssh means."""
        text = one_line(said)
        advice, refused = "", True
        if "session request failed" in said:
            return NoSessionError(f"{self._host} lets no more commands run over the connection at the same time")
        if "Host key verification failed" in said or "REMOTE HOST IDENTIFICATION" in said:
            text = f"the host key of {self._host} is not known, or is another one"
            advice = f"run 'ssh {self._host}' once, and compare the key with what its site publishes"
        elif "Permission denied" in said or "Too many authentication failures" in said:
            text = f"{self._host} wants a password or a key"
            advice = f"run '{self._by_hand}' once"
        elif "Could not resolve hostname" in said:
            advice = "check the name, and the Host lines in ~/.ssh/config"
        else:
            refused = False
        problem = f"ssh to {self._host} fails: {text or 'the connection was cut'}"
        if refused and not self._was_connected:
            return ServerError(problem, advice=advice)
        return ServerUnavailableError(problem, advice=advice)

    @cached_property
    def _by_hand(self) -> str:
        """How the user makes the connection, where that needs a password."""
        if self._own_socket:
            return f"ssh -fNM -S {self._own_socket} {self._host}"
        return f"ssh -fN {self._host}"

    @cached_property
    def _socket(self) -> str:
        return self._own_socket or self._users["controlpath"]

    @cached_property
    def _own_socket(self) -> str:
        """The socket of a connection that this library makes; empty where the user's configuration names one."""
        if self._users.get("controlpath", "none") != "none":
            return ""
        return self._file

    @cached_property
    def _file(self) -> str:
        """The socket, and the beginning of the names of the locks, for this host."""
        where = (self._users.get(name, "") for name in ("user", "hostname", "port", "proxyjump"))
        return str(_private_folder() / hashlib.sha256(" ".join([self._host, *where]).encode()).hexdigest()[:16])

    @cached_property
    def _users(self) -> dict[str, str]:
        """What the user's configuration says of this host."""
        command = ["ssh", "-G", "--", self._host]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        except OSError as error:
            problem = f"ssh cannot be started: {error.strerror}"
            raise ServerUnavailableError(problem, advice="install OpenSSH's client") from error
        if done.returncode:
            raise ServerError(f"ssh does not take the host {self._host!r}: {one_line(done.stderr)}")
        return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def _private_folder() -> Path:
    """A folder for sockets, which only this user may enter. The home may be on a file system that has no sockets."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base, "jasmin_arc") if base else Path(tempfile.gettempdir(), f"jasmin_arc-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ServerUnavailableError(f"{folder}, for the connection, cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise ServerUnavailableError(f"{folder} is not a folder of yours alone", advice="set XDG_RUNTIME_DIR to one")
    return folder
