"""The library's advice in the words of the command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from jasmin_arc.config import without_secrets

_CALLS = (
    (re.compile(r"\brecover\(\)"), "'jasmin-arc recover'"),
    (re.compile(r"\bsite\(\)"), "'jasmin-arc site'"),
    (re.compile(r"\blist_jobs\(\)"), "'jasmin-arc list'"),
    (re.compile(r"\bcheck\(\)"), "'jasmin-arc submit --check'"),
    (re.compile(r"\brenew\(\)"), "'jasmin-arc renew JOB'"),
    (re.compile(r"\bexplain\(\)"), "'jasmin-arc explain JOB'"),
    (re.compile(r"\bresubmit_jobs\(\)"), "'jasmin-arc resubmit JOB'"),
    (re.compile(r"\bsave_(?:job_)?outputs\(\)"), "'jasmin-arc output JOB'"),
    (re.compile(r"\bfollow\(id\)"), "'jasmin-arc follow JOB'"),
    (re.compile(r"\bread\(id, '(\w+)'\)"), r"'jasmin-arc cat JOB \1'"),
    (re.compile(r"\b(force|overwrite)=True"), r"--\1"),
)
_SUGGESTED = re.compile(r"(?<![\w/.-])jasmin-arc (?=[a-z])")
_ON_THE_COMMAND_LINE = {"BACKEND": "--backend", "ARC_SERVER": "--server"}
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


def repeat_options(text: str, config_path: str | None, given: Mapping[str, str]) -> str:
    """Give the commands that a text suggests the options that this one was given.

    :param config_path: what ``--config`` says
    :param given: options of the configuration from the command line
    """
    words = ["jasmin-arc", *(["--config", config_path] if config_path else [])]
    for option, name in _ON_THE_COMMAND_LINE.items():
        # An address that holds a password is refused everywhere, so nothing is lost without it.
        if option in given and given[option] == without_secrets(given[option]):
            words += [name, given[option]]
    return _SUGGESTED.sub(lambda _: shlex.join(words) + " ", text)


def about_job(text: str, name: str) -> str:
    """Name the job in the commands that a text suggests."""
    return re.sub(r"('jasmin-arc \w+) JOB\b", lambda found: f"{found[1]} {name}", text)
