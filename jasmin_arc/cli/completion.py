"""Completion in shells. Commands, options and jobs come from here; the names of files from the shell itself."""

from __future__ import annotations

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from jasmin_arc.cli.context import COMPLETION_VARIABLE, PROGRAM

# --- What to complete: shell_complete of options ---


def complete_file(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete the name of a file."""
    return [CompletionItem(incomplete, type="file")]


def complete_directory(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete the name of a directory."""
    return [CompletionItem(incomplete, type="dir")]


def complete_input(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete the path in ``NAME=PATH``, or a path alone."""
    name, equals, path = incomplete.partition("=")
    return [CompletionItem(path if equals and "/" not in name else incomplete, type="file")]


# --- How the shells do it ---


class _Bash(BashComplete):
    """Bash takes words apart at each equals sign, and completes what is behind it."""

    def get_completion_args(self) -> tuple[list[str], str]:
        words, incomplete = super().get_completion_args()
        joined: list[str] = []
        for word in [*words, incomplete]:
            if joined and (word == "=" or joined[-1].endswith("=")):
                joined[-1] += word
            else:
                joined.append(word)
        return joined[:-1], joined[-1]


_ZSH_PATHS = "_path_files"
_FISH_PATHS = "__fish_complete_path $metadata[2]"


class _Zsh(ZshComplete):
    """Zsh is told to complete only what is behind an equals sign, where what it is given has none."""

    source_template = ZshComplete.source_template.replace(
        _ZSH_PATHS, f"[[ $key == *=* ]] || compset -P '*='; {_ZSH_PATHS}"
    )


class _Fish(FishComplete):
    """Fish wants the whole word, with what stands before the path."""

    source_template = FishComplete.source_template.replace(
        _FISH_PATHS,
        "set -l before '';"
        " string match -q '*=*' -- $metadata[2]; or set before (string match -r '^.*=' -- (commandline -t));"
        f' for path in ({_FISH_PATHS}); echo "$before$path"; end',
    )


_CLASSES: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}
SHELLS = tuple(_CLASSES)


def register() -> None:
    """Let click complete in these ways."""
    for name, kind in _CLASSES.items():
        add_completion_class(kind, name)


def script(shell: str, command: click.Command) -> str:
    """Return what makes this shell complete the program."""
    return _CLASSES[shell](command, {}, PROGRAM, COMPLETION_VARIABLE).source()
