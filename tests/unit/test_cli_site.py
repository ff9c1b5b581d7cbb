"""What a site offers, as people and programs read it at a shell, and what leads a newcomer to Slurm."""

from __future__ import annotations

import io
import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from jasmin_site import JASMIN

from jasmin_arc import ArcInterface
from jasmin_arc.cli.app import root
from jasmin_arc.cli.context import Context
from jasmin_arc.cli.parameters import complete_account, complete_queue
from jasmin_arc.cli.process import run
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.constants import JobState
from jasmin_arc.exceptions import OperationNotPossibleError, ServerUnavailableError
from jasmin_arc.explain import site_file
from jasmin_arc.job_info import JobInfo
from jasmin_arc.site_info import SiteInfo

SOFTWARE = {"jaspy": ["jaspy/3.11", "jaspy/3.12"], "python3": ["/usr/bin/python3"], "nope": []}


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _jasmin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("JASMIN_ARC_BACKEND", "local")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(ArcInterface, "site", lambda _: JASMIN)


@pytest.fixture
def _software(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jasmin_arc.backends.local.backend.LocalBackend.find_software", lambda _, name: SOFTWARE[name])


def on_terminal(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    monkeypatch.setattr("sys.stdout", screen := Screen())
    assert run(list(words)) == 0
    plain = re.sub(r"\x1b\[\d*m", "", screen.getvalue())
    return [line.rstrip() for line in plain.splitlines()]


def test_the_site_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_terminal(monkeypatch, "site") == [
        "endpoint  slurm://lotus",
        "healthy   yes",
        "accounts  mygws (default), no-project, orchid",
        "",
        "QUEUE                FREE  SLOTS  MAX TIME  NODES IDLE    NODES  ONLY FOR  ONLY",
        "                                                           BUSY  ACCOUNTS  WITH",
        "                                                                           QOS",
        "standard (default)  12210  48768       1 d          12      242",
        "special                                1 h",
        "debug                        192       1 h           0        1            debug",
        "orchid                       192       1 d                       orchid",
        "",
        "QOS                 MAX TIME  MAX SLOTS  MAX MEMORY OF A JOB  MAX JOBS  ONLY FOR",
        "                                                                        ACCOUNTS",
        "standard (default)       1 d          1               128 GB         4",
        "short                    4 h          1               200 GB",
        "long                     5 d          1",
        "high                     2 d         96              1000 GB            mygws",
        "debug                    1 h          8                             32",
    ]


def test_a_site_without_accounts_has_no_tables_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ArcInterface, "site", lambda _: SiteInfo("https://ce", default_queue="gone"))
    assert on_terminal(monkeypatch, "site") == [
        "endpoint       https://ce",
        "healthy        yes",
        "default queue  gone",
    ]


def test_the_site_in_a_pipe_is_a_line_for_each_thing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["site"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 + 5 + 3
    assert lines[0] == "queue\tstandard\t12210\t48768\t-\t-\t86400\t-\t-\t12\t242\t-\t-\tyes"
    assert lines[2] == "queue\tdebug\t-\t192\t-\t-\t3600\t-\t-\t0\t1\t-\tdebug\tno"
    assert lines[7] == f"qos\thigh\t172800\t96\t{1000 << 30}\t-\tmygws\tno"
    assert lines[9:] == ["account\tmygws\tyes", "account\tno-project\tno", "account\torchid\tno"]


def test_the_site_in_json_has_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["site", "--json"]) == 0
    (site,) = json.loads(capsys.readouterr().out)["results"]
    assert site["queues"][0]["nodes_busy"] == 242
    assert (site["qos"][3]["accounts"], site["qos"][3]["overrides_wall_time"]) == (["mygws"], True)
    assert (site["accounts"], site["default_account"]) == (["mygws", "no-project", "orchid"], "mygws")
    assert site["runtime_environments"] is None


@pytest.mark.usefixtures("_software")
def test_software_is_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["site", "--find", "python3"]) == run(["site", "--find", "jaspy"]) == 0
    assert capsys.readouterr().out == "program\t/usr/bin/python3\nmodule\tjaspy/3.11\nmodule\tjaspy/3.12\n"
    assert run(["site", "--find", "jaspy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0] == {"kind": "module", "name": "jaspy/3.11"}
    assert on_terminal(monkeypatch, "site", "--find", "python3") == ["KIND     NAME", "program  /usr/bin/python3"]


@pytest.mark.usefixtures("_software")
def test_software_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["site", "--find", "nope", "--json"]) == 3
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert error["kind"] == "NotFound"
    assert error["message"].startswith("no program 'nope' was found at local://")
    assert run(["site", "--find", "a; b"]) == 2
    assert "one word of letters, digits" in capsys.readouterr().err


def test_a_place_that_cannot_look_for_software_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["site", "--find", "python3"]) == 1
    assert "the local backend cannot look for programs" in capsys.readouterr().err
    with ArcInterface(log=None) as arc, pytest.raises(OperationNotPossibleError):
        arc.find_software("python3")


def test_why_a_job_waits_stands_beside_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    info = JobInfo("local://here/1", JobState.QUEUING, native_state="PENDING", reason="Priority", name="mean", slots=2)
    monkeypatch.setattr(ArcInterface, "get_job_infos", lambda *_: [info])
    assert on_terminal(monkeypatch, "show", info.id)[3:7] == [
        "state         Queuing",
        "native state  PENDING",
        "reason        Priority",
        "slots         2",
    ]


def test_accounts_and_queues_are_completed_from_what_is_known() -> None:
    def complete(find: Any, text: str) -> list[str]:
        found: list[str] = find(click.Context(root, obj=Context()), click.Option(["--x"]), text)
        return found

    assert complete(complete_account, "") == complete(complete_queue, "") == []
    with ArcInterface(log=None) as arc:
        site_file.write(time.time(), replace(JASMIN, endpoint=arc.backend.endpoint))
    assert complete(complete_account, "my") == ["mygws"]
    assert complete(complete_queue, "d") == ["debug"]


# --- A newcomer ---


def test_a_new_configuration_for_slurm_asks_for_what_slurm_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("JASMIN_ARC_BACKEND")
    assert run(["config", "init", "--backend", "slurm", str(tmp_path / "new.json")]) == 0
    written = json.loads((tmp_path / "new.json").read_text())
    options = {name: value for name, value in written.items() if not name.startswith("#")}
    asked = dict.fromkeys(("SLURM_HOST", "SLURM_ACCOUNT", "SLURM_PARTITION", "SLURM_QOS"), "")
    assert options == {**asked, "BACKEND": "slurm"}
    assert {"# SLURM_BIN = (empty)", "# CLIENT_KEY = ~/.arc/userkey-nopass.pem"} <= set(written)
    assert ConnectionConfig.load(tmp_path / "new.json").BACKEND == "slurm"
    capsys.readouterr()
    assert run(["config", "show"]) == 0
    assert "SLURM_QOS\t-\tdefault\n" in capsys.readouterr().out
    assert "SLURM_QOS                (empty)" in "\n".join(on_terminal(monkeypatch, "config", "show"))


def test_a_compute_element_that_nobody_chose_is_not_the_only_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(*_: Any, **__: Any) -> Any:
        raise ServerUnavailableError("cannot connect to https://ce: Connection refused")

    monkeypatch.setattr(ArcInterface, "site", lost)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "sbatch").touch(mode=0o755)
    told = "'jasmin-arc doctor' looks for the reason; to run jobs with Slurm, which is on this machine: --backend slurm"
    assert run(["site"]) == 1
    assert told not in capsys.readouterr().err
    monkeypatch.setenv("JASMIN_ARC_BACKEND", "auto")
    assert run(["site"]) == 1
    assert told in capsys.readouterr().err
