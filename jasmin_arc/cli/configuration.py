"""The config commands: show and init."""

from __future__ import annotations

import ast
import inspect
import json
import os
from pathlib import Path
from typing import Any

import click

from jasmin_arc.cli.common import ArcCommand, SubGroup
from jasmin_arc.cli.exits import FAILED
from jasmin_arc.cli.output import Column, home_short
from jasmin_arc.cli.session import Session
from jasmin_arc.cli.wording import calls
from jasmin_arc.config import ConnectionConfig, default_path
from jasmin_arc.exceptions import InvalidConfigError

_STARTED = ("ARC_SERVER", "BACKEND", "CLIENT_CERT", "CLIENT_KEY", "CERTS_DIR", "OUTPUT_FILE")
"""The options that a beginner is asked to look at"""


@click.group("config", cls=SubGroup, no_args_is_help=False)
def config_command() -> None:
    """Show the configuration, or start one."""


@config_command.command("show", cls=ArcCommand)
@click.pass_obj
def show_command(session: Session) -> None:
    """Show each option's value and where it comes from."""
    config = session.config()
    rows = [
        {"option": option, "value": value, "source": calls(config.sources[option])}
        for option, value in config.as_dict().items()
    ]
    columns = (
        Column("option", "OPTION", whole=True),
        Column("value", "VALUE", lambda value: home_short(str(value))),
        Column("source", "FROM", lambda source: home_short(source.replace("the environment variable ", "$"))),
    )
    session.output.table(rows, columns)


@config_command.command("init", cls=ArcCommand)
@click.argument("path", required=False, type=click.Path(), metavar="[FILE]")
@click.option("-f", "--force", is_flag=True, help="Replace a file that is there already.")
@click.pass_obj
def init_command(session: Session, path: str | None, force: bool) -> None:
    """Write a configuration to start from, with comments that say what its options mean.

    FILE is config.json in ~/.config/jasmin_arc by default, where it is found by itself. Values given by --backend,
    --server or the environment are written down too.
    """
    target = Path(path) if path else default_path()
    config = _to_start_from(session, replacing=target.exists())
    options = {name: config.as_dict()[name] for name in _STARTED}
    options.update((name, value) for name, value in config.as_dict().items() if not config.is_default(name))
    if _write(session, target, json.dumps(_commented(options), indent=4) + "\n", force=force):
        session.output.results.append({"path": target, "options": options})
        if not session.output.json:
            session.output.stream(_guidance(target))


def _to_start_from(session: Session, *, replacing: bool) -> ConnectionConfig:
    try:
        return session.config()
    except InvalidConfigError:
        if not replacing:
            raise
        # The file that cannot be read may be the one that is to be replaced.
        return ConnectionConfig(session.options)


def _commented(options: dict[str, Any]) -> dict[str, Any]:
    texts = option_texts()
    lines: dict[str, Any] = {}
    for name, value in options.items():
        lines[f"# {name}"] = texts.get(name, "")
        lines[name] = value
    return lines


def _write(session: Session, target: Path, text: str, *, force: bool) -> bool:
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(target, flags, 0o644), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        session.fail(f"{target} is there already; --force replaces it", kind="FileExists", code=FAILED)
        return False
    except OSError as error:
        session.fail(f"cannot write {target}: {error.strerror}", kind="OSError", code=FAILED)
        return False
    return True


def _guidance(target: Path) -> str:
    import shlex

    lines = [f"Wrote {target}. Look through it: each option has a comment before it."]
    if target.absolute() != default_path().absolute():
        quoted = shlex.quote(str(target.absolute()))
        lines += ["Let all commands and scripts use it, for instance by a line in ~/.profile:", ""]
        lines += [f"  export JASMIN_ARC_CONFIG={quoted}", ""]
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
