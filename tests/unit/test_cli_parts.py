"""The command line's parts that need no process: tables, placeholders, what is printed, and the words for it."""

from __future__ import annotations

import ast
import errno
import io
import json
import os
import re
import secrets
import shlex
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from job_list_kit import add

from jasmin_arc import ArcInterface, JobDescription
from jasmin_arc._support.text import last_part, one_line
from jasmin_arc._support.values import for_programs, short_ids
from jasmin_arc.cli import descriptions as reading
from jasmin_arc.cli.app import COMMANDS, ELSEWHERE, SECTIONS, ArcGroup, root
from jasmin_arc.cli.commands import setup
from jasmin_arc.cli.context import Context, shell_words
from jasmin_arc.cli.descriptions import check_placeholders, descriptions, fill, read_table
from jasmin_arc.cli.exit_codes import exit_code
from jasmin_arc.cli.groups import SHOWN, options_for
from jasmin_arc.cli.output import console
from jasmin_arc.cli.process import run
from jasmin_arc.cli.selection import complete_job
from jasmin_arc.config import OPTIONS
from jasmin_arc.display.columns import FILES, Column
from jasmin_arc.display.site import QUEUES
from jasmin_arc.display.tables import make_record, make_table
from jasmin_arc.exceptions import (
    PYTHON_WORDS,
    Advice,
    InputFileError,
    InvalidJobDescription,
    JasminArcError,
    JobListError,
    OutputError,
    ServerUnavailableError,
)
from jasmin_arc.job_list import JobList, JobRecord

PAGE = Path(__file__).resolve().parents[2] / "docs" / "command_line.md"


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory, with jobs on this machine."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("JASMIN_ARC_BACKEND", "local")
    return tmp_path


def commands(group: click.Group = root, prefix: str = "") -> dict[str, click.Command]:
    """All commands, those of groups included."""
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found[prefix + name] = command
        if isinstance(command, ArcGroup):
            found.update(commands(command, f"{prefix}{name} "))
    return found


# --- Commands and documentation ---


def test_every_command_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in commands() if f"`{name}" not in page] == []


def test_every_option_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    names = {
        max(parameter.opts, key=len)
        for command in [root, *commands().values()]
        for parameter in command.get_params(click.Context(command))
        if isinstance(parameter, click.Option)
    }
    assert sorted(name for name in names if f"`{name}" not in page) == []


def test_the_list_of_commands_says_what_each_says_itself() -> None:
    for name, text in [entry for section in SECTIONS.values() for entry in section.items()]:
        assert (commands()[name].help or "").partition("\n")[0].startswith(text), name


def test_other_names_lead_to_commands() -> None:
    assert {target for target in ELSEWHERE.values() if target not in COMMANDS} == {"--help"}


def test_help_loads_only_what_it_needs() -> None:
    code = (
        "import sys\n"
        "from jasmin_arc.cli.process import run\n"
        "assert run(['--help']) == 0\n"
        "print(sorted({'rich', 'tqdm', 'urllib3', 'cryptography', 'sqlite3', 'arc', 'jasmin_arc.cli.commands.watch'}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def test_every_command_explains_itself() -> None:
    for name, command in commands().items():
        text = command.get_help(click.Context(command, info_name=name))
        assert "Options of all commands:" in text, name
        assert "--json" in text, name


# --- Tables of jobs ---


def test_a_table_is_csv_or_tsv(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbfyear, model\n1961,"a,b"\n\n1962,c\n')
    (tmp_path / "b.tsv").write_text("year\tmodel\n1961\ta,b\n")
    assert read_table(str(tmp_path / "a.csv")) == [{"year": "1961", "model": "a,b"}, {"year": "1962", "model": "c"}]
    assert read_table(str(tmp_path / "b.tsv")) == [{"year": "1961", "model": "a,b"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "needs a line with the names"),
        (b"year\n", "a line for each job"),
        (b"year,year\n1,2\n", "a name of its own"),
        (b"year,\n1,2\n", "a name of its own"),
        (b"year,model\n1961\n", "line 2: has 1 values for 2 columns"),
        (b'year\n"1\n', "not a valid table"),
        (b"year\n\xff\n", "not UTF-8"),
    ],
)
def test_a_broken_table_is_told(tmp_path: Path, text: bytes, told: str) -> None:
    (tmp_path / "t.csv").write_bytes(text)
    with pytest.raises(InvalidJobDescription, match=told):
        read_table(str(tmp_path / "t.csv"))
    with pytest.raises(InputFileError):
        read_table(str(tmp_path / "missing.csv"))


@given(st.text(), st.dictionaries(st.text("abc", min_size=1), st.text()))
def test_values_are_never_filled_in_twice(text: str, row: dict[str, str]) -> None:
    assert fill("{a}{b}", {"a": "{b}", "b": "{a}"}) == "{b}{a}"
    if "{" not in text:
        assert fill(text, row) == text
    for name, value in row.items():
        assert fill(f"<{{{name}}}>", row) == f"<{value}>"


def test_braces_of_other_programs_stay() -> None:
    row = {"year": "1961"}
    for text in ("{print $1}", "${HOME}", "{}", "{{year}", "a{1,2}"):
        assert fill(text, row).replace("1961", "{year}") == text
    assert fill([("in", "{year}.nc"), {"Y": "{ year }"}], row) == [["in", "1961.nc"], {"Y": "1961"}]


def test_a_misspelt_column_is_told() -> None:
    check_placeholders(["awk", "{print}", "{year}"], ["year"])
    with pytest.raises(InvalidJobDescription, match=r"no column 'yaer'; did you mean \{year\}\?"):
        check_placeholders(["{yaer}"], ["year"])
    with pytest.raises(InvalidJobDescription, match="uses no column"):
        check_placeholders(["{print}"], ["year", "model"])


def test_only_a_line_end_ends_a_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("name,text\r\na,foo\u2028bar\r\nb,one\x0ctwo\n".encode())
    assert read_table(str(tmp_path / "t.csv")) == [
        {"name": "a", "text": "foo\u2028bar"},
        {"name": "b", "text": "one\x0ctwo"},
    ]


# --- Descriptions ---


def test_options_override_what_a_file_says(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"executable": "x", "queue": "long", "slots": 2}')
    (job,) = descriptions([str(tmp_path / "job.json")], None, None, {"queue": "short"})
    assert (job.queue, job.slots) == ("short", 2)


def test_inputs_with_and_without_names() -> None:
    inputs = ("data/a.nc", "b=data/a.nc", "https://example.org/x/c.nc")
    (job,) = descriptions([], ["x"], None, {"inputs": inputs})
    assert {name: str(source) for name, source in job.inputs.items()} == {
        "a.nc": "data/a.nc",
        "b": "data/a.nc",
        "c.nc": "https://example.org/x/c.nc",
    }
    with pytest.raises(InvalidJobDescription, match=r"two of them are called 'a\.nc'"):
        descriptions([], ["x"], None, {"inputs": ("1/a.nc", "2/a.nc")})


@pytest.mark.parametrize(
    ("given", "pair"),
    [
        ("in.txt", ("in.txt", "in.txt")),
        ("other=in.txt", ("other", "in.txt")),
        ("data/in.txt=in.txt", ("data/in.txt", "in.txt")),
        ("data/a=b.txt", ("a=b.txt", "data/a=b.txt")),
        ("https://example.org/data.nc?token=abc", ("data.nc", "https://example.org/data.nc?token=abc")),
        ("x.nc=https://example.org/data.nc?token=abc", ("x.nc", "https://example.org/data.nc?token=abc")),
        ("data/x.nc=s3://bucket/x", ("data/x.nc", "s3://bucket/x")),
    ],
)
def test_an_input_may_have_an_equals_sign_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, pair: tuple[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a=b.txt").write_text("")
    (tmp_path / "job.json").write_text('{"executable": "x"}')
    (tmp_path / "t.csv").write_text(f"input\n{given}\n")
    jobs = [
        *descriptions([], ["x"], None, {"inputs": (given,)}),
        *descriptions(["job.json"], None, None, {"inputs": (given,)}),
        *descriptions([], ["x"], "t.csv", {"inputs": ("{input}",)}),
    ]
    assert [[(name, str(source)) for name, source in job.inputs.items()] for job in jobs] == [[pair]] * 3


def test_a_placeholder_may_stand_in_a_path_with_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "year=1961").mkdir(parents=True)
    (tmp_path / "data" / "year=1961" / "sst.nc").write_text("")
    (tmp_path / "t.csv").write_text("year\n1961\n")
    fields = {"inputs": ("data/year={year}/sst.nc", "{year}.nc=data/{year}.nc")}
    (job,) = descriptions([], ["x"], "t.csv", fields)
    assert {name: str(source) for name, source in job.inputs.items()} == {
        "sst.nc": "data/year=1961/sst.nc",
        "1961.nc": "data/1961.nc",
    }


def test_every_field_of_a_description_has_an_option() -> None:
    without = {"executable", "arguments", "steps", "stop_on_failure"}
    names = {field.name for field in fields(JobDescription)} - without
    for command in ("run", "submit"):
        assert names <= {parameter.name for parameter in commands()[command].params}


def test_an_account_and_raw_options(own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    submitted: list[JobDescription] = []
    monkeypatch.setattr(ArcInterface, "submit_jobs", lambda _, jobs, **__: submitted.extend(jobs) or ["local://h/a"])
    options = ["--account", "gold", "--native", "constraint=skylake", "--native", "exclusive"]
    assert run(["submit", *options, "--", "x"]) == 0
    assert submitted[0].account == "gold"
    assert submitted[0].native == {"constraint": "skylake", "exclusive": ""}
    assert run(["submit", "--native", "=fast", "--", "x"]) == 2
    assert "native: not the long name of an option" in capsys.readouterr().err


# --- What is printed ---


@given(st.text())
def test_a_cell_is_one_word_of_a_line(text: str) -> None:
    for shown in (for_programs(text), one_line(text)):
        assert not {"\t", "\n", "\r", "\x1b", "\x9b"} & set(shown)
        assert shown.splitlines() in ([shown], [])
    assert for_programs(text)


def test_values_for_programs_and_for_people() -> None:
    noon = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
    assert [for_programs(value) for value in (noon, timedelta(hours=1), None, "", (), ("a", "b"), True, 0)] == [
        "2026-11-20T12:00:00Z",
        "3600",
        "-",
        "-",
        "-",
        "a,b",
        "yes",
        "0",
    ]


def shown(table: Any, width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a terminal of this width shows of a table."""
    monkeypatch.setenv("COLUMNS", str(width))
    screen = console()
    with screen.capture() as capture:
        screen.print(table())
    assert max(map(len, capture.get().splitlines())) <= width
    return capture.get()


@pytest.mark.parametrize("width", [30, 50, 70, 90, 120])
def test_a_narrow_terminal_cuts_no_number(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = {"name": "short-serial-4hr", "free_slots": 12345, "total_slots": 45678, "running": 31415, "waiting": 27182}
    limits = {"max_wall_time": timedelta(days=7), "max_slots": 16161, "max_memory": 123 << 30}
    queues = shown(lambda: make_table([{**queue, **limits}], QUEUES, width), width, monkeypatch)
    for number in ("12345", "45678", "31415", "27182", "7 d", "16161", "123 GB"):
        assert number in queues

    files = [{"name": "n" * 75, "size": 118 << 20}, {"name": "short", "size": 5}]
    listed = shown(lambda: make_table(files, FILES, width), width, monkeypatch)
    assert "118 MB" in listed
    assert listed.count("n") == 75

    row = {"id": "https://ce/" + "x" * 64, "exit_code": 123456, "memory": 987 << 30, "runtime_environments": ["a"]}
    record = shown(lambda: make_record(row, width), width, monkeypatch)
    assert "123456" in record
    assert "987 GB" in record
    assert record.count("x") == 64 + "exit code".count("x")


NAMES = st.text("ab", min_size=1, max_size=14)


@given(st.lists(NAMES, min_size=1, unique=True), st.lists(NAMES))
def test_a_shortened_id_means_one_job(names: list[str], others: list[str]) -> None:
    ids, further = ([f"https://ce/jobs/{name}" for name in some] for some in (names, others))
    short = short_ids(ids, further)
    assert list(short) == ids
    for job_id, text in short.items():
        matches = {other for other in (*ids, *further) if last_part(other).startswith(text)}
        assert matches == {job_id} or text == last_part(job_id)
        shorter = {other for other in (*ids, *further) if last_part(other).startswith(text[:-1])}
        assert len(text) <= 8 or shorter != {job_id}


def test_thousands_of_ids_are_shortened_at_once() -> None:
    ids = [f"https://ce/jobs/{number:056x}" for number in range(20_000)]
    begin = time.monotonic()
    assert len(set(short_ids(ids).values())) == len(ids)
    assert time.monotonic() - begin < 2


def test_ids_are_told_apart_from_listed_jobs_and_from_each_other(own_home: Path) -> None:
    listed, beside, unlisted, alone = (
        f"https://ce/jobs/{name}" for name in ("a" * 12, "a" * 11 + "b", "a" * 10, "c" * 12)
    )
    records = [JobRecord(token=name, endpoint="https://ce", name=name, id=name) for name in (listed, beside)]
    add(JobList(own_home / ".arc" / "jobs.dat"), records)
    short = Context().short_ids([listed, unlisted, alone])
    assert list(short.values()) == ["a" * 12, "a" * 10, "c" * 8]
    assert Context().short_ids([alone, unlisted, alone[:-1] + "d"]) == {
        alone: "c" * 12,
        unlisted: "a" * 10,
        alone[:-1] + "d": "c" * 11 + "d",
    }


@pytest.mark.parametrize("trouble", ["a folder", "no database", "locked"])
def test_ids_are_complete_while_the_job_list_cannot_be_read(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trouble: str
) -> None:
    path, job_id = own_home / ".arc" / "jobs.dat", f"https://ce/jobs/{'a' * 56}"
    monkeypatch.setattr("jasmin_arc.cli.context._LOOK_UP_TIMEOUT", 0.1)
    if trouble == "a folder":
        path.mkdir(parents=True)
    else:
        add(JobList(path), [JobRecord(token="t", endpoint="https://ce", name="n", id=job_id)])
    if trouble == "no database":
        path.write_text("this is no database" * 100)
    context, begin = Context(), time.monotonic()
    with closing(sqlite3.connect(path) if trouble == "locked" else sqlite3.connect(":memory:")) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert context.short_ids([job_id]) == {job_id: job_id}
        assert context.names_of([job_id]) == {}
    assert time.monotonic() - begin < 10
    assert capsys.readouterr().err.count("\n") == 1
    context.close()


def test_a_job_list_that_cannot_be_read_is_asked_once(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def locked(*_: Any, **__: Any) -> Any:
        asked.append(1)
        raise JobListError("the job list is locked")

    for question in ("neighbours", "summaries"):
        monkeypatch.setattr(JobList, question, locked)
    context = Context()
    context.going_on(["local://h/a"])
    for _ in range(3):
        assert context.brief("local://h/a") == "local://h/a"
        assert context.names_of(["local://h/a"]) == {}
        assert "the job goes on" in context.how_to_get_back()
    assert len(asked) == 1
    monkeypatch.setattr("jasmin_arc.cli.context.time.monotonic", lambda begin=time.monotonic: begin() + 100)
    context.brief("local://h/a")
    assert len(asked) == 2


def test_folders_are_told_before_the_job_list_is_asked_once(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("sys.stdout", output := io.StringIO())

    def neighbours(*_: Any, **__: Any) -> Any:
        told.append(output.getvalue())
        raise JobListError("the job list is locked")

    monkeypatch.setattr(ArcInterface, "save_outputs", lambda *_, **__: [None, "folder", None])
    monkeypatch.setattr(JobList, "neighbours", neighbours)
    assert run(["output", "local://h/a", "local://h/b", "local://h/c"]) == 1
    assert told == ["folder\n"]


LISTED = {
    "https://ce/jobs/aaa1": "model-1961",
    "https://ce/jobs/aaa2": "model-1962",
    "https://ce/jobs/baaa": "aaa",
    "https://ce/jobs/cccc": "",
}


def test_completion_reads_no_descriptions(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Context().arc.backend.endpoint
    records = [JobRecord(token=job_id, endpoint=endpoint, name=name, id=job_id) for job_id, name in LISTED.items()]
    add(JobList(own_home / ".arc" / "jobs.dat"), records)
    monkeypatch.delattr(JobList, "get")
    context = click.Context(root, obj=Context())
    items = complete_job(context, click.Argument(["job"]), "")
    assert [(item.value, item.help) for item in items] == [
        ("cccc", ""),
        ("baaa", "aaa"),
        ("aaa2", "model-1962"),
        ("aaa1", "model-1961"),
        ("aaa", None),
        ("model-1962", None),
        ("model-1961", None),
    ]
    begin_so = complete_job(context, click.Argument(["job"]), "aaa")
    assert [item.value for item in begin_so] == ["aaa2", "aaa1", "aaa"]


def test_wide_letters_take_two_places_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    rows = [{"id": "x", "status": status, "name": "n"} for status in ("海洋", "ocean", "ö")]
    columns = (Column("id", "JOB"), Column("status", "STATUS", right=True), Column("name", "NAME"))
    screen = console()
    with screen.capture() as capture:
        screen.print(make_table(rows, columns, 60))
    assert [line.rstrip() for line in capture.get().splitlines()] == [
        "JOB  STATUS  NAME",
        "x      海洋  n",
        "x     ocean  n",
        "x         ö  n",
    ]


def test_the_exit_code_of_many_failures() -> None:
    assert [exit_code(codes) for codes in ([], [3, 3], [3, 1], [4], [1, 130])] == [0, 3, 1, 4, 130]


# --- Words ---


def test_advice_names_commands_and_options() -> None:
    def told(template: str, **values: str) -> str:
        return Advice(template, **values).in_words(shell_words("jasmin-arc", "1a2b"))

    assert told("{recover} settles it") == "'jasmin-arc recover' settles it"
    assert told("or erase them with {force}") == "or erase them with --force"
    assert told("Ask for more with {wall_time}, or less.") == "Ask for more with --wall-time, or less."
    assert told("Names in {outputs} are relative.") == "Names in --output are relative."
    assert told("see {read_stderr}, or {resubmit}") == (
        "see 'jasmin-arc cat 1a2b stderr', or 'jasmin-arc resubmit 1a2b'"
    )
    assert told("see {name}: {site}", name="{recover} site()") == "see {recover} site(): 'jasmin-arc site'"


def test_every_advice_has_words_at_a_shell() -> None:
    assert sorted(shell_words("jasmin-arc")) == sorted(PYTHON_WORDS)
    known = {name for command in commands().values() for option in command.params for name in option.opts}
    known.add("--backend")  # for all commands
    assert {word.split()[0] for word in shell_words("jasmin-arc").values() if word.startswith("-")} <= known


def test_suggested_commands_repeat_the_options_of_this_one() -> None:
    context = Context()
    context.config_path = "my config.json"
    context.options = {"BACKEND": "rest", "ARC_SERVER": "ce:443/arex"}
    program = "jasmin-arc --config 'my config.json' --backend rest --server ce:443/arex"
    assert context.command("wait x") == f"'{program} wait x'"
    assert context.advice(Advice("{recover} settles it")) == f"'{program} recover' settles it"
    context.options = {"ARC_SERVER": "https://jane:hunter2@ce/arex"}
    assert "hunter2" not in context.command("doctor")


def test_warnings_of_the_library_speak_of_commands(own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = Context()
    error = JobListError("the job list is locked", advice=Advice("{list} is gone()"))
    context.arc.logger.warning("try %s: %s (%d)", Advice("{recover}"), error, 3)
    assert capsys.readouterr().err == (
        "jasmin-arc: warning: try 'jasmin-arc recover': the job list is locked; 'jasmin-arc list' is gone() (3)\n"
    )
    context.close()


def texts_of(path: Path) -> list[str]:
    """The texts in a module that users may see: all but the docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]


def test_no_call_of_the_library_is_left_in_its_messages() -> None:
    methods = "|".join(name for name in dir(ArcInterface) if not name.startswith("_"))
    call = re.compile(rf"\b({methods})\([^)]*\)|\b\w+=(True|False)\b")
    package = Path(setup.__file__).parents[2]
    modules = [
        path
        for path in package.rglob("*.py")
        if "cli" not in path.relative_to(package).parts and path.name not in ("exceptions.py", "tables.py")
    ]
    assert any(call.search(text) for text in PYTHON_WORDS.values())
    assert {(path.name, text) for path in modules for text in texts_of(path) if call.search(text)} == set()


class Screen(io.StringIO):
    """A terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)

    def isatty(self) -> bool:
        return True


def test_there_is_one_line_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jasmin_arc.cli.spinner._SHOW_AFTER", 0.01)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", screen := Screen())
    threads = threading.active_count()
    with Context().busy("submitting", bar=True):
        assert threading.active_count() == threads
    with Context().busy("submitting"):
        assert screen.written.wait(30)
    assert "submitting ..." in screen.getvalue()


def test_the_watch_view_asks_for_a_twentieth_of_the_time(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, pauses = [100.0], []

    def list_slowly(*_: Any, **__: Any) -> list[str]:
        now[0] += 0.05
        if pauses:
            raise KeyboardInterrupt
        return []

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=pauses.append, strftime=time.strftime)
    monkeypatch.setattr("jasmin_arc.cli.commands.watch.time", clock)
    monkeypatch.setattr(ArcInterface, "list_jobs", list_slowly)
    monkeypatch.setattr("sys.stdout", screen := Screen())
    assert run(["list", "--watch", "--interval", "0.5"]) == 130
    assert pauses == [pytest.approx(19 * 0.05)]
    assert "again in 1 s" in screen.getvalue()


def test_the_watch_view_does_not_poll_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def list_nothing(*_: Any, **__: Any) -> list[str]:
        if pauses:
            raise KeyboardInterrupt
        return []

    clock = SimpleNamespace(monotonic=time.monotonic, sleep=pauses.append, strftime=time.strftime)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("jasmin_arc.cli.commands.watch.time", clock)
    monkeypatch.setattr(ArcInterface, "list_jobs", list_nothing)
    monkeypatch.setattr("sys.stdout", screen := Screen())
    assert run(["list", "--backend", "slurm", "--watch"]) == 130
    assert pauses == [30]
    assert "again in 30 s" in screen.getvalue()


def test_a_job_that_was_submitted_is_named_when_the_server_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(*_: Any, **__: Any) -> Any:
        raise ServerUnavailableError("cannot connect to https://ce: Connection refused")

    monkeypatch.setattr(ArcInterface, "get_job_info", lost)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert run(["run", "--backend", "local", "--json", "--", "echo", "text"]) == 1
    streams = capsys.readouterr()
    document = json.loads(streams.out)
    (job,), (error,) = document["results"], document["errors"]
    assert job["id"].startswith("local://")
    assert (job["stdout"], error["kind"], error["job"]) == ("text\n", "ServerUnavailableError", job["id"])
    assert "Connection refused; 'jasmin-arc --backend local doctor' looks for the reason" in error["message"]
    assert "the job goes on: 'jasmin-arc --backend local follow " in streams.err


def test_a_job_that_was_submitted_is_named_when_the_job_list_is_lost(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(*_: Any, **__: Any) -> Any:
        path = own_home / ".arc" / "jobs.dat"
        path.unlink()
        path.mkdir()
        raise JobListError("the job list is lost")

    monkeypatch.setattr(ArcInterface, "get_job_info", lost)
    assert run(["run", "--", "echo", "text"]) == 1
    streams = capsys.readouterr()
    assert streams.out == "text\n"
    assert re.search(r"the job goes on: 'jasmin-arc follow local://\S+/\w{24}' leads back", streams.err)


@pytest.mark.parametrize("error", [ServerUnavailableError, OutputError])
@pytest.mark.parametrize(("job_ends_with", "code"), [(7, 7), (0, 1)])
def test_run_goes_on_if_standard_error_cannot_be_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: type[JasminArcError],
    job_ends_with: int,
    code: int,
) -> None:
    def lost(*_: Any, **__: Any) -> Any:
        raise error("the connection broke")

    monkeypatch.setattr(ArcInterface, "read", lost)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    script = f"echo text; echo kept > o; exit {job_ends_with}"
    assert run(["run", "--backend", "local", "--json", "--save", "res", "-o", "o", "--", "sh", "-c", script]) == code
    streams = capsys.readouterr()
    document = json.loads(streams.out)
    (job,) = document["results"]
    assert (job["stdout"], job["stderr"], job["exit_code"]) == ("text\n", "", job_ends_with)
    assert (tmp_path / "res" / "o").read_text() == "kept\n"
    kinds = [error.__name__, *(["JobFailedError"] if job_ends_with else [])]
    assert [(told["kind"], told["job"]) for told in document["errors"]] == [(kind, job["id"]) for kind in kinds]
    assert re.search(r"the job has ended; 'jasmin-arc --backend local cat \w+ stderr' prints", streams.err)


class Broken(io.StringIO):
    """A standard output that cannot be written."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._error = OSError(number, os.strerror(number))

    def flush(self) -> None:
        raise self._error


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 1), (errno.EPIPE, 141)])
def test_the_job_list_is_brought_up_to_date_though_the_output_fails(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    closed = []
    monkeypatch.setattr(ArcInterface, "close", lambda _: closed.append(1))
    monkeypatch.setattr("sys.stdout", Broken(number))
    assert run(["list"]) == code
    assert closed == [1]


@pytest.mark.parametrize(("error", "code"), [(OSError(5, "broken"), 0), (KeyboardInterrupt(), 130)])
def test_a_failure_at_the_very_end_is_not_one_of_the_output(
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
) -> None:
    told = []

    def close(_: ArcInterface) -> None:
        told.append(capsys.readouterr().out)
        raise error

    monkeypatch.setattr(ArcInterface, "close", close)
    assert run(["submit", "--", "true"]) == code
    assert re.fullmatch(r"local://\S+\n", told[0])
    assert "standard output" not in capsys.readouterr().err


def test_every_option_has_a_text_from_the_library() -> None:
    texts = setup.option_texts()
    assert [name for name in OPTIONS if not texts.get(name)] == []


def test_json_survives_any_text() -> None:
    code = (
        "import sys; from jasmin_arc.cli.output import Output\n"
        "output = Output(json=True); output.results.append({'a': '\\ud800\\x1b\\u2028', 'b': {1: (None,)}})\n"
        "output.finish(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["results"] == [{"a": "\ud800\x1b\u2028", "b": {"1": [None]}}]


def test_a_table_that_cannot_be_read_whole_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_MAX_BYTES", 10)
    (tmp_path / "table.csv").write_text("name\n12345\n")
    with pytest.raises(InputFileError, match="is longer than"):
        reading.read_text(str(tmp_path / "table.csv"))
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputFileError, match="standard input is closed"):
        reading.read_text("-")


@pytest.mark.parametrize("option", ["--server", "--config"])
def test_an_empty_text_is_a_value_that_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([option, "", "config", "show"]) != 0
    assert "jasmin-arc: " in capsys.readouterr().err


# --- Many jobs in a few words ---


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    others=st.lists(st.text("am-[]*'? ", max_size=3), max_size=4),
    names=st.lists(st.text("am-[]*'? ", max_size=3).map(lambda name: f"m{name}"), min_size=6, max_size=8),
)
def test_options_mean_just_the_jobs_that_they_are_told_for(own_home: Path, others: list[str], names: list[str]) -> None:
    (own_home / ".arc" / "jobs.dat").unlink(missing_ok=True)
    context = Context()
    jobs = {f"local://here/{secrets.token_hex(8)}": name for name in [*others, *names]}
    endpoint = context.arc.backend.endpoint
    add(
        JobList(context.arc.config.JOBS_INFO_FILE),
        [JobRecord(token=job_id, endpoint=endpoint, name=name, id=job_id) for job_id, name in jobs.items()],
    )
    wanted = dict(list(jobs.items())[len(others) :])
    option, value = shlex.split(options_for(context, wanted))
    assert option in ("--name", "--last")
    chosen = {"name": value} if option == "--name" else {"last": int(value)}
    assert context.arc.list_jobs(**chosen) == list(wanted)
    context.close()


def test_a_submission_that_is_left_unfinished_is_told(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(*_: Any, **__: Any) -> Any:
        raise ServerUnavailableError("the connection broke")

    monkeypatch.setattr(ArcInterface, "submit_jobs", lost)
    assert run(["submit", "--", "true"]) == 1
    assert "settles" not in capsys.readouterr().err
    context = Context()
    record = JobRecord(token="t", endpoint=context.arc.backend.endpoint, name="n")
    context.arc.job_list.intend([record])
    context.arc.job_list.release(["t"])
    assert run(["submit", "--", "true"]) == 1
    assert "jasmin-arc: 'jasmin-arc recover' settles what was left unfinished\n" in capsys.readouterr().err
    context.close()


def test_jobs_are_listed_though_the_others_cannot_be_asked_about(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any, **__: Any) -> Any:
        raise ServerUnavailableError("the connection broke")

    context = Context()
    endpoint = context.arc.backend.endpoint
    jobs = [f"local://here/{number:08}" for number in range(SHOWN + 2)]
    add(context.arc.job_list, [JobRecord(token=job, endpoint=endpoint, name="n", id=job) for job in jobs])
    context.close()
    monkeypatch.setattr(ArcInterface, "get_job_statuses", lost)
    monkeypatch.setattr("sys.stdout", screen := Screen())
    assert run(["list"]) == 0
    assert f"The newest {SHOWN} of {SHOWN + 2} jobs. With --all, all are shown.\n" in screen.getvalue()


def test_ends_are_told_though_jobs_cannot_be_looked_at_closer(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(*_: Any, **__: Any) -> Any:
        raise ServerUnavailableError("the connection broke")

    assert run(["submit", "--name", "a", "--", "false"]) == 0
    monkeypatch.setattr(ArcInterface, "get_job_infos", lost)
    assert run(["wait", "a"]) == 4
    streams = capsys.readouterr()
    assert streams.out.endswith("\tfailed\ta\n")
    assert "the connection broke" not in streams.err


def test_many_different_failures_are_a_few_lines(own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = Context()
    alike = {f"local://h/a{number}": ServerUnavailableError(f"local://h/a{number} is silent") for number in range(9)}
    each = {f"local://h/b{number}": JobListError(f"trouble {number}") for number in range(9)}
    context.fail_many({**alike, **each}, of=100)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "jasmin-arc: 9 of 100 jobs: JOB is silent; 'jasmin-arc doctor' looks for the reason"
    assert lines[1:] == [*(f"jasmin-arc: trouble {number}" for number in range(4)), lines[-1]]
    assert lines[-1] == "jasmin-arc: and 5 more such lines; --verbose shows all"
    assert [error["job"] for error in context.output.errors] == [*alike, *each]
    context.close()


def test_failures_of_jobs_without_ids_are_not_mixed_up(own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = Context()
    errors = {str(number): InputFileError(f"no file {number}.txt") for number in range(4)}
    context.fail_many(errors, of=4)
    assert [line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()] == [
        f"{number}.txt" for number in range(4)
    ]
    assert {error["job"] for error in context.output.errors} == {None}
