"""The command line on the real grid."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_kit import Shell

pytestmark = pytest.mark.grid


BOTH = pytest.mark.parametrize("backend", ["rest", "bindings"])


@pytest.fixture
def backend() -> str:
    """How the configuration calls the backend of the commands."""
    return "rest"


@pytest.fixture
def shell(backend: str, tmp_path: Path, grid_config: dict[str, Any]) -> Iterator[Shell]:
    options = {**grid_config, "JOBS_INFO_FILE": str(tmp_path / "jobs.dat"), "PROXY_FILE": str(tmp_path / "proxy")}
    (tmp_path / "config.json").write_text(json.dumps(options))
    paths = {"JASMIN_ARC_CONFIG": str(tmp_path / "config.json"), "JASMIN_ARC_BACKEND": backend}
    shell = Shell(tmp_path, paths)
    yield shell
    # Others use the same site: only the jobs of this test's own list are removed.
    mine = [line.split("\t")[0] for line in shell.run("list", "--since", "1h").out.splitlines()]
    if mine:
        shell.run("cancel", *mine)
        shell.run("wait", *mine)
        shell.run("clean", "--force", *mine)


@BOTH
def test_a_session_from_proxy_to_clean(shell: Shell) -> None:
    assert shell.run("proxy", "create").code == 0
    proxy = dict(line.split("\t", 1) for line in shell.run("proxy", "info").out.splitlines())
    assert proxy["path"] == str(shell.home / "proxy")
    (shell.home / "in.txt").write_text("from home\n")
    submitted = shell.run("submit", "--name", "cli", "-i", "in.txt", "-o", "out.txt", "--", "cp", "in.txt", "out.txt")
    assert submitted.code == 0, submitted.err
    job_id = submitted.out.strip()
    assert job_id.startswith("https://")
    assert shell.run("wait", "-", stdin=submitted.out).out == f"{job_id}\tcompleted\tcli\n"
    assert "out.txt" in shell.run("files", "cli").out
    assert shell.run("cat", "cli", "out.txt").out == "from home\n"
    (folder,) = shell.ids("output", "cli", "-d", "results")
    assert (shell.home / folder / "out.txt").read_text() == "from home\n"
    (row,) = shell.run("show", "--json", "cli").json["results"]
    assert (row["id"], row["status"], row["exit_code"]) == (job_id, "completed", 0)
    assert shell.run("list", "--name", "cli").out.split("\t")[0] == job_id
    assert shell.run("renew", "cli").out == f"{job_id}\trenewed\n"
    assert shell.run("clean", "cli").out == f"{job_id}\terased\n"
    assert shell.run("proxy", "destroy").out == "removed\n"
    assert shell.run("proxy", "info").code == 1
    assert shell.run("proxy", "destroy").out == "there was none\n"


def test_follow_resubmit_restart_recover(shell: Shell) -> None:
    (job_id,) = shell.ids("submit", "--name", "first", "--rerun", "1", "--", "printf", "\\377a\\n")
    assert shell.bytes_of("follow", "first") == b"\xffa\n"
    restarted = shell.run("restart", job_id)
    assert (restarted.code, restarted.out) == (1, "")
    assert "has not failed" in restarted.err
    (again,) = shell.ids("resubmit", job_id)
    assert again != job_id
    assert shell.run("wait", again).out == f"{again}\tcompleted\tfirst\n"
    assert shell.run("cat", "--json", again).json["results"][0]["text"] == "\ufffda\n"
    assert shell.run("recover").out == ""


def test_config_and_completion(shell: Shell) -> None:
    (job_id,) = shell.ids("submit", "--name", "complete-me", "--", "true")
    written = shell.run("config", "init", "new.json", "--json").json["results"][0]
    assert written["options"]["ARC_SERVER"] == _server(shell)
    moved = {"JASMIN_ARC_CONFIG": "new.json"}
    shown = dict(line.split("\t")[:2] for line in shell.run("config", "show", **moved).out.splitlines())
    assert shown == dict(line.split("\t")[:2] for line in shell.run("config", "show").out.splitlines())
    assert shell.ids("list", "--name", "complete-me", "--config", "new.json") == [job_id]
    words = {"COMP_WORDS": "jasmin-arc status com", "COMP_CWORD": "2"}
    assert shell.run(_JASMIN_ARC_COMPLETE="bash_complete", **words).out == "plain,complete-me\n"


@BOTH
def test_run_and_explain(shell: Shell) -> None:
    answer = shell.run("run", "--name", "bad", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (answer.code, answer.out) == (7, "out\n")
    assert "err\n" in answer.err
    assert "exit code 7" in shell.run("explain", "bad").out
    missing = shell.run("run", "--json", "--", "no-such-program-at-all")
    assert missing.code not in (0, 1, 2, 3)
    assert missing.json["errors"][0]["kind"] == "JobFailedError"


@BOTH
def test_many_jobs_and_cancel(shell: Shell) -> None:
    (shell.home / "t.csv").write_text("seconds\n300\n301\n")
    ids = shell.ids("submit", "--table", "t.csv", "--name", "s{seconds}", "--", "sleep", "{seconds}")
    assert len(ids) == 2
    assert shell.run("wait", "--timeout", "1", "s300").code == 1
    assert shell.run("cancel", "s300", "s301").out.splitlines() == [f"{job_id}\tcancelled" for job_id in ids]
    assert shell.run("wait", "s30*").code == 4
    assert {line.split("\t")[1] for line in shell.run("status", *ids).out.splitlines()} == {"failed"}


@BOTH
def test_unknown_jobs_and_other_servers(shell: Shell) -> None:
    (job_id,) = shell.ids("submit", "--", "true")
    unknown = job_id.rpartition("/")[0] + "/" + "0" * 56
    answer = shell.run("status", "--json", job_id, unknown)
    assert answer.code == 3
    assert [row["id"] for row in answer.json["results"]] == [job_id]
    nowhere = shell.run("list", "--server", "localhost:1/arex")
    assert nowhere.code == 1
    assert nowhere.err.count("\n") == 1
    assert nowhere.err.startswith("jasmin-arc: ")
    assert "'jasmin-arc --server localhost:1/arex doctor'" in nowhere.err


@BOTH
def test_site_and_doctor(shell: Shell) -> None:
    (site,) = shell.run("site", "--json").json["results"]
    assert site["queues"]
    answer = shell.run("doctor", "--json")
    outcomes = {check["name"]: check["outcome"] for check in answer.json["results"]}
    assert answer.code == 0, answer.err
    assert set(outcomes.values()) <= {"ok", "skipped"}
    assert outcomes["queues"] == outcomes["TLS"] == outcomes["clock"] == "ok"


def test_doctor_finds_what_is_wrong(shell: Shell) -> None:
    def failed(**environment: str) -> list[str]:
        answer = shell.run("doctor", "--json", **environment)
        assert answer.code == 1
        checks = [check for check in answer.json["results"] if check["outcome"] == "failed"]
        assert all(check["remedy"] for check in checks), checks
        return [check["name"] for check in checks]

    (shell.home / "empty").mkdir()
    assert failed(JASMIN_ARC_CERTS_DIR=str(shell.home / "empty"))[0] == "CA certificates"
    assert failed(JASMIN_ARC_CLIENT_KEY="/no/such/key") == ["private key"]
    assert failed(JASMIN_ARC_CLIENT_CERT="/no/such/cert") == ["certificate"]
    assert "REST interface" in failed(JASMIN_ARC_ARC_SERVER=_server(shell) + "nowhere")
    assert failed(JASMIN_ARC_ARC_SERVER="localhost:1/arex") == ["TLS"]


def _server(shell: Shell) -> str:
    return str(json.loads((shell.home / "config.json").read_text())["ARC_SERVER"])
