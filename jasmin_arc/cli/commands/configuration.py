"""The config commands: show and init."""

from __future__ import annotations

import ast
import inspect
import json
import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import click

from jasmin_arc._support.text import home_short
from jasmin_arc.cli.app import ArcCommand, ArcGroup
from jasmin_arc.cli.context import Context
from jasmin_arc.config import ConnectionConfig, usual_path
from jasmin_arc.display.columns import Column
from jasmin_arc.exceptions import InvalidConfigError

_STARTED = ("ARC_SERVER", "BACKEND", "CLIENT_CERT", "CLIENT_KEY", "CERTS_DIR", "OUTPUT_FILE")
"""The options that a beginner is asked to look at"""
_HOW_TO_SET = "Those that begin with # have their default values; take the # away to set them."


@click.group("config", cls=ArcGroup, no_args_is_help=False)
def config_command() -> None:
    """Show the configuration, or start one."""


@config_command.command("show", cls=ArcCommand)
@click.pass_obj
def show_command(context: Context) -> None:
    """Show each option's value and where it comes from."""
    config = context.config()
    rows = [
        {"option": option, "value": value, "source": config.sources[option]}
        for option, value in config.as_dict().items()
    ]
    columns = (
        Column("option", "OPTION", whole=True),
        Column("value", "VALUE", lambda value: home_short(str(value))),
        Column("source", "FROM", lambda source: home_short(source.replace("the environment variable ", "$"))),
    )
    context.output.table(rows, columns)


@config_command.command("init", cls=ArcCommand)
@click.argument("path", required=False, type=click.Path(), metavar="[FILE]")
@click.option("-f", "--force", is_flag=True, help="Replace a file that is there already.")
@click.pass_obj
def init_command(context: Context, path: str | None, force: bool) -> None:
    """Write a configuration to start from, with comments that say what its options mean.

    FILE is by default the one that --config or $JASMIN_ARC_CONFIG names, or else ~/.config/jasmin_arc/config.json,
    where it is found by itself. Values given by --backend, --server or the environment are written down too.
    """
    in_use = Path(context.config_path) if context.config_path else usual_path()
    # Reading expands a ~ that no shell has, so writing has to, or another file is written than is read.
    target = _expanded(Path(path) if path else in_use)
    try:
        config = context.config()
    except InvalidConfigError:
        if target.absolute() != _expanded(in_use).absolute():
            raise
        # The file that is to be made is not there yet, or is to be replaced because it cannot be read.
        config = context.config(read_file=False)
    if not force and os.path.lexists(target):
        context.fail(f"{target} is there already; --force replaces it", kind="FileExists")
        return
    options = {
        name: value for name, value in config.as_dict().items() if name in _STARTED or not config.is_default(name)
    }
    # A default that is written down is one no more: PROXY_FILE has another path to go to only as long as it is not set.
    lines, texts = {}, option_texts()
    for name, value in config.as_dict().items():
        lines[f"# {name}"] = texts.get(name, "")
        lines[name if name in options else f"#{name}"] = value
    try:
        _write_whole(target, json.dumps(lines, indent=4) + "\n")
    except OSError as error:
        context.fail(f"cannot write {target}: {error.strerror}", kind="OSError")
        return
    context.output.text(_guidance(target), {"path": target, "options": options})


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise InvalidConfigError(f"cannot write {path}: there is no such user") from error


def _write_whole(target: Path, text: str) -> None:
    """Write a file so that the old one stays until the new one is complete. A link to it stays one."""
    if target.exists() and not target.is_file():
        target.write_text(text, encoding="utf-8")  # such as a pipe
        return
    real = Path(os.path.realpath(target))
    real.parent.mkdir(parents=True, exist_ok=True)
    part = real.with_name(f".{real.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as file:
            file.write(text)
        if real.exists():
            shutil.copymode(real, part)
        part.replace(real)
    finally:
        part.unlink(missing_ok=True)


def _guidance(target: Path) -> str:
    lines = [f"Wrote {target}. Look through it: each option has a comment before it.", _HOW_TO_SET]
    if target.absolute() != _expanded(usual_path()).absolute():
        variable = f"  export JASMIN_ARC_CONFIG={shlex.quote(str(target.absolute()))}"
        lines += ["Let all commands and scripts use it, for instance by a line in ~/.profile:", "", variable, ""]
    return "\n".join([*lines, "Then check it: jasmin-arc doctor"]) + "\n"


def option_texts() -> dict[str, str]:
    """Return what the library's source says of each option: there is no second place to keep up to date."""
    try:
        tree = ast.parse(inspect.getsource(ConnectionConfig))
    except (OSError, SyntaxError):
        return {}
    (definition,) = tree.body
    body: list[Any] = getattr(definition, "body", [])
    texts = {}
    for option, text in zip(body, body[1:]):
        if isinstance(option, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            texts[ast.unparse(option.target)] = " ".join(str(text.value.value).replace("``", "").split())
    return texts
