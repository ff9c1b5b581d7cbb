"""The example notebook runs as it stands, with the restart of the kernel that it asks its reader for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from notebook_kit import ROOT, client_of, html_of, restart, set_up, text_of

from jasmin_arc import ArcInterface

EXAMPLE = ROOT / "examples" / "notebook.ipynb"


def is_code(cell: Any) -> bool:
    return bool(cell.cell_type == "code")


def tagged(cell: Any, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def shown(folder: Path) -> Iterator[dict[str, Any]]:
    """Run the notebook, and return its cells by the first lines of their code."""
    notebook = nbformat.read(EXAMPLE, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        set_up(folder, patch)
        client = client_of(notebook, folder)
        with client.setup_kernel():
            cells = [(number, cell) for number, cell in enumerate(notebook.cells) if is_code(cell)]
            before = [entry for entry in cells if not tagged(entry[1], "after-restart")]
            for number, cell in before:
                client.execute_cell(cell, number)
            restart(client)
            for number, cell in before:
                if tagged(cell, "again"):
                    client.execute_cell(cell, number)
            notebook.cells.append(nbformat.v4.new_code_cell("arc.backend.submit = None  # nothing can be run again"))
            client.execute_cell(notebook.cells[-1], len(notebook.cells) - 1)
            for number, cell in cells:
                if tagged(cell, "after-restart"):
                    client.execute_cell(cell, number)
        yield {cell.source.splitlines()[0]: cell for _, cell in cells}


def test_the_example_is_stored_without_what_it_printed() -> None:
    notebook = nbformat.read(EXAMPLE, as_version=4)
    assert [cell for cell in notebook.cells if is_code(cell) and (cell.outputs or cell.execution_count)] == []


def test_the_example_runs(shown: dict[str, Any], folder: Path) -> None:
    assert [text_of(cell) for cell in shown.values() if "Traceback" in text_of(cell)] == []
    by_first_word = {line.split()[0]: cell for line, cell in shown.items()}
    assert "This job ran on" in text_of(by_first_word["job"])
    assert text_of(by_first_word["script"]).splitlines()[0].endswith("8 completed, 2 failed")
    assert "exit code 1" in html_of(shown["jobs.failed[0].explain()"])[0]
    (plot,) = [output for cell in shown.values() for output in cell.outputs if "image/png" in output.get("data", {})]
    assert plot.data["image/png"]


def test_after_the_restart_of_the_example_nothing_ran_twice(shown: dict[str, Any], folder: Path) -> None:
    calls, stations = (text_of(cell) for cell in shown.values() if tagged(cell, "after-restart") and cell.outputs)
    assert calls.startswith("30 runs; the warmest planet warms by ")
    assert stations.splitlines()[0] == "10 jobs  8 completed, 2 failed"


def test_the_example_leaves_no_job(shown: dict[str, Any], folder: Path) -> None:
    with ArcInterface(backend="local", local_dir=folder / "local", jobs_info_file=folder / "jobs.dat", log=None) as arc:
        assert arc.list_jobs() == []
