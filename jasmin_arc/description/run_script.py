"""The shell script that a job runs, whatever the place. It is one of the job's inputs, and starts the program.

No compute element delivers arguments and environment exactly as given: A-REX puts them between double quotes.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from jasmin_arc.description import RESERVED_PREFIX, JobDescription

STDIN_NAME = ".jasmin_arc_stdin"
OUTPUT_LIST_NAME = ".jasmin_arc_outputs"
"""The session file that names the outputs that the patterns of a description matched"""
_SHELL_VARIABLE = re.compile(
    "_|BASH.*|DIRSTACK|EPOCHREALTIME|EPOCHSECONDS|EUID|FUNCNAME|GROUPS|HISTCMD|LINENO|OPTIND|PPID|RANDOM|SECONDS"
    "|SHELLOPTS|SHLVL|SRANDOM|UID"
)
"""Variables that some shells do not let a script set, or set themselves"""
_UNBUFFERED = "PYTHONUNBUFFERED"
"""With this variable, Python hands on what a program prints at once, so that one can follow it"""
_NOT_IN_PATTERNS = re.compile(r"[^A-Za-z0-9*?\[\]!^/._-]")
"""Characters to quote in a pattern, so that it stays one"""
_MAX_FILES = 100
"""How many files one chmod gets: the length of a command line is limited"""


def run_script(description: JobDescription, executables: Iterable[str] = ()) -> bytes:
    """Return the script, for ``/bin/sh`` in the session directory; file names and arguments need not be valid UTF-8.

    :param executables: the inputs that shall be executable, beside the programs themselves: files in the session
        directory, which compute elements and this library write without that mode
    """
    # Before the job's own environment is set, as that may lead to other tools, or to none.
    lines = ["#!/bin/sh", *_make_executable(description, executables)]
    exports = _exports(description.environment)
    redirect = f" < {STDIN_NAME}" if description.stdin is not None else ""
    commands = [_command(command, description) + redirect for command in description.commands]
    patterns = description.patterns
    if len(commands) == 1 and not patterns:
        # The program takes the shell's place: signals and exit code are its own.
        lines += [*exports, f"exec {commands[0]}"]
    else:
        steps = [*exports, *_one_after_another(commands, stop=description.stop_on_failure)]
        lines += _then_list_outputs(steps, patterns) if patterns else steps
        lines.append('exit "$jasmin_arc_status"')
    return os.fsencode("\n".join(lines) + "\n")


def _exports(environment: Mapping[str, str]) -> list[str]:
    # What is set on the node already stays.
    unbuffered = [] if _UNBUFFERED in environment else [f'export "{_UNBUFFERED}=${{{_UNBUFFERED}-1}}"']
    return unbuffered + [
        # The name is quoted as well, so that nothing of it is ever read as a command.
        f"export {shlex.quote(f'{name}={value}')}"
        for name, value in environment.items()
        if not _SHELL_VARIABLE.fullmatch(name)
    ]


def input_of(path: str, inputs: Iterable[str]) -> str | None:
    """The name of the input that a file of the session directory is or lies in; ``None`` if there is none."""
    file = PurePosixPath(path)
    places = {str(place) for place in (file, *file.parents)}
    return next((name for name in inputs if name in places), None)


def _input_program(program: str, description: JobDescription) -> str | None:
    """The program's path in the session directory, if it is among the inputs."""
    return f"./{PurePosixPath(program)}" if input_of(program, description.inputs) is not None else None


def _make_executable(description: JobDescription, executables: Iterable[str]) -> list[str]:
    programs = {_input_program(command[0], description) for command in description.commands}
    files = sorted({*filter(None, programs), *(f"./{name}" for name in executables)})
    groups = [files[start : start + _MAX_FILES] for start in range(0, len(files), _MAX_FILES)]
    return [f"chmod u+rx {shlex.join(group)}" for group in groups]


def _command(command: tuple[str, ...], description: JobDescription) -> str:
    program = _input_program(command[0], description) or command[0]
    own = [f"{name}={value}" for name, value in description.environment.items() if _SHELL_VARIABLE.fullmatch(name)]
    # What has a = in it would be one more variable to env, but not to nice.
    start = ["/usr/bin/env", *own, *(["/usr/bin/nice", "-n", "0"] if "=" in program else [])] if own else []
    return shlex.join([*start, program, *command[1:]])


def _one_after_another(commands: list[str], *, stop: bool) -> list[str]:
    lines = ["jasmin_arc_status=0"]
    for command in commands:
        # In a subshell and with exec, so that a step named like a shell's own word is the program all the same.
        if stop:
            lines.append(f'[ "$jasmin_arc_status" -ne 0 ] || {{ (exec {command}); jasmin_arc_status=$?; }}')
        else:
            lines += [f"(exec {command})", "jasmin_arc_step=$?"]
            lines.append('[ "$jasmin_arc_status" -ne 0 ] || jasmin_arc_status=$jasmin_arc_step')
    return lines


def _then_list_outputs(steps: list[str], patterns: list[str]) -> list[str]:
    words = " ".join(_NOT_IN_PATTERNS.sub(lambda match: shlex.quote(match[0]), pattern) for pattern in patterns)
    # The steps in a subshell: their environment is not for what comes after.
    # A-REX reads one name a line with backslashes before white space; it takes @ for a list, and has no newlines.
    return [
        *("(", *steps, 'exit "$jasmin_arc_status"', ")", "jasmin_arc_status=$?"),
        f"for jasmin_arc_output in {words}; do",
        f"    case /$jasmin_arc_output/ in */./*|*/../*|/{RESERVED_PREFIX}*|/@*|*'",
        "'*) continue;; esac",
        '    [ -e "$jasmin_arc_output" ] && printf \'%s\\n\' "$jasmin_arc_output"',
        f"done | LC_ALL=C sed 's/[\\\\[:space:]]/\\\\&/g' > {OUTPUT_LIST_NAME}",
    ]
