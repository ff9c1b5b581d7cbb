"""The command line with jobs on this machine: pipes, JSON, good and bad input."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_kit import LOSES_ITS_JOB_LIST, NEVER_CLOSES, PROGRAM, Answer, Shell

from jasmin_arc.job_list import JobList, JobRecord


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path, {"JASMIN_ARC_BACKEND": "local"})
    yield shell
    shell.run("cancel", "--all")


# --- run ---


def test_run_prints_the_output_and_leaves_with_the_jobs_code(shell: Shell) -> None:
    answer = shell.run("run", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (answer.code, answer.out) == (7, "out\n")
    assert answer.err.startswith("err\njasmin-arc: the job failed with exit code 7; 'jasmin-arc explain ")
    assert shell.run("run", "--", "echo", "--json", "$HOME", "a  b").out == "--json $HOME a  b\n"


def test_run_in_json(shell: Shell) -> None:
    (job,) = shell.run("--json", "run", "--", "sh", "-c", "echo out; echo err >&2").json["results"]
    assert (job["stdout"], job["stderr"], job["status"], job["exit_code"]) == ("out\n", "err\n", "completed", 0)
    failed = shell.run("run", "--json", "--", "false").json
    assert failed["exit_code"] == 1
    assert failed["errors"][0]["kind"] == "JobFailedError"


@pytest.mark.parametrize("options", [(), ("--save", "results")])
def test_run_says_once_that_an_output_was_not_made(shell: Shell, options: tuple[str, ...]) -> None:
    answer = shell.run("run", "-o", "x.nc", *options, "--", "true")
    assert answer.code == 0
    assert answer.err.count("did not make x.nc") == 1


def test_run_sends_inputs_and_saves_outputs(shell: Shell) -> None:
    (shell.home / "in.txt").write_text("one\n")
    options = ["-i", "in.txt", "-i", "other=in.txt", "-o", "out.txt", "-e", "WORD=two", "--save", "results"]
    answer = shell.run("run", *options, "--", "sh", "-c", "cat in.txt other > out.txt; echo $WORD >> out.txt")
    assert answer.code == 0, answer.err
    assert (shell.home / "results" / "out.txt").read_text() == "one\none\ntwo\n"


def test_ctrl_c_says_what_goes_on(shell: Shell) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "run", "--name", "long", "--", "sh", "-c", "echo started; sleep 60"],
        cwd=shell.home,
        env=shell.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.count("\n") == 1
    assert "the job goes on: 'jasmin-arc follow " in err
    word = err.split("'jasmin-arc follow ")[1].split("'")[0]
    assert shell.run("status", word).out.split("\t")[1] == "in progress"
    assert shell.run("cancel", word).out.endswith("\tcancelled\n")
    assert shell.run("wait", word).code == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_like_ctrl_c(shell: Shell, number: int) -> None:
    command = [*PROGRAM, "run", "--", "sh", "-c", "echo started; sleep 60"]
    options = {"cwd": shell.home, "env": shell.environment, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    # Where the tests ignore SIGHUP, as nohup makes them, the program would too.
    heeding = {"preexec_fn": lambda: signal.signal(number, signal.SIG_DFL)}
    with subprocess.Popen(command, **options, **heeding) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"the job goes on" in err


def test_interrupted_json_is_json(shell: Shell) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "--json", "run", "--", "sleep", "60"],
        cwd=shell.home,
        env=shell.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    # By name, only what is in the job list already is found.
    while not shell.ids("list", "--name", "sleep", "--status", "in progress"):
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    (job_id,) = shell.ids("list")
    document = json.loads(out)
    assert (document["errors"][0]["kind"], document["errors"][0]["job"]) == ("Interrupted", job_id)
    assert [job["id"] for job in document["results"]] == [job_id]


def test_output_is_passed_on_byte_for_byte(shell: Shell) -> None:
    assert shell.bytes_of("run", "--name", "bytes", "--", "printf", "\\377\\000a") == b"\xff\x00a"
    assert shell.bytes_of("follow", "bytes") == b"\xff\x00a"
    assert shell.run("follow", "bytes", "--json").json["results"][0]["text"] == "\ufffd\x00a"


def test_run_does_not_start_what_it_could_not_save(shell: Shell) -> None:
    (shell.home / "results").mkdir()
    (shell.home / "results" / "o").write_text("old")
    command = ["--save", "results", "-o", "o", "--", "sh", "-c", "echo new > o"]
    refused = shell.run("run", *command)
    assert refused.code == 1
    assert refused.err == "jasmin-arc: results/o is there already; nothing was submitted; --overwrite replaces it\n"
    assert shell.run("list").out == ""
    assert shell.run("run", "--overwrite", *command).code == 0
    assert (shell.home / "results" / "o").read_text() == "new\n"
    assert shell.run("run", "--overwrite", "--", "true").code == 2


def test_run_tells_the_result_of_a_job_whose_outputs_cannot_be_saved(shell: Shell) -> None:
    taken = shell.home / "results" / "o"
    script = f"echo o > o; echo hello; mkdir {taken.parent}; echo mine > {taken}; exit 7"
    document = shell.run("run", "--json", "--save", "results", "-o", "o", "--", "sh", "-c", script).json
    (job,) = document["results"]
    assert (job["stdout"], job["exit_code"], job["directory"]) == ("hello\n", 7, None)
    saving, failing = document["errors"]
    assert (saving["kind"], saving["job"]) == ("OutputError", job["id"])
    assert saving["message"].endswith("--overwrite")
    assert (failing["kind"], failing["job"]) == ("JobFailedError", job["id"])
    assert document["exit_code"] == 7
    assert taken.read_text() == "mine\n"


# --- submit ---


def test_ids_flow_through_pipes(shell: Shell) -> None:
    first = shell.run("submit", "--name", "a", "--", "true").out
    second = shell.run("submit", "--name", "b", "--", "false").out
    waited = shell.run("wait", "-", stdin=first + second)
    assert waited.code == 4
    assert waited.out.splitlines() == [f"{first.strip()}\tcompleted\ta", f"{second.strip()}\tfailed\tb"]
    listed = shell.run("list").out
    assert [line.split("\t")[1] for line in shell.run("status", "-", stdin=listed).out.splitlines()] == [
        "completed",
        "failed",
    ]


def test_descriptions_in_all_languages(shell: Shell) -> None:
    (shell.home / "a.xrsl").write_text('&(executable="/bin/echo")(arguments="xrsl")(jobname="x")(stdout="stdout")')
    (shell.home / "b.json").write_text('{"executable": "/bin/echo", "arguments": ["json"], "name": "j"}')
    (shell.home / "c.adl").write_text(
        '<ActivityDescription xmlns="http://www.eu-emi.eu/es/2010/12/adl"><ActivityIdentification><Name>d</Name>'
        "</ActivityIdentification><Application><Executable><Path>/bin/echo</Path><Argument>adl</Argument>"
        "</Executable><Output>stdout</Output></Application></ActivityDescription>"
    )
    answer = shell.run("submit", "a.xrsl", "b.json", "c.adl")
    assert answer.code == 0, answer.err
    ids = answer.out.split()
    assert shell.run("wait", *ids).code == 0
    assert [shell.run("cat", job_id).out for job_id in ids] == ["xrsl\n", "json\n", "adl\n"]
    (renamed,) = shell.ids("submit", "--name", "other", "b.json")
    assert shell.run("status", renamed).out.split("\t")[-1] == "other\n"


def test_one_job_for_each_row_of_a_table(shell: Shell) -> None:
    (shell.home / "t.csv").write_text('year,model\n1961,"a, b"\n1962,c\n')
    command = ["submit", "--table", "t.csv", "--name", "m-{year}", "--", "echo", "{year}", "{model}", "{print}"]
    assert shell.run("wait", "-", stdin=shell.run(*command).out).code == 0
    assert shell.run("cat", "m-1961").out == "1961 a, b {print}\n"
    assert shell.run("cat", "m-1962").out == "1962 c {print}\n"


def test_check_sends_nothing(shell: Shell) -> None:
    answer = shell.run("submit", "--check", "--slots", "100000", "--", "true")
    assert answer.code == 1
    assert "slots" in answer.out
    assert shell.run("submit", "--check", "--json", "--", "true").json["results"] == [{"name": "true", "problems": []}]
    assert shell.run("list").out == ""


# --- Naming jobs ---


def test_jobs_by_part_name_pattern_status_and_all(shell: Shell) -> None:
    (good,) = shell.ids("submit", "--name", "model-1", "--", "true")
    (bad,) = shell.ids("submit", "--name", "model-2", "--", "false")
    shell.run("wait", good, bad)
    part = good.rpartition("/")[2][:10]
    for words, expected in [
        (["status", part], [good]),
        (["status", "model-1"], [good]),
        (["status", "model-*"], [good, bad]),
        (["status", "--status", "failed"], [bad]),
        (["list", "--status", "FAILED"], [bad]),
        (["list", "--name", "*-1"], [good]),
        (["list", "--since", "1h"], [good, bad]),
        (["status", "--all"], [good, bad]),
        (["status", part, good, "model-1"], [good]),
    ]:
        assert shell.ids(*words) == expected, words


def test_standard_input_is_read_only_for_a_hyphen(shell: Shell) -> None:
    told = "say which jobs: JOB..., --all, --status STATUS, --name PATTERN, --since DURATION, --last N; or -"
    for command in ("status", "wait", "clean"):
        options = {"cwd": shell.home, "env": shell.environment, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
        # Nobody writes into this pipe, and nobody closes it.
        with subprocess.Popen([*PROGRAM, command], stdin=subprocess.PIPE, **options) as process:
            assert process.wait(30) == 2
            assert told in process.communicate()[1].decode()
        nothing = shell.run(command, stdin="")
        assert (nothing.code, nothing.out) == (2, "")
    none = shell.run("cat", "-", stdin="\n")
    assert none.code == 2
    assert none.err.endswith("this command needs a job, and standard input names none; see 'jasmin-arc cat --help'\n")


def test_the_newest_jobs(shell: Shell) -> None:
    ids = [shell.ids("submit", "--name", name, "--", "true")[0] for name in ("a", "b", "c")]
    assert shell.ids("list", "-n", "2") == ids[1:]
    assert shell.ids("list", "--last", "5") == ids
    assert shell.ids("list", "--last", "1", "--name", "[ab]") == ids[1:2]
    assert shell.run("list", "-n", "0").code == 2


def test_a_misspelt_option_leads_to_the_one_that_is_meant(shell: Shell) -> None:
    answer = shell.run("list", "--nmae", "x")
    assert (answer.code, answer.err) == (2, "jasmin-arc: there is no option '--nmae'; did you mean '--name'?\n")


def test_an_ambiguous_part_lists_what_it_matches(shell: Shell) -> None:
    place = shell.ids("submit", "--", "true")[0].rpartition("/")[0]
    ids = {f"{place}/abcd1234": "one", f"{place}/abcd5678": "two"}
    job_list = JobList(shell.home / ".arc" / "jobs.dat")
    job_list.intend(JobRecord(token=i, endpoint=place, name=name, id=i) for i, name in ids.items())
    job_list.commit(ids)
    answer = shell.run("show", "abcd")
    assert answer.code == 2
    assert "2 jobs match 'abcd': abcd1234 (one), abcd5678 (two); type more of the id" in answer.err
    assert shell.run("show", "abc").code == 3


def test_a_name_that_several_jobs_have_means_the_newest(shell: Shell) -> None:
    _, newest = (shell.ids("submit", "--name", "one", "--", "echo", text)[0] for text in ("old", "new"))
    shell.run("wait", "one")
    told = f"jasmin-arc: 2 jobs are called 'one'; this is the newest, {newest.rpartition('/')[2][:8]}\n"
    for command in ("cat", "follow"):
        answer = shell.run(command, "one")
        assert (answer.out, answer.err) == ("new\n", told)
    assert shell.run("files", "one").err == told
    assert shell.run("files", "o*").code == 2


def test_a_job_that_does_not_exist(shell: Shell) -> None:
    for command in ("status", "show", "wait", "cat", "follow", "files", "explain", "cancel", "output", "resubmit"):
        answer = shell.run(command, "nothing-like-it")
        assert answer.code == 3, command
        assert answer.err == (
            "jasmin-arc: no job matches 'nothing-like-it'; 'jasmin-arc list' shows the jobs that there are\n"
        )
    unknown = "local://nowhere/000000000000000000000000"
    for command in ("status", "show", "cat", "files"):
        answer = shell.run(command, unknown, "--json")
        assert answer.json["exit_code"] == 3, command
        assert answer.json["errors"][0]["kind"] == "JobNotFoundError"


def test_some_jobs_of_many_may_be_missing(shell: Shell) -> None:
    (job_id,) = shell.ids("submit", "--", "true")
    shell.run("wait", job_id)
    answer = shell.run("status", "--json", job_id, "local://nowhere/000000000000000000000000")
    assert answer.code == 3
    assert [job["id"] for job in answer.json["results"]] == [job_id]
    assert [error["job"] for error in answer.json["errors"]] == ["local://nowhere/000000000000000000000000"]


# --- Files ---


def test_output_files_cat_follow(shell: Shell) -> None:
    (job_id,) = shell.ids("submit", "-o", "out.bin", "--", "sh", "-c", "printf '\\377\\000' > out.bin; echo text")
    assert shell.run("follow", job_id).out == "text\n"
    assert shell.run("cat", job_id).out == "text\n"
    assert sorted(line.split("\t")[1] for line in shell.run("files", job_id).out.splitlines()) == [
        "out.bin",
        "stderr",
        "stdout",
    ]
    assert shell.bytes_of("cat", job_id, "out.bin") == b"\xff\x00"
    assert shell.run("cat", job_id, "no-such-file").code == 3
    (folder,) = shell.ids("output", job_id, "-d", "results")
    assert (shell.home / folder / "stdout.txt").read_text() == "text\n"
    again = shell.run("output", job_id, "-d", "results")
    assert again.code == 1
    assert again.err.count("\n") == 1
    assert shell.run("output", job_id, "-d", "results", "--overwrite").code == 0


# --- Ending ---


def test_clean_protects_outputs_that_were_never_saved(shell: Shell) -> None:
    (job_id,) = shell.ids("submit", "--", "true")
    shell.run("wait", job_id)
    refused = shell.run("clean", job_id)
    assert refused.code == 1
    assert "--force" in refused.err
    assert shell.run("clean", "--force", job_id).out == f"{job_id}\terased\n"
    assert shell.run("list").out == ""


def test_cancel_tells_what_had_ended(shell: Shell) -> None:
    (ended,) = shell.ids("submit", "--", "true")
    shell.run("wait", ended)
    (running,) = shell.ids("submit", "--", "sleep", "60")
    assert shell.run("cancel", ended, running).out.splitlines() == [f"{ended}\thad ended", f"{running}\tcancelled"]


def test_resubmit_restart_renew_recover(shell: Shell) -> None:
    (job_id,) = shell.ids("submit", "--", "echo", "again")
    shell.run("wait", job_id)
    (new,) = shell.ids("resubmit", job_id)
    assert new != job_id
    assert shell.run("wait", new).code == 0
    assert shell.run("cat", new).out == "again\n"
    renewed = shell.run("renew", job_id)
    assert (renewed.code, renewed.out) == (1, "")
    assert "the local backend cannot renew a job's credentials" in renewed.err
    restarted = shell.run("restart", job_id)
    assert (restarted.code, restarted.out) == (1, "")
    assert "the local backend cannot restart a job" in restarted.err
    assert shell.run("recover", "--json").json["results"] == []


# --- Done is done ---


def without_its_list(shell: Shell, *args: str, columns: int = 0) -> Answer:
    """Run a command that loses its job list once its work is done, and put the list back.

    :param columns: how wide its terminal is, if it has one
    """
    if columns:
        answer = shell.terminal(*args, columns=columns, program=LOSES_ITS_JOB_LIST)
    else:
        answer = shell.process(*args, program=LOSES_ITS_JOB_LIST)
    path = shell.home / ".arc" / "jobs.dat"
    path.rmdir()
    path.with_name("jobs.dat.lost").rename(path)
    return answer


def test_what_was_done_is_told_without_the_job_list(shell: Shell) -> None:
    submitted = without_its_list(shell, "submit", "--name", "a", "--", "false")
    assert (submitted.code, submitted.err) == (0, "")
    job_id = submitted.out.strip()
    resubmitted = without_its_list(shell, "resubmit", job_id)
    assert (resubmitted.code, resubmitted.err) == (0, "")
    ids = [job_id, resubmitted.out.strip()]
    shell.run("wait", *ids)
    for command, done in (("status", "failed"), ("output", "mine/"), ("clean", "erased")):
        options = ["-d", "mine"] if command == "output" else []
        answer = without_its_list(shell, command, *ids, *options)
        assert (answer.code, answer.err) == (0, ""), command
        assert answer.out.count(done) == 2, command
    (running,) = shell.ids("submit", "--", "sleep", "60")
    assert without_its_list(shell, "cancel", running).out == f"{running}\tcancelled\n"


def test_the_end_of_a_job_is_told_without_the_job_list(shell: Shell) -> None:
    (job_id,) = shell.ids("submit", "--name", "a", "--", "false")
    waited = without_its_list(shell, "wait", job_id)
    assert (waited.code, waited.out) == (4, f"{job_id}\tfailed\t-\n")
    warning, failed = waited.err.splitlines()
    assert warning.startswith("jasmin-arc: warning: jobs are shown without names and with complete ids: the job list ")
    assert failed == f"jasmin-arc: the job failed; 'jasmin-arc explain {job_id}' says why"


def test_a_terminal_shows_complete_ids_without_the_job_list(shell: Shell) -> None:
    submitted = without_its_list(shell, "submit", "--", "true", columns=200)
    job_id = submitted.out.splitlines()[0]
    assert f"Watch: jasmin-arc status {job_id}\n" in submitted.out
    shell.run("wait", job_id)
    for args in (["wait", job_id], ["status", job_id], ["list"], ["clean", "--force", job_id]):
        answer = without_its_list(shell, *args, columns=200)
        assert answer.code == 0
        assert answer.out.count("warning: jobs are shown without names and with complete ids: ") == 1
        assert job_id in answer.out


def test_finding_a_job_by_a_word_takes_a_job_list(shell: Shell) -> None:
    (shell.home / ".arc" / "jobs.dat").mkdir(parents=True)
    answer = shell.run("status", "mean")
    assert answer.code == 1
    assert "is not a regular file" in answer.err


@pytest.mark.parametrize("gone", ["a pipe", "a full disk"])
def test_nothing_fails_because_standard_error_is_gone(shell: Shell, gone: str) -> None:
    def run(*args: str) -> tuple[int, str]:
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "wb") as pipe, open("/dev/full", "wb") as full:
            lost = pipe if gone == "a pipe" else full
            command, where = [*PROGRAM, *args], {"cwd": shell.home, "env": shell.environment}
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=lost, text=True, timeout=60, **where)
        return done.returncode, done.stdout

    code, job_id = run("-v", "submit", "--", "false")
    assert (code, job_id.startswith("local://")) == (0, True)
    assert run("wait", job_id.strip()) == (4, f"{job_id.strip()}\tfailed\tfalse\n")
    assert run("status", "nothing-like-it") == (3, "")
    script = "echo out; echo err >&2; echo kept > o; exit 7"
    assert run("run", "--save", "results", "-o", "o", "--", "sh", "-c", script) == (7, "out\n")
    assert (shell.home / "results" / "o").read_text() == "kept\n"


# --- Asking ---


def test_show_and_explain(shell: Shell) -> None:
    (job_id,) = shell.ids("submit", "--", "sh", "-c", "echo broken >&2; exit 3")
    shell.run("wait", job_id)
    fields = dict(line.split("\t", 1) for line in shell.run("show", job_id).out.splitlines())
    assert (fields["id"], fields["status"], fields["exit_code"]) == (job_id, "failed", "3")
    explanation = shell.run("explain", job_id, "--json").json["results"][0]
    assert explanation["id"] == job_id
    assert explanation["cause"]
    assert "exit code 3" in shell.run("explain", job_id).out


def test_wait_gives_up_when_time_is_up(shell: Shell) -> None:
    (job_id,) = shell.ids("submit", "--", "sleep", "60")
    answer = shell.run("wait", "--timeout", "0.5", job_id)
    assert answer.code == 1
    assert answer.err.startswith("jasmin-arc: the job has not ended after ")
    assert "the job has not ended yet; " in shell.run("wait", "--timeout", "0", job_id).err


def test_wait_tells_the_ends_that_it_has_seen(shell: Shell) -> None:
    ended, failed, running = (
        shell.ids("submit", "--", *command)[0] for command in (["true"], ["false"], ["sleep", "60"])
    )
    shell.run("wait", ended, failed)
    answer = shell.run("wait", "--timeout", "0.5", ended, failed, running)
    assert answer.code == 1
    assert answer.out.splitlines() == [f"{ended}\tcompleted\ttrue", f"{failed}\tfailed\tfalse"]
    assert "1 of 3 jobs have not ended" in answer.err
    document = shell.run("wait", "--json", "--timeout", "0.5", ended, running).json
    assert [job["id"] for job in document["results"]] == [ended]
    assert [error["kind"] for error in document["errors"]] == ["WaitTimeoutError"]


def test_nothing_to_do_is_no_failure(shell: Shell) -> None:
    for command in ("status", "cancel", "wait", "output", "clean"):
        assert shell.run(command, "--all").code == 0
        answer = shell.run(command, "-", stdin="\n\n")
        assert (answer.code, answer.out) == (0, "")
        assert answer.err == "jasmin-arc: standard input names no jobs, so there is nothing to do\n"
    assert shell.run("list", "--json").json["results"] == []


# --- Setting up ---


def test_config_init_and_show(shell: Shell) -> None:
    answer = shell.run("config", "init", "--server", "ce.example.org:8443/arex")
    assert answer.code == 0
    path = shell.home / "config" / "jasmin_arc" / "config.json"
    assert answer.out.startswith("Wrote ~/config/jasmin_arc/config.json\n")
    assert json.loads(path.read_text())["ARC_SERVER"] == "ce.example.org:8443/arex"
    shown = {line.split("\t")[0]: line.split("\t")[1:] for line in _lines(shell, "--config", str(path))}
    assert shown["ARC_SERVER"] == ["ce.example.org:8443/arex", str(path)]
    assert shown["BACKEND"] == ["local", "the environment variable JASMIN_ARC_BACKEND"]
    path.write_text("mine")
    refused = shell.run("config", "init")
    assert refused.code == 1
    assert "--force" in refused.err
    assert path.read_text() == "mine"
    assert shell.run("config", "init", "--force").code == 0


def test_a_configuration_that_cannot_be_written_spoils_nothing(shell: Shell) -> None:
    path = shell.home / "mine.json"
    path.write_text("mine")
    (shell.home / "link.json").symlink_to(path)
    command = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *PROGRAM, "config", "init"]
    for arguments in (["--force", "mine.json"], ["new.json"]):
        done = subprocess.run(
            [*command, *arguments], cwd=shell.home, env=shell.environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert arguments[-1] in done.stderr
        assert "too large" in done.stderr
    assert path.read_text() == "mine"
    path.chmod(0o600)
    assert sorted(entry.name for entry in shell.home.glob("*.json")) == ["link.json", "mine.json"]
    assert not list(shell.home.glob(".*.part"))
    assert shell.run("config", "init", "--force", "link.json").code == 0
    assert (shell.home / "link.json").is_symlink()
    assert "ARC_SERVER" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "ARC_SERVER" in shell.process("config", "init", "--force", "/dev/stdout").out


def test_config_init_writes_all_options_and_changes_none(shell: Shell) -> None:
    assert shell.run("config", "init", "mine.json", "--backend", "rest").code == 0
    written = json.loads((shell.home / "mine.json").read_text())
    shown = dict(line.split("\t")[:2] for line in _lines(shell))
    for option in shown:
        (comment,) = (key for key in written if re.fullmatch(rf"# {option}( = .*)?", key))
        assert written[comment], option
        assert (option in written) != (" = " in comment), option
    # Where the default proxy is somebody else's, another path is used, but only as long as none is set.
    assert {"# TIMEOUT = 20", "# OUTPUT_FILE = output", "# PROXY_FILE = /tmp/arcproxy_file"} <= set(written)
    assert {"ARC_SERVER", "CLIENT_CERT", "CLIENT_KEY"} <= set(written)
    assert written["BACKEND"] == "rest"
    read = dict(line.split("\t")[:2] for line in _lines(shell, "--config", "mine.json"))
    assert read == shown


def test_config_init_writes_a_tilde_for_the_home_directory(shell: Shell) -> None:
    home = {"HOME": str(shell.home), "JASMIN_ARC_JOBS_INFO_FILE": str(shell.home / "jobs.dat")}
    assert shell.run("config", "init", "mine.json", **home).code == 0
    written = json.loads((shell.home / "mine.json").read_text())
    assert (written["CLIENT_CERT"], written["JOBS_INFO_FILE"]) == ("~/.arc/usercert.pem", "~/jobs.dat")


def test_config_init_writes_the_file_that_is_in_use(shell: Shell) -> None:
    named = {"JASMIN_ARC_CONFIG": "mine.json"}
    answer = shell.run("config", "init", "mine.json", **named)
    assert answer.code == 0, answer.err
    assert "export" not in answer.out
    (shell.home / "mine.json").unlink()
    assert shell.run("config", "init", **named).code == 0
    assert (shell.home / "mine.json").exists()
    refused = shell.run("config", "init", **named)
    assert (refused.code, refused.err) == (1, "jasmin-arc: mine.json is there already; --force replaces it\n")
    assert shell.run("config", "init", "--config", "other.json").code == 0
    assert (shell.home / "other.json").exists()
    assert not (shell.home / "config").exists()


def test_config_init_writes_where_a_tilde_is_read(shell: Shell) -> None:
    assert shell.run("config", "init", JASMIN_ARC_CONFIG="~/one.json").code == 0
    assert shell.run("config", "init", "--config=~/two.json").code == 0
    assert (shell.home / "one.json").exists()
    assert (shell.home / "two.json").exists()
    assert not (shell.home / "~").exists()


def _lines(shell: Shell, *options: str) -> list[str]:
    return shell.run("config", "show", *options).out.splitlines()


def test_doctor_on_this_machine(shell: Shell) -> None:
    answer = shell.run("doctor", "--json")
    assert answer.code == 0
    assert [check["outcome"] for check in answer.json["results"]] == ["ok"] * 4


def test_doctor_finds_misspelt_options(shell: Shell) -> None:
    answer = shell.run("doctor", JASMIN_ARC_ARC_SEVER="ce.example.org")
    assert (answer.code, answer.err) == (0, "")
    outcome, name, found, remedy = answer.out.splitlines()[0].split("\t")
    assert (outcome, name, remedy) == ("warning", "configuration", "Rename ARC_SEVER to ARC_SERVER.")
    assert "JASMIN_ARC_ARC_SEVER" in found


def test_doctor_without_anything(shell: Shell) -> None:
    answer = shell.run("doctor", "--backend", "rest", "--server", "ce.invalid", JASMIN_ARC_CERTS_DIR="/nowhere")
    checks = {line.split("\t")[1]: line.split("\t") for line in answer.out.splitlines()}
    assert answer.code == 1
    for name in ("certificate", "private key", "CA certificates", "name resolution"):
        outcome, _, _, remedy = checks[name]
        assert (outcome, len(remedy) > 5) == ("failed", True), checks[name]
    assert checks["job list"][0] == "ok"
    assert checks["credentials"][0] == "skipped"
    assert answer.err == "jasmin-arc: 4 checks failed; begin with the first: certificate\n"


def test_doctor_counts_a_single_failure(shell: Shell) -> None:
    answer = shell.run("doctor", JASMIN_ARC_JOBS_INFO_FILE="/dev/null/jobs.dat")
    assert answer.err == "jasmin-arc: 1 check failed: job list\n"


def test_doctor_tells_no_password(shell: Shell) -> None:
    answer = shell.run("doctor", JASMIN_ARC_ARC_SERVER="https://jane:hunter2@ce.invalid/arex")
    assert answer.code == 1
    assert "ARC_SERVER must be HOST:PORT/PATH" in answer.out
    assert "hunter2" not in answer.out + answer.err


def test_site_and_proxy(shell: Shell) -> None:
    assert shell.run("site").out.startswith("queue\tlocal\t")
    assert shell.run("site", "--json").json["results"][0]["queues"][0]["name"] == "local"
    none = {"JASMIN_ARC_PROXY_FILE": str(shell.home / "proxy")}
    assert shell.run("proxy", "info", **none).code == 1
    assert shell.run("proxy", "destroy", **none).out == "there was none\n"
    failed = shell.run("proxy", "create", **none)
    assert failed.code == 1
    assert failed.err.startswith("jasmin-arc: cannot create a proxy: ")


# --- Bad input ---


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["sumbit"], "did you mean 'submit'?"),
        (["kill", "x"], "it is called: jasmin-arc cancel"),
        (["submit"], "say what to run"),
        (["submit", "hostname"], "to run it: 'jasmin-arc submit -- hostname'"),
        (["submit", "--"], "there is no command after --"),
        (["submit", "a.xrsl", "--", "true"], "not both"),
        (["submit", "--memory", "lots", "--", "true"], "memory: must be a size"),
        (["submit", "--env", "NOVALUE", "--", "true"], "--env needs NAME=VALUE"),
        (["submit", "--table", "t.csv"], "--table needs a command"),
        (["status", "x", "--all"], "not both"),
        (["status", "--status", "done"], "it is one of completed, failed"),
        (["list", "--since", "yesterday"], "must be a duration"),
        (["list", "--watch"], "needs a terminal"),
        (["list", "--no-such-option"], "see 'jasmin-arc list --help'"),
        (["list", "--backend", "other"], "'other' is not one of"),
        (["--config", "/no/such/file", "list"], "cannot read the configuration file"),
        (["proxy"], "see 'jasmin-arc proxy --help'"),
        (["completion", "tcsh"], "see 'jasmin-arc completion --help'"),
    ],
)
def test_a_mistake_is_told_in_one_line(shell: Shell, args: list[str], told: str) -> None:
    answer = shell.run(*args)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("jasmin-arc: ")
    assert answer.err.count("\n") == 1
    assert told in answer.err
    document = shell.run("--json", *args).json
    assert document["errors"][0]["message"] in answer.err
    assert document["results"] == []


def test_a_program_that_is_no_description_gets_its_whole_command_line(shell: Shell) -> None:
    for name in ("mean.py", "run it.sh"):
        (shell.home / name).write_text("")
    meant = {
        ("mean.py",): "-i mean.py -- python3 mean.py",
        ("run it.sh", "1"): "-i 'run it.sh' -- './run it.sh' 1",
        ("python3", "mean.py"): "-i mean.py -- python3 mean.py",
        ("hostname",): "-- hostname",
    }
    for words, command in meant.items():
        told = shell.run("submit", "--backend", "local", *words).err
        assert told.endswith(f"to run it: 'jasmin-arc --backend local submit {command}'\n")


def test_a_bad_description_file_is_named(shell: Shell) -> None:
    (shell.home / "bad.json").write_text("{")
    (shell.home / "bad.xrsl").write_text("(((")
    (shell.home / "bin.adl").write_bytes(b"\xff\xfe\x00")
    for name in ("bad.json", "bad.xrsl", "bin.adl"):
        answer = shell.run("submit", name)
        assert answer.code == 2, answer.err
        assert name in answer.err
    assert shell.run("submit", "missing.json").code == 1
    assert shell.run("submit", "-i", "missing.txt", "--", "true").code == 1


def test_verbose_shows_causes_and_no_traceback(shell: Shell) -> None:
    answer = shell.run("-v", "--config", "/no/such/file", "list")
    assert "caused by FileNotFoundError" in answer.err


def test_a_reader_that_goes_away_is_no_drama(shell: Shell) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "run", "--", "sh", "-c", "yes | head -n 300000"],
        cwd=shell.home,
        env=shell.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141
    assert err == b""


def test_a_full_disk_is_told(shell: Shell) -> None:
    done = _in_shell(shell, "config show >/dev/full")
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_was_done_is_told_though_standard_output_is_lost(shell: Shell, unbuffered: str) -> None:
    shell.options = {**shell.options, "PYTHONUNBUFFERED": unbuffered}
    for command in ("submit -- true", "--json submit -- true"):
        before = shell.ids("list")
        submitted = _in_shell(shell, f"{command} >/dev/full")
        (job_id,) = (new for new in shell.ids("list") if new not in before)
        assert submitted.returncode == 1
        assert "No space left" in submitted.stderr
        assert submitted.stderr.count(f"what was done: submit {job_id}; 'jasmin-arc list' shows the jobs\n") == 1
    assert "what was done" not in _in_shell(shell, "list >/dev/full").stderr
    started = _in_shell(shell, "run -- sh -c 'echo text; sleep 60' >/dev/full")
    assert started.returncode == 1
    assert started.stderr.count("the job goes on: 'jasmin-arc follow ") == 1


def test_ids_are_told_before_the_job_list_is_brought_up_to_date(shell: Shell) -> None:
    process = subprocess.Popen(
        [*NEVER_CLOSES, "submit", "--", "true"],
        cwd=shell.home,
        env=shell.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith(b"local://")
        assert process.stderr.readline() == b"closing\n"
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130


@pytest.mark.parametrize("closed", ["list", "--json list", "list --help"])
def test_a_closed_standard_output_is_told(shell: Shell, closed: str) -> None:
    answer = _in_shell(shell, f"{closed} >&-")
    assert (answer.returncode, answer.stderr) == (1, "jasmin-arc: standard output is closed; nothing was done\n")


def test_other_closed_streams_are_no_trouble(shell: Shell) -> None:
    shell.ids("submit", "--name", "a", "--", "true")
    assert _in_shell(shell, "list 2>&-").stdout.endswith("\ta\n")
    assert _in_shell(shell, "status nothing-like-it 2>&-").returncode == 3
    answer = _in_shell(shell, "status - <&-")
    assert answer.returncode == 2
    assert answer.stderr.startswith("jasmin-arc: standard input is closed")


def _in_shell(shell: Shell, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f"{shlex.join(PROGRAM)} {command}"],
        cwd=shell.home,
        env=shell.environment,
        capture_output=True,
        text=True,
    )


def test_help_and_version_are_json_too(shell: Shell) -> None:
    version = shell.run("--version").out.split()[-1]
    assert shell.run("--json", "--version").json["results"] == [{"version": version}]
    for args in ((), ("list",), ("config",), ("config", "show")):
        document = shell.run(*args, "--help", "--json").json
        assert document["command"] == " ".join(args)
        assert document["results"][0]["help"].startswith(f"Usage: {' '.join(('jasmin-arc', *args))} ")
        assert document["errors"] == []


def test_names_are_safe_to_print(shell: Shell) -> None:
    (job_id,) = shell.ids("submit", "--name", "[bold]ü", "--", "true")
    assert shell.run("status", job_id).out.endswith("\t[bold]ü\n")
    assert "[bold]\\xfc" in shell.process("status", job_id, PYTHONIOENCODING="ascii").out
    assert "[bold]ü" in shell.terminal("status", job_id).out


# --- Completion ---


def test_the_shell_completes_commands_options_and_jobs(shell: Shell) -> None:
    (job_id,) = shell.ids("submit", "--name", "model", "--", "true")

    def complete(words: str, number: int) -> list[str]:
        answer = shell.run(_JASMIN_ARC_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(number))
        assert answer.err == ""
        return [line.partition(",")[2] for line in answer.out.splitlines()]

    assert complete("jasmin-arc sub", 1) == ["submit"]
    assert "--timeout" in complete("jasmin-arc wait --t", 2)
    assert complete("jasmin-arc cat ", 2) == [job_id.rpartition("/")[2][:8], "model"]
    assert complete(f"jasmin-arc cat {job_id.rpartition('/')[2][:9]}", 2) == [job_id.rpartition("/")[2]]
    assert complete("jasmin-arc list --status fa", 3) == ["failed"]
    assert "local" not in complete("jasmin-arc submit -q ", 3)
    shell.run("site")
    assert complete("jasmin-arc submit -q ", 3) == complete("jasmin-arc run -q lo", 3) == ["local"]
    for name in ("bash", "zsh", "fish"):
        assert "_JASMIN_ARC_COMPLETE" in shell.run("completion", name).out


def test_bash_accepts_the_completion(shell: Shell) -> None:
    script = shell.run("completion", "bash").out
    assert subprocess.run(["bash", "-n"], input=script, text=True, env=dict(os.environ)).returncode == 0
