"""The command line with many jobs, as a person sees it and as a program does: all is told, in few lines."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_kit import LOSES_ITS_JOB_LIST, Shell

COLUMNS = 200


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path, {"JASMIN_ARC_BACKEND": "local"})
    yield shell
    shell.run("cancel", "--all", "--yes")


def short(job_id: str) -> str:
    """What a terminal shows of an id."""
    return job_id.rpartition("/")[2][:8]


def table(shell: Shell, count: int) -> list[str]:
    """Write a table of so many rows, and return the options that use it."""
    (shell.home / "t.csv").write_text("n\n" + "".join(f"{number}\n" for number in range(count)))
    return ["--table", "t.csv"]


def submit(shell: Shell, count: int, script: str, name: str = "m-{n}") -> list[str]:
    return shell.ids("submit", *table(shell, count), "--name", name, "--", "sh", "-c", script)


def hinted(text: str, what: str) -> list[str]:
    """Return the words of the command that is suggested for something."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"{what}: ")]
    return shlex.split(line.partition(": jasmin-arc ")[2])


# --- submit ---


@pytest.mark.parametrize(
    ("count", "name", "called", "means"),
    [
        (7, "m-{n}", "m-0 ... m-6", ["--name", "m-*"]),
        (7, "[x] it's {n}", "[x] it's 0 ... [x] it's 6", ["--name", "[[]x] it's *"]),
        (7, "{n}", "0 ... 6", ["--last", "7"]),
        (7, "same", "all called same", ["--name", "same*"]),
    ],
)
def test_many_jobs_are_told_in_one_line(shell: Shell, count: int, name: str, called: str, means: list[str]) -> None:
    shell.ids("submit", "--name", "other", "--", "true")
    shown = shell.terminal("submit", *table(shell, count), "--name", name, "--", "echo", "{n}", columns=COLUMNS).out
    assert f"{count} jobs submitted: {called}\n" in shown
    assert "local://" not in shown
    ids = shell.ids("list")[1:]
    assert len(ids) == count
    for what in ("Watch", "Results"):
        assert hinted(shown, what)[-len(means) :] == means
        assert shell.ids("list", *means) == ids


def test_a_name_that_fits_another_job_too_is_not_suggested(shell: Shell) -> None:
    shell.ids("submit", "--name", "m-old", "--", "true")
    shown = shell.terminal("submit", *table(shell, 6), "--name", "m-{n}", "--", "true", columns=COLUMNS).out
    assert hinted(shown, "Results") == ["output", "--last", "6"]


def test_jobs_that_only_their_ids_tell_apart_are_told_by_their_ids(shell: Shell) -> None:
    command = ["submit", *table(shell, 6), "--name", "m-{n}", "--", "true"]
    shown = shell.terminal(*command, columns=COLUMNS, program=LOSES_ITS_JOB_LIST).out
    assert shown.startswith("6 jobs submitted: m-0 ... m-5\n")
    assert shown.count("\nlocal://") == 6


def test_few_jobs_are_suggested_by_their_ids(shell: Shell) -> None:
    shown = shell.terminal("submit", *table(shell, 2), "--name", "m-{n}", "--", "true", columns=COLUMNS).out
    ids = [short(job_id) for job_id in shell.ids("list")]
    assert "2 jobs submitted: m-0, m-1\n" in shown
    assert hinted(shown, "Watch") == ["list", "--watch", *ids]


def test_programs_read_all_ids(shell: Shell) -> None:
    ids = submit(shell, 7, "true")
    assert len(ids) == 7
    document = shell.run("submit", "--json", *table(shell, 7), "--name", "x-{n}", "--", "true").json
    assert [row["name"] for row in document["results"]] == [f"x-{number}" for number in range(7)]
    assert shell.terminal("resubmit", *ids[:3], columns=COLUMNS).out.startswith("3 jobs submitted: m-0, m-1, m-2\n")


def test_a_check_of_many_jobs_is_one_line(shell: Shell) -> None:
    command = ["submit", "--check", *table(shell, 30), "--name", "m-{n}"]
    shown = shell.terminal(*command, "--", "true", columns=COLUMNS)
    assert (shown.code, shown.out) == (0, "30 jobs, m-0 ... m-29: nothing stands in the way\n")
    refused = shell.terminal(*command, "-n", "100000", "--", "true", columns=COLUMNS)
    assert refused.code == 1
    assert refused.out.startswith("30 jobs, m-0 ... m-29: slots: 100000 is over the limit")
    assert refused.out.count("\n") == 1
    assert shell.run(*command, "--", "true").out.count("nothing stands in the way\n") == 30


# --- list, wait ---


def test_a_terminal_lists_the_newest_and_counts_the_others(shell: Shell) -> None:
    ids = submit(shell, 53, "sleep 60")
    shown = shell.terminal("list", columns=COLUMNS).out
    assert shown.count(" m-") == 50
    assert short(ids[2]) not in shown
    told = "The newest 50 of 53 jobs. 3 of the others have not ended. With --all, all are shown.\n"
    assert shown.endswith(told)
    assert shell.terminal("list", "--all", columns=COLUMNS).out.count(" m-") == 53
    assert shell.terminal("list", "m-1*", columns=COLUMNS).out.count(" m-") == 11
    assert shell.ids("list") == ids
    assert len(shell.run("list", "--json").json["results"]) == 53
    shell.run("cancel", "--all")
    shell.run("wait", "--all")
    assert "The newest 50 of 53 jobs. With --all" in shell.terminal("list", columns=COLUMNS).out
    nothing = shell.terminal("output", "m-*", columns=COLUMNS).out
    assert nothing.count("nothing to save of") == nothing.count(" of 53 jobs: there is nothing to save of JOB; ") == 1
    errors = shell.run("output", "m-*", "--overwrite", "--json").json["errors"]
    assert {error["kind"] for error in errors} == {"OutputError"}
    assert {error["job"] for error in errors} <= set(ids)
    waited = shell.terminal("wait", *ids, columns=COLUMNS).out
    assert waited.count(" m-") == 50
    assert "53 jobs, 53 cancelled; 50 of them are shown\n" in waited
    assert "jasmin-arc: 53 of 53 jobs were cancelled\n" in waited


def test_list_takes_jobs_as_other_commands_do(shell: Shell) -> None:
    ids = submit(shell, 3, "true")
    assert shell.ids("list", "m-[01]") == ids[:2]
    assert shell.ids("list", ids[2], "m-0") == [ids[2], ids[0]]
    assert [line.split("\t")[0] for line in shell.run("list", "-", stdin="\n".join(ids)).out.splitlines()] == ids
    assert shell.run("list", "m-0", "--name", "m-*").code == 2
    assert shell.run("list", "nothing-like-it").code == 3
    shown = shell.terminal("list", "--watch", "m-*", "--interval", "1s", keys={"3 jobs": "\x03"})
    assert shown.code == 130


def test_wait_sums_up_and_leads_to_all_that_failed(shell: Shell) -> None:
    ids = submit(shell, 9, "test {n} -lt 2")
    waited = shell.terminal("wait", "m-*", columns=COLUMNS)
    assert waited.code == 4
    assert "9 jobs, 2 completed, 7 failed\n" in waited.out
    words = "explain --status failed --name 'm-*'"
    assert f'7 of 9 jobs failed; "jasmin-arc {words}" says why\n' in waited.out
    explained = shell.run(*shlex.split(words), "--json").json["results"]
    assert [row["id"] for row in explained] == ids[2:]
    two = shell.run("wait", *ids[:4])
    assert f"2 of 4 jobs failed; 'jasmin-arc explain {short(ids[2])} {short(ids[3])}' says why" in two.err
    # An older job of this name that failed as well is not meant.
    rest = shell.run("wait", *ids[3:])
    assert "6 of 6 jobs failed; 'jasmin-arc explain --status failed --last 6' says why" in rest.err
    neither = shell.run("wait", *ids[2:8])
    assert "6 of 6 jobs failed; 'jasmin-arc explain JOB...' says why" in neither.err


def test_explanations_are_separated_by_an_empty_line(shell: Shell) -> None:
    ids = submit(shell, 2, "exit 1")
    shell.run("wait", *ids)
    assert shell.run("explain", "local://nowhere/0", *ids).out.count("\n\n") == 1


@pytest.mark.parametrize("timeout", ["1", "0.5", "0", "1s", "00:00:01"])
def test_durations_have_one_form(shell: Shell, timeout: str) -> None:
    (job_id,) = shell.ids("submit", "--", "sleep", "60")
    answer = shell.run("wait", "--timeout", timeout, job_id)
    assert answer.code == 1
    assert "the job has not ended " in answer.err


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", "1e300", "", "5 parsecs"])
@pytest.mark.parametrize("option", ["wait --timeout", "list --interval", "list --since"])
def test_what_is_no_duration_is_refused(shell: Shell, option: str, value: str) -> None:
    answer = shell.run(*option.split(), value)
    assert answer.code == 2
    assert f"{option.split()[1]} must be a duration" in answer.err
    assert repr(value) in answer.err


# --- Files of many ---


def test_cat_prints_the_files_of_all_jobs_of_a_pattern(shell: Shell) -> None:
    ids = submit(shell, 3, "echo text {n}; echo {n} > r{n}.csv")
    shell.run("wait", *ids)
    assert shell.run("cat", "m-*").out == "text 0\ntext 1\ntext 2\n"
    titles = [f"==> m-{number} {short(job_id)} <==\ntext {number}\n" for number, job_id in enumerate(ids)]
    assert shell.terminal("cat", "m-*").out == "\n".join(titles)
    assert shell.terminal("cat", "m-1").out == "text 1\n"
    texts = shell.run("cat", "m-*", "--json").json["results"]
    assert [(row["id"], row["text"]) for row in texts] == [(i, f"text {n}\n") for n, i in enumerate(ids)]
    piped = shell.run("cat", "-", stdin="\n".join(ids[1:]))
    assert piped.out == "text 1\ntext 2\n"
    assert shell.run("cat", "m-1", "stdout", "stdout").out == "text 1\n" * 2


def test_many_jobs_without_a_file_are_one_line(shell: Shell) -> None:
    ids = submit(shell, 9, "true")
    shell.run("wait", *ids)
    answer = shell.run("cat", "m-*", "stdout", "nope")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("jasmin-arc: 9 of 9 jobs: the job JOB has no file 'nope'")
    assert answer.err.count("\n") == 1
    assert len(shell.run("cat", "m-*", "nope", "--json").json["errors"]) == 9


def test_a_file_that_is_not_there_leads_to_one_that_is(shell: Shell) -> None:
    (job_id,) = shell.ids(
        "submit",
        "--name",
        "a",
        "-o",
        "mean.csv",
        "-o",
        "d",
        "--",
        "sh",
        "-c",
        "mkdir d; echo 1 | tee d/mean.csv > mean.csv",
    )
    shell.run("wait", job_id)
    for command in ("cat", "follow"):
        answer = shell.run(command, "a", "means.csv")
        assert (answer.code, answer.out) == (3, "")
        assert answer.err == f"jasmin-arc: {short(job_id)} has no file 'means.csv'; did you mean 'mean.csv'?\n"
    assert "did you mean 'd/mean.csv'?" in shell.run("cat", "a", "d/men.csv").err
    assert "its files are: d, mean.csv, stderr, stdout" in shell.run("cat", "a", "quite-another").err
    document = shell.run("cat", "a", "means.csv", "--json").json
    assert document["errors"][0]["kind"] == "JobNotFoundError"


# --- Failures, ends ---


def test_failures_that_say_the_same_are_one_line(shell: Shell) -> None:
    unknown = [f"local://nowhere/{number:024}" for number in range(30)]
    answer = shell.run("status", *unknown)
    assert answer.code == 3
    assert answer.err == "jasmin-arc: 30 of 30 jobs: no job with this id could be found: JOB\n"
    assert shell.run("-v", "status", *unknown).err.count("no job with this id could be found: local://") == 30
    errors = shell.run("status", "--json", *unknown).json["errors"]
    assert [error["job"] for error in errors] == unknown
    assert all(error["job"] in error["message"] for error in errors)
    assert shell.run("status", *unknown[:2]).err.count("\n") == 2


def test_cleaning_many_asks_first_and_sums_up(shell: Shell) -> None:
    ids = submit(shell, 24, "true")
    shell.run("wait", *ids)
    shell.run("output", *ids[:22], "-d", "out")
    question = "Erase 24 jobs and their files? [y/N]: "
    declined = shell.terminal("clean", "--all", keys={question: "n\r"}, columns=COLUMNS)
    assert declined.code == 1
    assert "jasmin-arc: nothing was done\n" in declined.out
    assert len(shell.ids("list")) == 24
    cleaned = shell.terminal("clean", *ids[3:], keys={"Erase 21 jobs": "y\r"}, columns=COLUMNS)
    assert cleaned.out.count(" erased\n") == 19
    assert cleaned.out.count("were never saved") == 2
    assert shell.ids("list") == [*ids[:3], *ids[22:]]
    few = shell.terminal("clean", *ids[:3], columns=COLUMNS)
    assert few.out.count(" erased") == 3
    assert "[y/N]" not in few.out


def test_cleaning_many_without_a_question(shell: Shell) -> None:
    ids = submit(shell, 24, "true")
    shell.run("wait", *ids)
    refused = shell.run("clean", "--all")
    assert refused.code == 1
    told = "24 of 24 jobs: the outputs of JOB were never saved; save them first, or erase them with --force"
    assert refused.err == f"jasmin-arc: {told}\n"
    erased = shell.terminal("clean", "--all", "--force", "--yes")
    assert (erased.code, erased.out) == (0, "24 jobs erased\n")


def test_two_terminals_may_erase_the_same_jobs(shell: Shell) -> None:
    submit(shell, 60, "mkdir -p output/a/b; touch output/a/b/c output/x")
    shell.run("wait", "--all")
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(shell.process("clean", "--name", "m-*", "--force")))
        for _ in "12"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "cannot be erased" not in "".join(answer.err for answer in answers)
    assert shell.run("list").out == ""


def test_cancelling_many_asks_first(shell: Shell) -> None:
    ids = submit(shell, 22, "sleep 60")
    declined = shell.terminal("cancel", "--all", keys={"Cancel 22 jobs? [y/N]: ": "\r"})
    assert declined.code == 1
    assert shell.run("status", "--all").out.count("\tfailed\t") == 0
    assert shell.run("cancel", *ids).out.count("\tcancelled\n") == 22


def test_people_read_cancelled_and_programs_read_failed(shell: Shell) -> None:
    cancelled, failed = (
        shell.ids("submit", "--name", name, "--", *command)[0]
        for name, command in (("stopped", ["sleep", "60"]), ("broken", ["false"]))
    )
    shell.run("cancel", cancelled)
    both = shell.run("wait", cancelled, failed)
    assert both.out.splitlines() == [f"{cancelled}\tfailed\tstopped", f"{failed}\tfailed\tbroken"]
    assert both.err == (
        f"jasmin-arc: 1 of 2 jobs failed and 1 was cancelled; 'jasmin-arc explain {short(failed)}' says why\n"
    )
    alone = shell.run("wait", cancelled)
    assert (alone.code, alone.err) == (4, "jasmin-arc: the job was cancelled\n")
    assert shell.ids("list", "--status", "cancelled") == [cancelled]
    assert shell.ids("status", "--status", "cancelled") == [cancelled]
    rows = shell.run("wait", "--json", cancelled, failed).json["results"]
    assert [(row["status"], row["state"]) for row in rows] == [("failed", "Killed"), ("failed", "Failed")]
    for command in (["list"], ["wait", "--all"], ["status", "--all"]):
        shown = shell.terminal(*command, columns=60).out
        assert [line.split()[1] for line in shown.splitlines() if line.startswith(short(cancelled))] == ["cancelled"]
        assert [line.split()[1] for line in shown.splitlines() if line.startswith(short(failed))] == ["failed"]
    assert "2 jobs, 1 cancelled, 1 failed" in shell.terminal("list", "--watch", keys={"2 jobs": "\x03"}).out
    assert "cancelled" in shell.terminal("show", cancelled).out


# --- show, run ---


def test_show_tells_what_was_run_and_no_secret(shell: Shell) -> None:
    (shell.home / "in.txt").write_text("")
    (shell.home / "sent.txt").write_text("")
    options = ["-e", "TOKEN=hunter2", "-i", "in.txt", "-i", "other=sent.txt", "-o", "o.nc", "-t", "2h", "-m", "1 GB"]
    (job_id,) = shell.ids("submit", *options, "--", "echo", "a b", "https://me:hunter2@example.org/x?key=hunter2")
    shown = shell.terminal("show", job_id, columns=COLUMNS).out
    fields = {line[:14].strip(): line[14:].strip() for line in shown.splitlines()}
    assert fields["command"] == "echo 'a b' 'https://...example.org/x?...'"
    assert fields["inputs"] == "~/in.txt, other=~/sent.txt"
    assert (fields["outputs"], fields["environment"]) == ("o.nc", "TOKEN")
    assert "1.0 GB" in fields["asked for"]
    piped = dict(line.split("\t", 1) for line in shell.run("show", job_id).out.splitlines())
    assert piped["command"] == fields["command"]
    answer = shell.run("show", "--json", job_id)
    description = answer.json["results"][0]["description"]
    assert description["commands"] == [["echo", "a b", "https://...example.org/x?..."]]
    assert (description["inputs"]["other"], description["wall_time"]) == ("~/sent.txt", 7200)
    assert description["environment"] == ["TOKEN"]
    assert "hunter2" not in shown + answer.out


def test_run_says_that_a_job_waits(shell: Shell) -> None:
    shell.options = {**shell.options, "JASMIN_ARC_LOCAL_SLOTS": "1"}
    shell.ids("submit", "--", "sleep", "60")
    shown = shell.terminal("run", "--", "true", keys={"queued ": "\x03"})
    assert "running " not in shown.err


def test_run_may_erase_its_job(shell: Shell) -> None:
    (shell.home / "in.txt").write_text("")
    answer = shell.run("run", "--clean", "-i", "in.txt", "--", "echo", "text")
    assert (answer.code, answer.out, answer.err) == (0, "text\n", "")
    saved = shell.run("run", "--clean", "--save", "r", "-o", "o", "--", "touch", "o")
    assert (saved.code, (shell.home / "r" / "o").exists()) == (0, True)
    assert shell.run("list").out == ""
    assert shell.run("run", "--json", "--clean", "--save", "s", "--", "true").json["results"][0]["erased"] is True
    not_safe = shell.run("run", "--json", "--clean", "--", "true")
    assert (not_safe.code, not_safe.json["results"]) == (2, [])


def test_run_erases_nothing_that_is_still_needed(shell: Shell) -> None:
    refused = shell.run("run", "--clean", "-o", "o", "--", "touch", "o")
    assert refused.code == 2
    assert "--clean would erase the job's outputs too" in refused.err
    assert shell.run("list").out == ""
    kept = shell.run("run", "--clean", "--name", "kept", "--", "touch", "output")
    assert kept.code == 0
    assert "the job was not erased: its output 'output' was not saved" in kept.err
    assert shell.run("run", "--clean", "--name", "bad", "--", "false").code == 1
    assert [line.split("\t")[-1] for line in shell.run("list").out.splitlines()] == ["kept", "bad"]


def test_run_tells_a_cancelled_job(shell: Shell) -> None:
    def cancel() -> None:
        while not shell.process("list", "--name", "mine", "--status", "in-progress").out:
            time.sleep(0.1)
        shell.process("cancel", "mine")

    thread = threading.Thread(target=cancel)
    thread.start()
    answer = shell.process("run", "--name", "mine", "--", "sleep", "60")
    thread.join()
    assert (answer.code, answer.err) == (4, "jasmin-arc: the job was cancelled\n")


def test_what_was_refused_before_it_was_sent_leaves_nothing_to_settle(shell: Shell) -> None:
    (shell.home / "file").write_text("")
    for command in ("submit", "run"):
        answer = shell.run(command, "--", "true", JASMIN_ARC_JOBS_INFO_FILE=str(shell.home / "file" / "jobs.dat"))
        assert answer.code == 1
        assert "settles" not in answer.err
        assert answer.err.count("\n") == 1
