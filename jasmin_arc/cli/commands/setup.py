"""Commands for the beginning: doctor, config, proxy, site, completion."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jasmin_arc._support.text import counted, home_short
from jasmin_arc.backends.table import entry_of
from jasmin_arc.cli import completion
from jasmin_arc.cli.app import ArcCommand, ArcGroup, context_of
from jasmin_arc.cli.context import Context
from jasmin_arc.cli.exit_codes import NOT_FOUND
from jasmin_arc.cli.output import fitted
from jasmin_arc.config import PATH_OPTIONS, ConnectionConfig, usual_path
from jasmin_arc.display import site as site_tables
from jasmin_arc.display.columns import Column, Row
from jasmin_arc.exceptions import InvalidConfigError
from jasmin_arc.site_info import SiteInfo

if TYPE_CHECKING:
    from jasmin_arc.credentials.proxy_file import ProxyInfo
    from jasmin_arc.credentials.token import TokenInfo

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}
_PROXY = ("path", "identity", "subject", "attributes", "attributes_expire", "not_before", "expires", "time_left")
_TOKEN = ("source", "identity", "issuer", "subject", "scopes", "audience", "not_before", "expires", "time_left")
_CHECKS = (
    Column("outcome", "", lambda text: text.ljust(7), lambda row: _COLOURS.get(row["outcome"], ""), whole=True),
    Column("name", "", lambda text: text.ljust(15), lambda _: "bold", whole=True),
    Column("found", "", style=lambda row: "" if row["outcome"] else "bold"),
)


@click.command("doctor", cls=ArcCommand)
@click.pass_obj
def doctor_command(context: Context) -> None:
    """Check what a first job needs, with remedies.

    The checks come in the order in which problems have to be solved. The report holds no secrets. The exit code is
    1 if a check failed.
    """
    from jasmin_arc.doctor import Outcome, examine

    failed = []
    checks = examine(context.config_path, config=context.options, origin="the command line")
    while True:
        # Each check has a line of progress of its own, as any of them may have to wait for a silent server.
        with context.busy("checking"):
            check = next(checks, None)
        if check is None:
            break
        _print_check(context, {**asdict(check), "outcome": check.outcome.value, "remedy": context.advice(check.remedy)})
        if check.outcome is Outcome.FAILED:
            failed.append(check.name)
    if failed:
        advice = "; begin with the first" if len(failed) > 1 else ""
        context.fail(f"{counted(len(failed), 'check')} failed{advice}: {failed[0]}", kind="CheckFailed")
    else:
        context.hint(f"Ready. A first job: {context.program} run -- hostname")


def _print_check(context: Context, row: Row) -> None:
    if context.output.json or not context.output.is_terminal:
        context.output.table([row], [Column(key, "") for key in ("outcome", "name", "found", "remedy")])
        return
    remedy = {"outcome": "", "name": "", "found": row["remedy"]}
    context.output.print_table([row, remedy] if row["remedy"] else [row], _CHECKS)


@click.command("site", cls=ArcCommand)
@click.option("--find", "name", metavar="NAME", help="Look for a program or module there instead.")
@click.pass_obj
def site_command(context: Context, name: str | None) -> None:
    """Show queues, limits, accounts and runtime environments.

    Of queues, accounts and qualities of service (QoS), those of jobs that name none are marked. With --find, print
    where a program is, and which modules have the name in theirs; the exit code is 3 if there is none.
    """
    if name is not None:
        _find(context, name)
        return
    with context.busy("asking the site"):
        site = context.arc.site()
    if context.output.json:
        context.output.results.append(asdict(site))
    elif context.output.is_terminal:
        _print_site(context, site)
    else:
        _list_site(context, site)


def _print_site(context: Context, site: SiteInfo) -> None:
    context.output.print_record(site_tables.record(site))
    for rows, columns in ((site_tables.queues(site), site_tables.QUEUES), (site_tables.qos(site), site_tables.QOS)):
        if rows:
            print()  # noqa: T201
            context.output.print_table(rows, site_tables.filled(columns, rows))
    if site.runtime_environments is None:
        context.hint(f"\nA program or a module: {context.program} site --find NAME")


def _list_site(context: Context, site: SiteInfo) -> None:
    kind, name, default = Column("kind", ""), Column("name", ""), Column("default", "")
    environments = [{"name": entry} for entry in site.runtime_environments or ()]
    for what, rows, columns in (
        ("queue", site_tables.queues(site), [kind, *site_tables.QUEUES, default]),
        ("qos", site_tables.qos(site), [kind, *site_tables.QOS, default]),
        ("account", site_tables.accounts(site), [kind, name, default]),
        ("runtime-environment", environments, [kind, name]),
    ):
        context.output.table([{"kind": what, **row} for row in rows], columns)


def _find(context: Context, name: str) -> None:
    try:
        with context.busy("asking the site"):
            found = context.arc.find_software(name)
    except ValueError as error:
        raise click.UsageError(f"--find: {error}") from error
    context.output.table(site_tables.software(found), site_tables.SOFTWARE)
    if not found:
        text = f"no program {name!r} was found at {context.arc.backend.endpoint}, and no module with that in its name"
        context.fail(text, kind="NotFound", code=NOT_FOUND)


@click.group("proxy", cls=ArcGroup, no_args_is_help=False)
def proxy_command() -> None:
    """Make or remove the proxy certificate; show the credentials.

    Jobs are submitted with a short-lived copy of your certificate, the proxy. It is made when it is needed; a key
    with a passphrase has to be unlocked by 'proxy create'. Where a token is used instead, 'proxy info' shows that.
    """


@proxy_command.command("create", cls=ArcCommand)
@click.pass_obj
def create_command(context: Context) -> None:
    """Make a new proxy in place of the present one.

    It has the attributes that the option VOMS asks for. One that has others, and has not ended, is not replaced.
    """
    context.arc.create_proxy()
    if context.arc.credentials.is_token:
        context.hint("This proxy is not used: AUTH is token, or a token is all that there was.")
    context.output.record(_credentials_row(context.arc.proxy.info(), _PROXY))


@proxy_command.command("info", cls=ArcCommand)
@click.pass_obj
def info_command(context: Context) -> None:
    """Show the proxy or token in use.

    That is: who you are with it, until when, with what rights. The exit code is 1 if there is none, or it has expired.
    """
    credentials = context.arc.credentials
    info = credentials.info()
    if info is not None:
        context.output.record(_credentials_row(info, _TOKEN if credentials.is_token else _PROXY))
        if info.time_left is None or info.time_left.total_seconds() > 0:
            return
    if credentials.is_token:
        # It says where tokens are looked for, or when this one ended, and what to do.
        credentials.ensure()
    what = "there is no proxy" if info is None else "the proxy has expired"
    context.fail(f"{what}; {context.command('proxy create')} makes one", kind="NoProxy")


@proxy_command.command("destroy", cls=ArcCommand)
@click.pass_obj
def destroy_command(context: Context) -> None:
    """Remove the present proxy. Jobs keep the copies that they have."""
    existed = context.arc.proxy.destroy()
    context.output.text("removed\n" if existed else "there was none\n", {"removed": existed})


def _credentials_row(info: ProxyInfo | TokenInfo | None, keys: Sequence[str]) -> dict[str, Any]:
    return {key: getattr(info, key) for key in keys} if info is not None else {}


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
        Column("value", "VALUE", lambda value: _readable(home_short(str(value)))),
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
    values = {name: home_short(value) if name in PATH_OPTIONS else value for name, value in config.as_dict().items()}
    changed = (name for name in values if not config.is_default(name))
    written = dict.fromkeys([*entry_of(config.BACKEND).first, *changed])
    options = {name: values.pop(name) for name in written}
    try:
        _write_whole(target, _document(options, values))
    except OSError as error:
        context.fail(f"cannot write {target}: {error.strerror}", kind="OSError")
        return
    context.output.text(_guidance(target), {"path": target, "options": options}, prose=True)


def _document(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Write a configuration that says what each option means.

    A default that is written down is one no more: PROXY_FILE has another path to go to only as long as it is not set.
    So the others are comments.
    """
    texts = option_texts()
    set_here = [{f"# {name}": texts.get(name, ""), name: value} for name, value in options.items()]
    comments = {f"# {name} = {_readable(value)}": texts.get(name, "") for name, value in defaults.items()}
    parts = [json.dumps(part, indent=4)[2:-2] for part in [*set_here, comments]]
    return "{\n" + ",\n\n".join(parts) + "\n}\n"


def _readable(value: Any) -> str:
    return str(value) or "(empty)"


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
    parts = [
        f"Wrote {home_short(str(target))}",
        "Look through it. A line that begins with # is a comment: it says what an option means.",
        "An option that stands only in a comment has its default value, which the comment shows.",
    ]
    command = f"\n  export JASMIN_ARC_CONFIG={shlex.quote(str(target.absolute()))}\n"
    if target.absolute() != _expanded(usual_path()).absolute():
        parts += ["Let all commands and scripts use it, for instance by a line in ~/.profile:", command]
    parts.append("Then check it: jasmin-arc doctor")
    # The command is to be copied, so it stays on its line.
    return "\n".join(part if part is command else fitted(part, sys.stdout) for part in parts) + "\n"


def option_texts() -> dict[str, str]:
    """Return what the library's source says of each option: there is no second place to keep up to date."""
    try:
        source = inspect.getsource(ConnectionConfig)
    except OSError:
        return {}
    texts = re.findall(r'^    ([A-Z_]+): [^\n]*\n    """(.+?)"""', source, re.MULTILINE | re.DOTALL)
    return {option: " ".join(text.replace("``", "").split()) for option, text in texts}


@click.command("completion", cls=ArcCommand)
@click.argument("shell", type=click.Choice(completion.SHELLS))
@click.pass_context
def completion_command(click_context: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    \b
      bash:  echo 'source <(jasmin-arc completion bash)' >> ~/.bashrc
      zsh:   echo 'source <(jasmin-arc completion zsh)' >> ~/.zshrc
      fish:  jasmin-arc completion fish > ~/.config/fish/completions/jasmin-arc.fish
    """
    text = completion.script(shell, click_context.find_root().command)
    context_of(click_context).output.text(text, {"shell": shell, "script": text})
