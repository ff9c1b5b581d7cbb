"""Run ARC's ``arcproxy`` program, which makes a proxy file from a key and a certificate."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jasmin_arc._support.text import excerpt, printable
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.exceptions import ProxyGenerationError

if TYPE_CHECKING:
    from jasmin_arc.credentials.voms_server import VomsError, VomsServer

TIMEOUT = 30.0
"""Seconds after which it is ended: 6.17 can loop for ever (bug 4100)."""
_MAX_OUTPUT = 1 << 16
_COLLECTED = re.compile(r"^Collected error is:\s*(\w+): \w+(?: \((.*)\))?[ \t]*$", re.MULTILINE)
"""What it says of each VOMS server: the layer, and perhaps what is wrong"""


def run_arcproxy(
    config: ConnectionConfig, target: Path, *, passphrase: bytes | None, voms: Sequence[VomsServer] = ()
) -> None:
    """Write a proxy to ``target``, a path in a folder that nobody else can enter; its mode is 0600.

    :param voms: the servers that are asked for the attributes that VOMS names
    """
    command = [
        config.ARCPROXY_PATH,
        f"--cert={config.CLIENT_CERT}",
        f"--key={config.CLIENT_KEY}",
        f"--cadir={config.CERTS_DIR}",
        f"--proxy={target}",
        f"--constraint=validityPeriod={config.PROXY_VALIDITY_PERIOD}",
    ]
    if voms:
        vomses = target.with_name("vomses")
        vomses.write_text("".join(server.line for server in voms))
        command += [f"--voms={config.VOMS}", f"--vomses={vomses}", f"--timeout={config.TIMEOUT}"]
        command.append(f"--constraint=vomsACvalidityPeriod={config.PROXY_VALIDITY_PERIOD}")
    if passphrase is not None:
        command.append("--passwordsource=key=stdin")
    seconds = TIMEOUT + config.TIMEOUT * len(voms)
    try:
        code, output = _run(command, b"" if passphrase is None else passphrase + b"\n", seconds)
    except OSError as error:
        what = f"cannot create a proxy: {config.ARCPROXY_PATH} (ARCPROXY_PATH) cannot be run: {error.strerror}"
        raise ProxyGenerationError(what) from error
    if code != 0 or not target.exists():
        raise _voms_failure(voms, output) or _failure(config, code, output, seconds)
    target.chmod(0o600)


def _run(command: list[str], text: bytes, seconds: float) -> tuple[int, bytes]:
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
        timer = threading.Timer(seconds, _kill, [process.pid])
        timer.daemon = True
        try:
            timer.start()
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(text)
            output = process.stdout.read(_MAX_OUTPUT)
            timer.cancel()
            if len(output) < _MAX_OUTPUT:
                process.wait(seconds)
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


def _failure(config: ConnectionConfig, code: int, output: bytes, seconds: float) -> ProxyGenerationError:
    what = f"cannot create a proxy: {config.ARCPROXY_PATH}"
    if code == -signal.SIGKILL:
        return ProxyGenerationError(
            f"{what} did not end within {seconds:g} s, or wrote without end, and was ended",
            advice="where ARCPROXY_PATH names no file, the proxy is made without that program",
        )
    lines = output.decode(errors="replace").splitlines()
    told = [line for line in lines if line.strip() and not line.startswith(("WARNING:", "Your identity:"))]
    return ProxyGenerationError(f"{what} failed: {printable('; '.join(told[-4:])) or f'exit code {code}'}")


def _voms_failure(servers: Sequence[VomsServer], output: bytes) -> VomsError | None:
    """Return what it says of the servers, in our words; it calls all of them out of reach, whatever they answer."""
    collected = _COLLECTED.findall(output.decode(errors="replace"))
    if not servers or not collected:
        return None
    from jasmin_arc.credentials.voms_server import foremost

    return foremost([_voms_error(server, *told) for server, told in zip(servers, collected)])


def _voms_error(server: VomsServer, layer: str, told: str) -> VomsError:
    from jasmin_arc.credentials.voms_server import VomsError, nonsense, refusal

    if layer == "VOMS":
        # A refusal begins with a code, such as NoSuchUser.
        return refusal(server, told) if re.match(r"\w+: ", told) else nonsense(server)
    if layer != "TLS":
        return VomsError(server.vo, f"its server {server} does not answer: {excerpt(told)}")
    if "alert" in told:
        return VomsError(server.vo, f"its server {server} refuses the certificate: {excerpt(told)}")
    advice = "CERTS_DIR must hold the CA certificate that its host certificate comes from"
    return VomsError(server.vo, f"its server {server} is not trusted: {excerpt(told)}", advice=advice)
