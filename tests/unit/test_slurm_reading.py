"""What is read of Slurm's answers and of listings, and what is written for a shell."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jasmin_arc import InputFileError, InvalidJobDescription, JobDescription, JobSubmissionError
from jasmin_arc._support.ranges import compact, expanded
from jasmin_arc.backends.shell.archive import archive
from jasmin_arc.backends.shell.session import read_listing, unquoted
from jasmin_arc.backends.shell.ssh import Ssh
from jasmin_arc.backends.slurm.cluster import Facts, Place, _quoted_path
from jasmin_arc.backends.slurm.states import GENERAL_STATES, Row, Seen, read_ids, read_look
from jasmin_arc.constants import JobState
from jasmin_arc.description.formats.sbatch import sbatch_options, script_with_modules
from jasmin_arc.description.quantities import duration_in
from jasmin_arc.staging.inputs import plan_inputs

BATCH = "20261122-021503-0123abcd"
TOKEN = "89abcdef00a003"
# What may be in a file name: all but / and NUL, also what is no UTF-8.
NAMES = st.binary(min_size=1, max_size=30).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)


def line(number: str, state: str, comment: str, *, reason: str = "None", exit_code: str = "0") -> str:
    """A line as squeue prints it, which fills columns with blanks."""
    columns = [number, state, exit_code, reason, "short", "1", "1700000000", "N/A", "N/A", "", "mygws", "standard", "0"]
    return "".join(f"{column:<5}|" for column in columns) + comment


def place(token: str = TOKEN, batch: str = BATCH) -> Place:
    return Place(batch, token)


def look_text(lines: list[str], names: list[str], *, heading: str = f"batch {BATCH}  decided", head: str = "") -> str:
    return "\n".join([f"{head}queue", "1700000000", *lines, heading, *names, "end", ""])


# --- look ---------------------------------------------------------------------------------------------------------


def test_a_job_is_found_by_its_comment_offset_and_index() -> None:
    rows = [
        line("7_2", "RUNNING", f"jasmin_arc/{BATCH}/10"),
        line("7_3", "FAILED", f"jasmin_arc/{BATCH}/10", exit_code="768"),
        line("8", "PENDING", f"jasmin_arc/{BATCH}/0", reason="Priority"),
        line("9", "COMPLETED", "of somebody else | with a bar"),
        line("10", "COMPLETED", "jasmin_arc/20261122-021503-ffffffff/10"),
    ]
    look = read_look(look_text(rows, [TOKEN, f"{BATCH}/marks:", f"{TOKEN}.run"]), [BATCH])
    assert look.silent == []
    assert place() in look
    assert place("89abcdef00a002") not in look
    row = look.row(place())
    assert row is not None
    assert (row.native_id, row.state, row.exit_code) == ("7_3", "FAILED", "768")
    assert look.row(place("89abcdef00a002")).state == "RUNNING"  # type: ignore[union-attr]
    assert look.row(place("89abcdef000000")).reason == "Priority"  # type: ignore[union-attr]
    assert look.row(place("89abcdef00a004")) is None
    assert len(list(look.all_rows())) == 3


def test_an_array_that_was_cancelled_whole_stands_for_all_its_jobs() -> None:
    look = read_look(look_text([line("7", "CANCELLED", f"jasmin_arc/{BATCH}/10")], [TOKEN]), [BATCH])
    assert look.seen(place()).state is JobState.KILLED


@pytest.mark.parametrize("reason", ["Job's account not permitted (orchid allows orchid not mygws)", "a|b", "||", ""])
def test_whatever_the_reason_is_the_job_is_found(reason: str) -> None:
    look = read_look(look_text([line("8", "PENDING", f"jasmin_arc/{BATCH}/10", reason=reason)], [TOKEN]), [BATCH])
    row = look.row(place("89abcdef00a000"))
    assert row is not None
    assert row.general is JobState.QUEUING
    assert row.native_id == "8"


@pytest.mark.parametrize(
    ("names", "state"),
    [
        ([], JobState.QUEUING),
        ([f"{TOKEN}.run"], JobState.RUNNING),
        ([f"{TOKEN}.0"], JobState.FINISHED),
        ([f"{TOKEN}.3"], JobState.FAILED),
        ([f"{TOKEN}.143t", f"{TOKEN}.cancelled"], JobState.KILLED),
        ([f"{TOKEN}.0", f"{TOKEN}.cancelled"], JobState.FINISHED),
        ([f"{TOKEN}.run", f"{TOKEN}.cancelled"], JobState.RUNNING),
        (["89abcdef00a0030.3", "89ABCDEF00A003.3", f"{TOKEN}.x", f"{TOKEN}.-1", f"x{TOKEN}.3"], JobState.QUEUING),
    ],
)
def test_what_a_job_has_marked_is_newer_than_what_slurm_says(names: list[str], state: JobState) -> None:
    rows = [line("7_3", "PENDING", f"jasmin_arc/{BATCH}/10")]
    look = read_look(look_text(rows, [f"{BATCH}:", TOKEN, f"{BATCH}/marks:", *names]), [BATCH])
    assert look.seen(place()).state is state


def test_slurms_own_end_stands_above_the_mark() -> None:
    rows = [line("7_3", "TIMEOUT", f"jasmin_arc/{BATCH}/10", exit_code="15")]
    look = read_look(look_text(rows, [TOKEN, f"{TOKEN}.0t"]), [BATCH])
    assert look.seen(place()).state is JobState.FAILED


def test_a_job_that_nobody_knows_has_no_state() -> None:
    look = read_look(look_text([], [TOKEN]), [BATCH])
    assert look.seen(place()).state is None
    # A job whose submission is not finished, or that is newer than Slurm's answer, is not missing.
    assert (
        read_look(look_text([], [TOKEN], heading=f"batch {BATCH}  "), [BATCH]).seen(place()).state is JobState.ACCEPTED
    )
    young = read_look(look_text([], [TOKEN], heading=f"batch {BATCH} young decided"), [BATCH])
    assert young.seen(place()).state is JobState.QUEUING


def test_silence_is_told_with_its_reason() -> None:
    look = read_look(look_text([], [TOKEN], head="silent slurm_load_jobs error\nsilent\n"), [BATCH])
    assert look.silent == ["slurm_load_jobs error", ""]


@given(st.text(alphabet=st.sampled_from("queue\nbatch |/_.0123456789abcdef-jasmin_rCOMPLETED "), max_size=200))
def test_nothing_that_squeue_prints_makes_reading_fail(text: str) -> None:
    look = read_look(
        f"queue\n1\n{text}\n{line('7_3', 'RUNNING', f'jasmin_arc/{BATCH}/10')}\nbatch {BATCH}  decided\n{TOKEN}\nend\n",
        [BATCH],
    )
    assert place() in look or "\nbatch " in f"\n{text}" or "queue" in text


def test_each_state_of_slurm_that_is_final_is_final_here() -> None:
    running = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "RESIZING", "REQUEUED", "STAGE_OUT"}
    assert not any(GENERAL_STATES[word].final for word in running)
    ended = {"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "BOOT_FAIL"}
    assert all(GENERAL_STATES[word].final for word in ended)


# --- Slurm's numbers ----------------------------------------------------------------------------------------------


def test_the_answers_of_sbatch_are_read_and_requests_without_one_are_not() -> None:
    told = f"{BATCH} 0\n{BATCH} 0 0 123;grid 5\n{BATCH} 5\n{BATCH} 5 1  2\n{BATCH} 7\n{BATCH} 8\n{BATCH} 8 skipped  1\n"
    assert read_ids(told) == {(BATCH, 0): ("123", 5)}


@given(
    st.lists(
        st.one_of(
            st.integers(1, 99).map(str),
            st.builds("{}_{}".format, st.integers(100, 105), st.integers(0, 30)),
        ),
        unique=True,
        max_size=60,
    )
)
def test_numbers_that_were_written_shortly_expand_to_the_same(numbers: list[str]) -> None:
    assert sorted(number for short in compact(numbers) for number in expanded(short)) == sorted(numbers)


def test_many_jobs_of_an_array_are_written_shortly() -> None:
    assert compact([f"7_{index}" for index in range(1000)] + ["8", "7_1005"]) == ["7_[0-999,1005]", "8"]
    assert expanded("7_[0-2,5%3]") == ["7_0", "7_1", "7_2", "7_5"]
    assert expanded("7_[0-3%2]") == ["7_0", "7_1", "7_2", "7_3"]


@given(st.text(alphabet="0123456789_[]-,%.batch", max_size=30))
def test_a_number_that_is_no_array_stays_as_it_is(number: str) -> None:
    assert len(expanded(number)) < 10**6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1-12:00:00", timedelta(days=1, hours=12)),
        ("24:00:00", timedelta(days=1)),
        ("00:00:30", timedelta(seconds=30)),
        *(
            (text, None)
            for text in ("", "UNLIMITED", "INFINITE", "n/a", "Partition_Limit", "1-", "-5", "1:2:3:4", "9" * 99)
        ),
    ],
)
def test_time_limits_are_read_as_slurm_writes_them(text: str, expected: timedelta | None) -> None:
    assert duration_in(text) == expected


@given(st.integers(1, 10**8))
def test_a_time_limit_in_slurms_longest_form_is_read(seconds: int) -> None:
    days, rest = divmod(seconds, 86400)
    text = f"{days}-{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    assert duration_in(text) == timedelta(seconds=seconds)


@given(st.text(alphabet="0123456789:-", max_size=40))
def test_no_time_limit_makes_reading_fail(text: str) -> None:
    duration_in(text)


def test_facts_without_a_number_have_a_value_that_is_safe() -> None:
    facts = Facts("/d", {"DefMemPerCPU": "UNLIMITED"}, {"p": {"Default": "YES", "DefMemPerCPU": "512"}})
    assert (facts.name, facts.max_array_size, facts.default_partition) == ("slurm", 1, "p")
    assert facts.default_memory("") == 512
    assert facts.default_memory("q") == 1024


# --- listings -----------------------------------------------------------------------------------------------------


def listed(folder: Path, *flags: str) -> str:
    command = ["ls", *flags, "--time-style=+%s", "--quoting-style=c", "."]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, check=True
    ).stdout


@given(st.dictionaries(NAMES, st.integers(0, 3), min_size=1, max_size=6), NAMES)
def test_what_ls_prints_of_any_names_is_read(files: dict[bytes, int], folder: bytes) -> None:
    with tempfile.TemporaryDirectory() as top:
        files.pop(folder, None)
        inside = Path(top, os.fsdecode(folder))
        inside.mkdir()
        for name, size in files.items():
            Path(top, os.fsdecode(name)).write_bytes(b"x" * size)
            Path(inside, os.fsdecode(name)).write_bytes(b"y" * size)
        (inside / "link").symlink_to('nowhere -> "there"') if not (inside / "link").exists() else None
        entries, links = read_listing(listed(Path(top), "-AnlR"), "p/")
    found = {entry.name: entry.size for entry in entries if not entry.is_dir}
    expected = {f"p/{os.fsdecode(name)}": size for name, size in files.items()}
    expected |= {f"p/{os.fsdecode(folder)}/{os.fsdecode(name)}": size for name, size in files.items()}
    assert found == expected
    assert [entry.name for entry in entries if entry.is_dir] == [f"p/{os.fsdecode(folder)}"]
    assert links == [] if b"link" in files else [f"p/{os.fsdecode(folder)}/link"]


@given(st.text(max_size=60))
def test_no_listing_makes_reading_fail(text: str) -> None:
    read_listing(text, "")
    unquoted(text.encode("ascii", "replace").decode())


# --- archives -----------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.lists(NAMES, min_size=1, max_size=12).map(b"/".join), st.binary(max_size=2000), max_size=6))
def test_any_tar_reads_the_archive_as_it_was_meant(files: dict[bytes, bytes]) -> None:
    blocks = b"".join(archive((os.fsdecode(name), content) for name, content in files.items()))
    with tarfile.open(fileobj=io.BytesIO(blocks), errors="surrogateescape", encoding="utf-8") as packed:
        members = packed.getmembers()
        assert all(member.mode == 0o600 and member.isfile() and not member.uid for member in members)
        contents = {member.name: packed.extractfile(member).read() for member in members}  # type: ignore[union-attr]
    assert contents == {os.fsdecode(name): content for name, content in files.items()}
    assert len(blocks) % 512 == 0


def test_gnu_tar_unpacks_long_names_and_names_that_are_no_utf_8(tmp_path: Path) -> None:
    names = [
        "a" * 200 + "/" + "b" * 200,
        "\udcff\udcfe",
        "-rf",
        "new\nline",
        "ü",
        "back\\slash",
        "--checkpoint-action=exec=sh",
    ]
    blocks = b"".join(archive((f"top/{name}", name.encode("utf-8", "surrogateescape")) for name in names))
    subprocess.run(["tar", "-xf", "-"], input=blocks, cwd=tmp_path, check=True)
    for name in names:
        assert os.fsencode((tmp_path / "top" / name).read_bytes()) == os.fsencode(name)


@pytest.mark.parametrize("size", [9, 11])
def test_an_input_that_changes_its_size_stops_the_archive(tmp_path: Path, size: int) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"x" * 10)
    inputs = plan_inputs(JobDescription("cat", inputs={"in": str(path)}), script=script_with_modules)
    path.write_bytes(b"x" * size)
    with pytest.raises(InputFileError, match=f"'in'.* had 10 bytes .* has {size} now"):
        list(archive((f"s/{staged.name}", staged) for staged in inputs))


# --- options ------------------------------------------------------------------------------------------------------


def options(**fields: Any) -> list[str]:
    """With what is configured, where a test says so."""
    configured = {name: fields.pop(f"configured_{name}", "") for name in ("account", "partition", "qos")}
    return list(sbatch_options(JobDescription("true", **fields), **configured, memory=1024))


def test_a_job_that_asks_for_nothing_says_its_memory_all_the_same() -> None:
    assert options() == ["--mem-per-cpu=1024M", "--ntasks=1", "--no-requeue"]


def test_a_job_comes_before_what_is_configured() -> None:
    configured = {"configured_account": "mygws", "configured_partition": "standard", "configured_qos": "short"}
    assert options(**configured)[:3] == ["--account=mygws", "--partition=standard", "--qos=short"]
    named = options(**configured, account="a", queue="q", native={"qos": "high", "exclusive": "", "gres": "gpu:1"})
    assert named[:3] == ["--account=a", "--partition=q", "--qos=high"]
    assert named[-3:] == ["--exclusive", "--gres=gpu:1", "--no-requeue"]


@pytest.mark.parametrize(
    ("fields", "option"),
    [
        ({"wall_time": timedelta(seconds=61)}, "--time=2"),
        ({"wall_time": timedelta(seconds=1)}, "--time=1"),
        ({"wall_time": timedelta(days=2)}, "--time=2880"),
        ({"cpu_time": timedelta(hours=4), "slots": 2}, "--time=120"),
        ({"memory": 1}, "--mem-per-cpu=1M"),
        ({"memory": 2**20 + 1}, "--mem-per-cpu=2M"),
        ({"slots": 4, "slots_per_host": 2}, "--ntasks-per-node=2"),
        ({"rerun": 1}, "--requeue"),
    ],
)
def test_limits_are_never_less_than_what_is_asked_for(fields: dict[str, object], option: str) -> None:
    assert option in options(**fields)


@pytest.mark.parametrize("name", ["hold", "array", "export", "wrap", "chdir", "comment", "output", "parsable", "wait"])
def test_an_option_that_the_library_sets_itself_is_refused(name: str) -> None:
    with pytest.raises(InvalidJobDescription, match=f"native: {name}"):
        options(native={name: "x"})


@pytest.mark.parametrize(("name", "field"), [("partition", "queue"), ("time", "wall_time"), ("mem", "memory")])
def test_an_option_that_is_a_field_is_refused_with_its_name(name: str, field: str) -> None:
    with pytest.raises(InvalidJobDescription, match=f"give it as the field {field}"):
        options(native={name: "x"})


@pytest.mark.parametrize(
    "fields", [{"inputs": {"in": "https://example.org/x"}}, {"outputs": {"out": "https://example.org/x"}}]
)
def test_what_slurm_cannot_fetch_or_send_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(JobSubmissionError, match="URL"):
        options(**fields)


# --- scripts ------------------------------------------------------------------------------------------------------


def run(description: JobDescription, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    session = tmp_path / "session"
    session.mkdir()
    script = session / ".jasmin_arc_run"
    script.write_bytes(script_with_modules(description, ()))
    interpreter = script.read_text().splitlines()[0].removeprefix("#!").split()
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], **environment}
    return subprocess.run([*interpreter, str(script)], cwd=session, env=home, capture_output=True, text=True)


def test_a_job_without_modules_runs_in_the_plain_shell() -> None:
    assert script_with_modules(JobDescription("true"), ()).startswith(b"#!/bin/sh\n")


def test_modules_are_loaded_in_their_order_before_the_job_begins(tmp_path: Path) -> None:
    # As a site defines it for its login shells.
    (tmp_path / ".bash_profile").write_text('module() { echo "$@"; export LOADED=$2; }\n')
    description = JobDescription("sh", ["-c", 'echo "$LOADED"'], runtime_environments=["jaspy/3.11", "it's;exit"])
    done = run(description, tmp_path)
    assert done.stdout.splitlines() == ["load jaspy/3.11", "load it's;exit", "it's;exit"]
    assert done.returncode == 0


def test_a_module_that_cannot_be_loaded_ends_the_job_and_is_written_down(tmp_path: Path) -> None:
    (tmp_path / ".bash_profile").write_text('module() { [ "$2" = good ]; }\n')
    done = run(JobDescription("echo", ["begun"], runtime_environments=["good", "%s-bad"]), tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the module %s-bad could not be loaded" in done.stderr
    assert (tmp_path / "module").read_text() == "%s-bad\n"


@pytest.mark.parametrize(
    ("path", "word"),
    [("~", "/h"), ("~/a b", "/h/a b"), ("/a;b", "/a;b"), ("$HOME/x", "$HOME/x"), ("~/$(id)", "/h/$(id)"), ("a~", "a~")],
)
def test_a_configured_path_is_one_word_of_a_shell_with_the_home_in_it(path: str, word: str) -> None:
    command = ["/bin/sh", "-c", f'set -- {_quoted_path(path)}; printf %s,%s $# "$1"']
    done = subprocess.run(command, env={"HOME": "/h"}, capture_output=True, text=True, check=True)
    assert done.stdout == f"1,{word}"


# --- ssh ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "told", "advice"),
    [
        ("Host key verification failed.\r\n", "host key of h is not known", "ssh h"),
        ("u@h: Permission denied (publickey).\r\n", "wants a password or a key", "ssh -fN"),
        ("ssh: Could not resolve hostname h: Name or service not known", "Could not resolve", "~/.ssh/config"),
        ("ssh: connect to host h port 22: Connection refused", "Connection refused", ""),
        ("", "the connection was cut", ""),
    ],
)
def test_what_ssh_says_becomes_one_line_with_what_to_do(
    said: str, told: str, advice: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    error = Ssh("h", timeout=5).failure(said)
    assert told in error.message
    assert "\n" not in str(error)
    assert advice in error.advice


def test_a_job_that_runs_again_waits_though_its_first_run_has_left_a_mark() -> None:
    columns = ["7", "PENDING", "0", "BeginTime", "short", "1", "1", "N/A", "N/A", "", "mygws", "standard", "1", "c"]
    again = Row.of("|".join(columns))
    assert Seen(row=again, is_running=True).state is JobState.QUEUING
    assert Seen(row=again._replace(restarts="0"), is_running=True).state is JobState.RUNNING


def test_a_job_that_slurm_has_never_listed_is_not_yet_killed_by_being_cancelled() -> None:
    assert Seen(is_cancelled=True, is_young=True).state is JobState.QUEUING
    assert Seen(is_cancelled=True).state is JobState.KILLED


def test_a_program_that_ends_well_when_it_is_told_to_end_was_cancelled() -> None:
    assert Seen(code=0, was_told_to_end=True, is_cancelled=True).state is JobState.KILLED
    assert Seen(code=0, is_cancelled=True).state is JobState.FINISHED
