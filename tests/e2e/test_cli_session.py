"""The session in the documentation is replayed in a terminal: what the page shows is what a user sees.

Run as a program, this writes what it sees into the page.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from cli_kit import ROOT, Shell

PAGE = ROOT / "docs" / "command_line.md"
_BLOCK = re.compile(r"(?<=^<!-- session -->\n```console\n).*?(?=^```$)", re.M | re.S)
_CHANGING = (
    (re.compile(r"\b[0-9a-f]{24}\b"), "ID"),
    (re.compile(r"\b[0-9a-f]{8}\b"), "SHORT"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?"), "TIME"),
    (re.compile(r"local://\S+/(?=ID)"), "local://host/"),
    (re.compile(r" - (wall time|memory) used: [^-]*?(?= - )"), ""),
    (re.compile(r"\d+(\.\d+)? [GM]B"), "SIZE"),
    (re.compile(r"jasmin_arc \S+ Python \S+"), "VERSIONS"),
)


def steady(text: str) -> str:
    """Replace what differs from run to run, and from machine to machine."""
    text = " ".join(text.split())
    for pattern, value in _CHANGING:
        text = pattern.sub(value, text)
    return text


def replay(block: str, shell: Shell) -> str:
    """Type the commands of a block, and return the block with what was shown."""
    shown = []
    for line in block.splitlines():
        if not line.startswith("$ "):
            continue
        shown.append(line + "\n")
        if line.startswith("$ export "):
            name, _, value = line[len("$ export ") :].partition("=")
            shell.options = {**shell.options, name: value}
            continue
        shown.append(_shown(shell, line[2:]))
    return "".join(shown)


def _shown(shell: Shell, command: str) -> str:
    raw = shell.in_terminal(["bash", "-c", command], columns=80)
    text = re.sub(r"[^\n\r]*\r?\x1b\[K|\r[^\n]*\|[^\n]*(?=\r)", "", raw)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r\n", "\n")
    lines = [line.rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return "".join(line + "\n" for line in lines if line and "%|" not in line)


def session(home: Path) -> tuple[Shell, str]:
    (home / "bin").mkdir(exist_ok=True)
    program = home / "bin" / "jasmin-arc"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jasmin_arc "$@"\n')
    program.chmod(0o755)
    shell = Shell(home, {"NO_COLOR": "1"})
    shell.options = {**shell.options, "PATH": f"{home / 'bin'}:{shell.environment['PATH']}"}
    page = PAGE.read_text(encoding="utf-8")
    return shell, _BLOCK.sub(lambda block: replay(block[0], shell), page)


def test_the_session_in_the_documentation_is_what_a_user_sees(tmp_path: Path) -> None:
    _, page = session(tmp_path)
    assert steady(page) == steady(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(session(Path(folder))[1].replace(folder, "/home/you"), encoding="utf-8")
