"""The library's advice in the words of the command line."""

from __future__ import annotations

import re

_CALLS = (
    (re.compile(r"\bthe config argument\b"), "the command line"),
    (re.compile(r"\brecover\(\)"), "'jasmin-arc recover'"),
    (re.compile(r"\brenew\(\)"), "'jasmin-arc renew'"),
    (re.compile(r"\bforce=True"), "--force"),
    (re.compile(r"\bread\(id, '(\w+)'\)"), r"'jasmin-arc cat JOB \1'"),
)
_OPTIONS = {
    "wall_time": "--wall-time",
    "cpu_time": "--cpu-time",
    "memory": "--memory",
    "slots": "--slots",
    "outputs": "--output",
    "inputs": "--input",
    "input_files": "--input",
    "runtime_environments": "--runtime-environment",
    "queue": "--queue",
    "rerun": "--rerun",
    "stdin": "--stdin",
}
_OPTION = re.compile(rf"(?<![\w-])({'|'.join(_OPTIONS)})=(?:'([^']*)'|(?=\S))?")


def calls(text: str) -> str:
    """Name commands instead of methods."""
    for method, command in _CALLS:
        text = method.sub(command, text)
    return text


def options(text: str) -> str:
    """Name options instead of arguments; for advice only, as what it quotes would change too."""
    return _OPTION.sub(lambda found: f"{_OPTIONS[found[1]]} {found[2] or ''}".rstrip() + _gap(found, text), calls(text))


def _gap(found: re.Match[str], text: str) -> str:
    after = text[found.end() : found.end() + 1]
    return " " if found[2] is None and after and not after.isspace() and after not in ".,;:)" else ""
