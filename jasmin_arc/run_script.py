"""The shell script that a job runs, whatever the place.

No compute element delivers arguments and environment exactly as given (A-REX puts them between double quotes into a
script of its own), so the program is started by a script of ours, which is one of the job's inputs.
"""

from __future__ import annotations

import os
import re
import shlex

from jasmin_arc.constants import RUN_SCRIPT_NAME
from jasmin_arc.description import JobDescription, is_pattern

STDIN_NAME = ".jasmin_arc_stdin"
"""The session file with what the program reads from its standard input"""

OUTPUT_LIST_NAME = ".jasmin_arc_outputs"
"""The session file that names the outputs that the patterns of a description matched"""


def run_script(description: JobDescription) -> bytes:
    """Return the script, for ``/bin/sh`` in the session directory.

    :returns: bytes, as file names and arguments need not be valid UTF-8
    """
    lines = ["#!/bin/sh"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in description.environment.items()]
    lines += _make_executable(description)
    redirect = f" < {STDIN_NAME}" if description.stdin is not None else ""
    commands = [_command(command, description) + redirect for command in description.commands]
    patterns = [name for name in description.outputs or {} if is_pattern(name)]
    if len(commands) == 1 and not patterns:
        # The program takes the shell's place: signals and exit code are its own.
        lines.append(f"exec {commands[0]}")
    else:
        lines += _one_after_another(commands, stop=description.stop_on_failure)
        lines += _list_outputs(patterns)
        lines.append('exit "$jasmin_arc_status"')
    return os.fsencode("\n".join(lines) + "\n")


def output_list_needed(description: JobDescription) -> bool:
    """Say whether the script writes the list of outputs, :data:`OUTPUT_LIST_NAME`."""
    return any(is_pattern(name) for name in description.outputs or {})


def _input_program(program: str, description: JobDescription) -> str | None:
    """The program's path in the session directory, if it is among the inputs."""
    name = program[2:] if program.startswith("./") else program
    among = name in description.inputs or (not name.startswith("/") and name.split("/")[0] in description.inputs)
    return "./" + name if among else None


def _make_executable(description: JobDescription) -> list[str]:
    programs = {_input_program(command[0], description) for command in description.commands}
    return [f"chmod u+rx {shlex.quote(program)}" for program in sorted(filter(None, programs))]


def _command(command: tuple[str, ...], description: JobDescription) -> str:
    program = _input_program(command[0], description) or command[0]
    return shlex.join([program, *command[1:]])


def _one_after_another(commands: list[str], *, stop: bool) -> list[str]:
    lines = ["jasmin_arc_status=0"]
    for command in commands:
        # In a subshell and with exec, so that a step named like a shell's own word is the program all the same.
        step = [f"(exec {command})", "jasmin_arc_step=$?"]
        step.append('[ "$jasmin_arc_status" -ne 0 ] || jasmin_arc_status=$jasmin_arc_step')
        lines += [f'if [ "$jasmin_arc_status" -eq 0 ]; then\n{_indent(step)}\nfi'] if stop else step
    return lines


def _list_outputs(patterns: list[str]) -> list[str]:
    if not patterns:
        return []
    words = " ".join(_glob(pattern) for pattern in patterns)
    # A-REX reads one name a line with backslashes before white space; it takes @ for a list, and has no newlines.
    return [
        f"for jasmin_arc_output in {words}; do",
        "    case $jasmin_arc_output in @*|*'",
        "'*) continue;; esac",
        '    [ -e "$jasmin_arc_output" ] && printf \'%s\\n\' "$jasmin_arc_output"',
        f"done | LC_ALL=C sed 's/[\\\\[:space:]]/\\\\&/g' > {OUTPUT_LIST_NAME}",
    ]


def listed_outputs(text: str) -> list[str]:
    """Read what the script wrote into :data:`OUTPUT_LIST_NAME`."""
    return [re.sub(r"\\(.)", r"\1", line) for line in text.split("\n") if line]


def _glob(pattern: str) -> str:
    """Quote all but the characters that make the pattern one."""
    quoted = ""
    for char in pattern:
        quoted += (
            char if char in "*?[]!-^" or (char.isascii() and char.isalnum()) or char in "/._" else shlex.quote(char)
        )
    return quoted


def _indent(lines: list[str]) -> str:
    return "\n".join("    " + line for line in lines)


__all__ = ["OUTPUT_LIST_NAME", "RUN_SCRIPT_NAME", "STDIN_NAME", "listed_outputs", "output_list_needed", "run_script"]
