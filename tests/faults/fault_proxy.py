"""A TCP proxy that does to connections what bad networks do, as a script says."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """What happens to one connection.

    :ivar mute: accept it, and never answer
    :ivar cut_request: break it off when so many bytes have come from the client, before they are passed on
    :ivar cut_reply: pass so many bytes of the server's on, then break it off
    :ivar pause: seconds to wait before each piece of the server's
    """

    mute: bool = False
    cut_request: int | None = None
    cut_reply: int | None = None
    pause: float = 0.0


PASS = Fault()


class FaultProxy:
    """Listens on localhost and passes connections on to a server.

    :param script: returns the fault for a connection, given its number, which starts with 1
    """

    def __init__(self, host: str, port: int, script: Callable[[int], Fault] = lambda number: PASS) -> None:
        self.script = script
        self.connections = 0
        self._target = (host, port)
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()

    def refuse(self) -> None:
        """Accept no more connections, and break off those that there are."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.break_all()

    def break_all(self) -> None:
        """Break off all connections."""
        while self._open:
            _reset(self._open.pop())

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            fault = self.script(self.connections)
            self._open.append(client)
            if fault.mute:
                continue
            try:
                server = socket.create_connection(self._target)
            except OSError:
                _reset(client)
                continue
            self._open.append(server)
            for arguments in (
                (client, server, fault.cut_request, 0.0, False),
                (server, client, fault.cut_reply, fault.pause, True),
            ):
                threading.Thread(target=_pump, args=arguments, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket, cut: int | None, pause: float, partly: bool) -> None:
    passed = 0
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            time.sleep(pause)
            if cut is not None and passed + len(piece) >= cut:
                if partly:
                    target.sendall(piece[: cut - passed])
                    time.sleep(0.01)
                break
            target.sendall(piece)
            passed += len(piece)
    _reset(source)
    _reset(target)


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def seeded_script(seed: int, *, share: float = 0.4) -> Callable[[int], Fault]:
    """Return a script in which that share of the connections breaks, at a point that the seed decides."""
    chance = random.Random(seed)

    def fault(_: int) -> Fault:
        kind = chance.random() / share
        # A TLS handshake takes about 5000 bytes of the client's, as it sends a chain of certificates.
        where = int(chance.expovariate(1 / 8000)) + 1
        if kind < 0.45:
            return Fault(cut_request=where)
        if kind < 0.9:
            return Fault(cut_reply=where)
        if kind < 0.95:
            return Fault(mute=True)
        return Fault(pause=0.02) if kind < 1 else PASS

    return fault
