"""The library's advice in the words of the command line."""

from __future__ import annotations

from jasmin_arc.exceptions import PYTHON_WORDS

_COMMANDS = {
    "check": "submit --check",
    "config_init": "config init",
    "config_show": "config show",
    "doctor": "doctor",
    "explain": "explain {job}",
    "follow": "follow {job}",
    "list": "list",
    "proxy_create": "proxy create",
    "proxy_destroy": "proxy destroy",
    "read_stderr": "cat {job} stderr",
    "recover": "recover",
    "renew": "renew {job}",
    "resubmit": "resubmit {job}",
    "save": "output {job}",
    "site": "site",
}
_OPTIONS = {"inputs": "--input", "outputs": "--output"}
"""Options that are not called like the argument in Python"""


def shell_words(program: str, job: str = "JOB") -> dict[str, str]:
    """Return the words for all that an :class:`~jasmin_arc.exceptions.Advice` can name.

    :param program: how the program is called, with the options that lead to the same place
    :param job: what is enough to type of the job that the advice is about
    """
    commands = {name: f"'{program} {text.format(job=job)}'" for name, text in _COMMANDS.items()}
    options = {name: _OPTIONS.get(name, f"--{name.replace('_', '-')}") for name in PYTHON_WORDS}
    return {**options, **commands}
