"""Run ARC's ``arcproxy`` program, which makes a proxy file from a key and a certificate."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from pathlib import Path

from jasmin_arc._support.text import printable
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.exceptions import ProxyGenerationError

TIMEOUT = 30.0
"""Seconds after which it is ended: 6.17 can loop for ever (bug 4100)."""
_MAX_OUTPUT = 1 << 16


def run_arcproxy(config: ConnectionConfig, target: Path, *, passphrase: bytes | None) -> None:
    """Write a proxy to ``target``, a path in a folder that nobody else can enter; its mode is 0600."""
    command = [
        config.ARCPROXY_PATH,
        f"--cert={config.CLIENT_CERT}",
        f"--key={config.CLIENT_KEY}",
        f"--cadir={config.CERTS_DIR}",
        f"--proxy={target}",
        f"--constraint=validityPeriod={config.PROXY_VALIDITY_PERIOD}",
    ]
    if passphrase is not None:
        command.append("--passwordsource=key=stdin")
    try:
        code, output = _run(command, b"" if passphrase is None else passphrase + b"\n")
    except OSError as error:
        what = f"cannot create a proxy: {config.ARCPROXY_PATH} (ARCPROXY_PATH) cannot be run: {error.strerror}"
        raise ProxyGenerationError(what) from error
    if code != 0 or not target.exists():
        raise _failure(config, code, output)
    target.chmod(0o600)


def _run(command: list[str], text: bytes) -> tuple[int, bytes]:
    """Run a program so that it can neither ask a terminal, nor run for ever, nor fill the memory."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C"},
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # Its children may hold the pipe open, so the whole group has to end before reading can.
        timer = threading.Timer(TIMEOUT, _kill, [process.pid])
        timer.daemon = True
        try:
            timer.start()
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(text)
            output = process.stdout.read(_MAX_OUTPUT)
            timer.cancel()
            if len(output) < _MAX_OUTPUT:
                process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            pass
        finally:
            timer.cancel()
            if process.returncode is None:
                _kill(process.pid)
    return process.returncode, output


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _failure(config: ConnectionConfig, code: int, output: bytes) -> ProxyGenerationError:
    what = f"cannot create a proxy: {config.ARCPROXY_PATH}"
    if code == -signal.SIGKILL:
        return ProxyGenerationError(
            f"{what} did not end within {TIMEOUT:g} s, or wrote without end, and was ended",
            advice="where ARCPROXY_PATH names no file, the proxy is made without that program",
        )
    lines = output.decode(errors="replace").splitlines()
    told = [line for line in lines if line.strip() and not line.startswith(("WARNING:", "Your identity:"))]
    return ProxyGenerationError(f"{what} failed: {printable('; '.join(told[-4:])) or f'exit code {code}'}")
