"""Files that a command names and that stay behind are noticed; what is sent, made or no file is left in peace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jasmin_arc import JobDescription
from jasmin_arc.explain.not_sent import is_here, not_sent


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (["python3", "mean.py"], ["mean.py"]),
        (["./mean.py"], ["./mean.py"]),
        (["bin/tool", "-v", "--in=data/a.nc", "of=b.nc"], ["bin/tool", "data/a.nc", "of=b.nc", "b.nc"]),
        (["ls", ".", "..", "./", "/abs/olute", "--x=/abs", "-i"], []),
        (["ls", "../up"], ["../up"]),
        (["/bin/sh", "-c", "tool"], []),
        (["bash", "-lc", "tool --in=x", "data"], ["data"]),
        (["nice", "python3.11", "-m", "module", "a.py"], ["python3.11", "a.py"]),
        (["sh", "-e", "run.sh"], ["run.sh"]),
        (["perl", "-e", "print"], []),
        (["tool", "-c", "settings.yml"], ["settings.yml"]),
    ],
)
def test_which_words_are_taken_for_files(command: list[str], names: list[str]) -> None:
    assert not_sent(JobDescription(executable=command[0], arguments=command[1:])) == names


@pytest.mark.parametrize(
    "options",
    [
        {"inputs": {"a/b.nc": b""}},
        {"inputs": {"a": b""}},
        {"inputs": {"a/b.nc/deeper": b""}},
        {"outputs": ["a"]},
        {"outputs": ["a/*.nc"]},
        {"outputs": {"a/b.nc": "https://store.example/b.nc"}},
    ],
)
def test_inputs_and_outputs_are_not_meant(options: dict[str, Any]) -> None:
    assert not_sent(JobDescription(executable="cat", arguments=["./a//b.nc"], **options)) == []


def test_a_bare_program_is_meant_only_if_it_is_a_file_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mean.py", "cat"):
        (tmp_path / name).touch()
    steps = JobDescription(steps=[["mean.py"], ["cat"], ["cdoo"]])
    assert not_sent(steps) == ["mean.py"]


@given(st.text(min_size=1, max_size=300).filter(str.strip))
def test_no_word_is_too_odd(word: str) -> None:
    try:
        job = JobDescription(executable="x", arguments=[word])
    except ValueError:
        return
    assert all(is_here(name) in (True, False) for name in not_sent(job))


def test_no_absolute_path_is_looked_for() -> None:
    looked_for: list[str] = []
    not_sent(JobDescription(executable="/net/x", arguments=["/net/a", "b"]), is_meant=looked_for.append)  # type: ignore[arg-type]
    assert looked_for == ["b"]


def test_what_cannot_be_a_name_is_not_here() -> None:
    assert not is_here("a\0b")
    assert not is_here("x" * 100_000)
    assert is_here("/")
