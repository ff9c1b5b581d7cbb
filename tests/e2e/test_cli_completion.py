"""Completion as a person meets it: Tab is pressed in bash, zsh and fish, and what the program is given is looked at."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_kit import Shell

_STARTS = {
    "bash": ["bash", "--rcfile", "setup.bash", "-i"],
    "zsh": ["zsh", "-i"],
    "fish": ["fish", "--no-config", "--interactive", "--init-command", "source setup.fish"],
}
_SETUPS = {
    "bash": "PS1='ready$(wc -l <log)> '\nbind 'set bell-style none'\nsource <(jasmin-arc completion bash)\n",
    "zsh": "autoload -U compinit; compinit -u -D; setopt prompt_subst no_beep; PS1='ready$(wc -l <log)> '\n"
    "source <(jasmin-arc completion zsh)\n",
    "fish": "function fish_prompt; echo -n 'ready'(wc -l <log)'> '; end\njasmin-arc completion fish | source\n",
}
_PROGRAM = f"""#!/bin/sh
# Tells what it was given, or is the program itself, where it is asked for completions.
[ -n "$_JASMIN_ARC_COMPLETE" ] || [ "$1" = completion ] && exec {sys.executable} -m jasmin_arc "$@"
for word; do printf '<%s>' "$word"; done >>log
echo >>log
"""
Complete = Callable[..., list[str]]


@pytest.fixture(params=list(_STARTS))
def complete(request: pytest.FixtureRequest, tmp_path: Path) -> Complete:
    """Type lines in a shell, with Tab and Enter after each, and return what the program was given each time."""
    if shutil.which(request.param) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{request.param} is missing")
        pytest.skip(f"{request.param} is missing")
    (tmp_path / "jasmin-arc").write_text(_PROGRAM)
    (tmp_path / "jasmin-arc").chmod(0o755)
    (tmp_path / "log").write_text("")
    setup = {"bash": "setup.bash", "zsh": ".zshrc", "fish": "setup.fish"}[request.param]
    (tmp_path / setup).write_text(_SETUPS[request.param])
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ZDOTDIR": str(tmp_path)}
    shell = Shell(tmp_path, {"JASMIN_ARC_BACKEND": "local", **path})

    def type_lines(*lines: str) -> list[str]:
        keys = {f"ready{number}> ": f"jasmin-arc {line}\t\r" for number, line in enumerate(lines)}
        keys[f"ready{len(lines)}> "] = "exit\r"
        shell.terminal(program=_STARTS[request.param], keys=keys)
        # Zsh takes the slash of a directory away again at Enter.
        return (tmp_path / "log").read_text().replace("/>", ">").splitlines()

    return type_lines


def test_files_are_completed_where_an_option_or_a_program_wants_one(complete: Complete, tmp_path: Path) -> None:
    for name in ("runs.csv", "mean.py", "my file.nc"):
        (tmp_path / name).write_text("")
    (tmp_path / "results").mkdir()
    (tmp_path / "results.txt").write_text("")
    given = {
        "submit --table ru": "<submit><--table><runs.csv>",
        "submit -i me": "<submit><-i><mean.py>",
        "submit --input my": "<submit><--input><my file.nc>",
        "submit -i model.py=me": "<submit><-i><model.py=mean.py>",
        "submit --input=me": "<submit><--input=mean.py>",
        "run --stdin ru": "<run><--stdin><runs.csv>",
        "run --save resu": "<run><--save><results>",
        "output -d resu": "<output><-d><results>",
        "submit ru": "<submit><runs.csv>",
        "submit -i mean.py -- python3 me": "<submit><-i><mean.py><--><python3><mean.py>",
    }
    assert complete(*given) == list(given.values())


def test_commands_and_jobs_are_completed(complete: Complete, tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"JASMIN_ARC_BACKEND": "local"})
    shell.ids("submit", "--name", "model-1961", "--", "true")
    assert complete("resub", "status mod", "list --status canc") == [
        "<resubmit>",
        "<status><model-1961>",
        "<list><--status><cancelled>",
    ]


def test_an_answer_comes_at_once(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"JASMIN_ARC_BACKEND": "local"})
    took = []
    for _ in range(3):
        begin = time.monotonic()
        words = {"COMP_WORDS": "jasmin-arc submit --table ru", "COMP_CWORD": "3"}
        answer = shell.process(_JASMIN_ARC_COMPLETE="bash_complete", **words)
        took.append(time.monotonic() - begin)
        assert answer.out == "file,ru\n"
    # A machine with two cores runs six tests at a time.
    assert min(took) < 1.0
