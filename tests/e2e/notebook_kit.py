"""Notebooks that are run without a browser, by a kernel of their own."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.util import run_sync

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 120

Cell = Any
"""A cell of a notebook, with its outputs"""


class Kernel:
    """Runs the cells of one notebook, one after another."""

    def __init__(self, client: NotebookClient) -> None:
        self._client = client

    def run(self, source: str, *, stop_after: float | None = None) -> Cell:
        """Run a cell.

        :param stop_after: press the stop button after so many seconds
        """
        cells = self._client.nb.cells
        cells.append(nbformat.v4.new_code_cell(source))
        if stop_after is not None:
            threading.Timer(stop_after, self._stop).start()
        return self._client.execute_cell(cells[-1], len(cells) - 1)

    def _stop(self) -> None:
        os.kill(self._client.km.provisioner.pid, signal.SIGINT)

    def restart(self) -> None:
        """Restart the kernel: all variables are gone."""
        restart(self._client)


def client_of(notebook: Any, folder: Path) -> NotebookClient:
    return NotebookClient(
        notebook, timeout=LIMIT, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": str(folder)}}
    )


def restart(client: NotebookClient) -> None:
    """Restart the kernel of a notebook: all variables are gone."""
    run_sync(client.km.restart_kernel)(now=True)
    run_sync(client.kc.wait_for_ready)(timeout=LIMIT)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """A kernel whose jobs run on this machine, in a folder of their own."""
    set_up(tmp_path, monkeypatch)
    client = client_of(nbformat.v4.new_notebook(), tmp_path)
    with client.setup_kernel():
        yield Kernel(client)


def set_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JASMIN_ARC_BACKEND", "local")
    monkeypatch.setenv("JASMIN_ARC_LOCAL_DIR", str(folder / "local"))
    monkeypatch.setenv("JASMIN_ARC_JOBS_INFO_FILE", str(folder / "jobs.dat"))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))


def text_of(cell: Cell) -> str:
    """Return all that a cell shows, as text."""
    shown: list[str] = []
    for output in cell.outputs:
        if output.output_type == "stream":
            shown.append(output.text)
        elif output.output_type == "error":
            shown += output.traceback
        else:
            shown.append(output.data["text/plain"])
    return "\n".join(shown)


def html_of(cell: Cell) -> list[str]:
    return [output.data["text/html"] for output in cell.outputs if "text/html" in output.get("data", {})]


def until(true: Callable[[], bool], seconds: float = LIMIT) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


__all__: Sequence[str] = ("Kernel", "html_of", "kernel", "text_of", "until")
