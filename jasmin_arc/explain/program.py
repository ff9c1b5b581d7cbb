"""Causes that lie in the program: it is not there, cannot be run, crashed, or says that it failed."""

from __future__ import annotations

import re
import signal

from jasmin_arc._support.text import excerpt, last_part
from jasmin_arc.constants import RUN_SCRIPT_NAME
from jasmin_arc.description.run_script import input_of
from jasmin_arc.exceptions import Advice
from jasmin_arc.explain.facts import Facts, Finding

# dash says "SCRIPT: 3: exec: NAME: REASON", bash "SCRIPT: line 3: NAME: REASON", with "exec: " or without it.
_RUN_SCRIPT_SAYS = re.compile(
    r"(?:[^\s:]*/)?"
    + re.escape(RUN_SCRIPT_NAME)
    + r": (?:line )?\d+: (?:exec: )?(?P<name>[^\n]+?): (?P<reason>[^:\n]+(?:: [^:\n]+)?)$",
    re.MULTILINE,
)
_BAD_INTERPRETER = re.compile(r"(?P<name>[^\s:]+): (?P<interpreter>[^\n:]+): bad interpreter")
_ENV_SAYS = re.compile(r"env: [‘'`\"]?(?P<interpreter>[^\s'’‘:]+).?: No such file or directory")
_SOMEBODY_SAYS = re.compile(r"(?:^|: )(?P<name>[^:\n]+): (?:command )?not found$", re.MULTILINE)
_FRAME = re.compile(r'^ +File "(?P<file>[^"\n]+)", line (?P<line>\d+)', re.MULTILINE)
_OF_A_LIBRARY = re.compile(r"/(?:site|dist)-packages/|/lib\w*/python\d|^<")
_NO_MODULE = re.compile(r"(?:ModuleNotFoundError|^\S*python[\d.]*): No module named '?(?P<name>[\w.-]+)'?")
_CANNOT_OPEN = re.compile(
    r"no such file|(?:can(?:'t|not)|unable to|could ?n(?:o|')t|failed to) (?:open|access)|open failed", re.IGNORECASE
)
_NOT_FOUND = re.compile(
    r"not found|(?:can(?:'t|not)|unable to|could ?n(?:o|')t) find|does(?: not|n't) exist", re.IGNORECASE
)
"""What is said of many things; of a file only if the name looks like one"""
_LIKE_A_FILE = re.compile(r"/|\.[A-Za-z]\w*$")
_QUOTE = "['\"`‘’“”]"
_CRASHES = {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGSYS"}

_INTERPRETER_ADVICE = (
    "Correct the line that starts with #!, look for line ends of Windows in it, or name the interpreter as executable "
    "and the script as its argument."
)
_EXECUTABLE_ADVICE = (
    "Give its full path there, send it along as an input, or ask for the runtime environment that has it."
)
_OWN_ENVIRONMENT = Advice(
    "Let the job use an environment that has it: the page own_environment.md of the documentation tells how. If it is "
    "a file of yours, send it along with {inputs}."
)
MORE_MEMORY = Advice("Ask for more with {memory} (per slot), or let the program work on smaller pieces.")
_READ_STDERR = Advice("See the end of stderr for the program's own reason; {read_stderr} gives all of it.")


def without_run_script(stderr: str) -> str:
    """Remove the name of the run script from what a shell says of a program: no user has ever heard of it."""
    return _RUN_SCRIPT_SAYS.sub(lambda found: f"{found['name']}: {found['reason']}", stderr)


def input_not_sent(facts: Facts) -> Finding | None:
    """A file that a command names was not there, as it is none of the job's inputs."""
    if not facts.info.exit_code or not facts.not_sent:
        return None
    session = last_part(facts.info.id)
    lines = facts.stderr.splitlines()
    names = [name for name in facts.not_sent if any(_is_missed(name, line, session) for line in lines)]
    if not names:
        return None
    several = len(names) > 1
    summary = (
        f"The job did not find {excerpt(', '.join(names))}, which {'are' if several else 'is'} not among its inputs."
    )
    advice = Advice(
        "Send it along ({inputs}): a job starts in a folder of its own, which has the job's inputs and nothing else."
    )
    return Finding("input-not-sent", summary, advice)


def _is_missed(name: str, line: str, session: str) -> bool:
    if name.removeprefix("./") not in line:
        return False
    said = _CANNOT_OPEN.search(line) or (_LIKE_A_FILE.search(name) and _NOT_FOUND.search(line))
    return bool(said) and _is_named(name, line, session)


def _is_named(name: str, line: str, session: str) -> bool:
    """Whether the line names this file of the session directory, and not one of the same name elsewhere."""
    there, name = rf"{re.escape(session)}/(?:session/)?", re.escape(name.removeprefix("./"))
    before, after = rf"(?:{there}|(?<![\w./-])(?:\./)?)", r"(?![\w/-]|\.\w)"
    if not _LIKE_A_FILE.search(name):
        # Any word or number may be an argument, and be in the line by chance, as in "[Errno 2] No such file".
        said = "open |access " + ("|: " if not name.isdigit() else "")
        before, after = rf"(?:{_QUOTE}|{said})(?:[^\s:]*/{there}|(?:\./)?)", rf"(?:{_QUOTE}|:|\.?$)"
    return re.search(before + name + after, line) is not None


def not_runnable(facts: Facts) -> Finding | None:
    """The program could not be started: the shells' exit codes for this are 126 and 127."""
    if facts.info.exit_code not in (126, 127):
        return None
    if finding := _no_interpreter(facts) or _run_script_says(facts):
        return finding
    if facts.info.exit_code == 126:
        return _not_executable("The program", "")
    found = _SOMEBODY_SAYS.findall(facts.stderr)
    what = f": {excerpt(found[-1])}" if found else ", says its exit code, 127"
    summary = f"The program, or a command that it calls, was not found on the node{what}."
    return Finding("missing-executable", summary, _EXECUTABLE_ADVICE)


def _no_interpreter(facts: Facts) -> Finding | None:
    found = _BAD_INTERPRETER.search(facts.stderr) or _ENV_SAYS.search(facts.stderr)
    # Some variables make the run script start the program by env as well.
    commands = facts.description.commands if facts.description is not None else ()
    if found is None or found["interpreter"] in {command[0] for command in commands}:
        return None
    name, interpreter = excerpt(found.groupdict().get("name") or "the program"), excerpt(found["interpreter"])
    summary = f"The interpreter that {name} names in its first line is not on the node: {interpreter}."
    return Finding("missing-interpreter", summary, _INTERPRETER_ADVICE)


def _run_script_says(facts: Facts) -> Finding | None:
    found = _RUN_SCRIPT_SAYS.search(facts.stderr)
    if found is None:
        return None
    name, reason = excerpt(found["name"]), found["reason"]
    if facts.info.exit_code == 126:
        return _not_executable(name, excerpt(reason))
    if _is_input(name, facts) or "required file not found" in reason:
        summary = f"{name} is there, but the interpreter that its first line names is not on the node."
        return Finding("missing-interpreter", summary, _INTERPRETER_ADVICE)
    return Finding("missing-executable", f"The program {name} was not found on the node.", _EXECUTABLE_ADVICE)


def _is_input(name: str, facts: Facts) -> bool:
    names = facts.description.inputs if facts.description is not None else ()
    # The run script looks for it first.
    missing = re.search(f"chmod: .*{re.escape(name)}", facts.stderr) is not None
    return not missing and (input_of(name, names) is not None or any(name.endswith(f"/{entry}") for entry in names))


def _not_executable(name: str, reason: str) -> Finding:
    summary = f"{name} is there, but cannot be run" + (f": {reason}." if reason else ".")
    advice = "Check that it is a program or a script, for that kind of machine, and that you may execute it there."
    return Finding("not-executable", summary, advice)


def ended_by_signal(facts: Facts) -> Finding | None:
    name = {128 + number: number.name for number in signal.Signals}.get(facts.info.exit_code or 0)
    if not name:
        return None
    if name == "SIGKILL":
        summary = "The program was killed (SIGKILL); mostly, this means that it used more memory than it had."
        return Finding("signal", summary, MORE_MEMORY)
    what = "crashed" if name in _CRASHES else "was ended by a signal"
    return Finding("signal", f"The program {what} ({name}).", _READ_STDERR)


def missing_module(facts: Facts) -> Finding | None:
    error, place = _last_error(facts)
    found = _NO_MODULE.search(error) if facts.info.exit_code else None
    if found is None:
        return None
    summary = f"Python has no module {found['name']} where the job ran{place}."
    return Finding("missing-module", summary, _OWN_ENVIRONMENT)


def exit_code(facts: Facts) -> Finding | None:
    if not facts.info.exit_code:
        return None
    error, place = _last_error(facts)
    last = f": {excerpt(error)}{place}" if error else ", which means failure."
    return Finding("exit-code", f"The program ended with exit code {facts.info.exit_code}{last}", _READ_STDERR)


def _last_error(facts: Facts) -> tuple[str, str]:
    """What stderr ends with; of an exception that ended a Python program, its line and where that program raised it."""
    lines = [line for line in facts.stderr.splitlines() if line.strip()]
    start = max(facts.stderr.rfind("Traceback (most recent call last)"), 0)
    frames = list(_FRAME.finditer(facts.stderr, start)) if facts.info.exit_code == 1 else []
    after = facts.stderr[frames[-1].end() :].splitlines()[1:] if frames else []
    error = next((line for line in after if line.strip() and not line.startswith(" ")), "")
    if not error:
        return lines[-1] if lines else "", ""
    own = [frame for frame in frames if not _OF_A_LIBRARY.search(frame["file"])]
    return error, f" ({excerpt(own[-1]['file'].rpartition('/')[2])}, line {own[-1]['line']})" if own else ""
