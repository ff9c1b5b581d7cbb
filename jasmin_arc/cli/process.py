"""A command as a process: whatever happens, one line says it, and the exit code is one of those documented."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from jasmin_arc._support.suggestions import nearest
from jasmin_arc.cli.app import root
from jasmin_arc.cli.context import COMPLETION_VARIABLE, PROGRAM, Context
from jasmin_arc.cli.exit_codes import FAILED, INTERRUPTED, READER_GONE, USAGE, exit_code
from jasmin_arc.exceptions import JasminArcError, JobListError, ServerError


def run(args: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - lasts as long as the process
    if sys.stdout is None:
        # Nobody could be told of what was done.
        Context().say("standard output is closed; nothing was done")
        return FAILED
    # A name that the terminal's encoding does not have must not end the command.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if instruction := os.environ.get(COMPLETION_VARIABLE):
        return _complete(instruction)
    words = list(args) or ["--help"]
    # A mistake may stand before the option, and has to be told in JSON all the same.
    context = Context(json="--json" in words[: words.index("--") if "--" in words else None])
    try:
        code = _tell(context, words)
    finally:
        interrupted = not _close(context)
    return INTERRUPTED if interrupted else code


def _tell(context: Context, args: list[str]) -> int:
    """Carry out the command, and see to it that all it says is written."""
    try:
        code = _attempt(context, args)
        context.output.finish(code)
        sys.stdout.flush()
    except BrokenPipeError:
        code = READER_GONE
    except OSError as error:
        context.say(f"cannot write to standard output: {error.strerror or error}; check where it leads")
        context.tell_what_was_done()
        code = FAILED
    except KeyboardInterrupt:
        code = INTERRUPTED
    else:
        return code
    # The interpreter's last flush goes nowhere, so that it does not complain.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _close(context: Context) -> bool:
    """Let the job list be brought up to date, whatever became of the output; say whether nobody interrupted that."""
    try:
        context.close()
    except OSError as error:
        context.say(f"warning: the connections cannot be closed: {error.strerror or error}")
    except KeyboardInterrupt:
        return False
    return True


def _attempt(context: Context, args: list[str]) -> int:
    try:
        with root.make_context(PROGRAM, args, obj=context) as click_context:
            root.invoke(click_context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        context.fail(_usage_line(error), kind="UsageError", code=USAGE)
    except (click.Abort, KeyboardInterrupt):
        told = "; ".join(filter(None, ["stopped", context.how_to_get_back()]))
        context.fail(told, kind="Interrupted", code=INTERRUPTED)
    except JasminArcError as error:
        context.fail_with(error)
        if isinstance(error, (ServerError, JobListError)) and (way_back := context.how_to_get_back()):
            context.say(way_back)
    except BrokenPipeError:
        raise
    except OSError as error:
        what = error.filename or "reading or writing"
        context.fail(f"{what}: {error.strerror or error}", kind="OSError")
        context.tell_what_was_done()
    except RecursionError:
        context.fail("what was given is nested too deeply; nothing was done", kind="UsageError", code=USAGE)
    except Exception as error:  # noqa: BLE001 - a user is never shown a traceback
        context.fail(_internal(error), kind="InternalError")
        context.details(error)
    return exit_code(context.codes)


def _usage_line(error: click.ClickException) -> str:
    usage = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        # Of several, the one that is most like it; click has sorted them by their letters.
        meant = nearest(error.option_name, error.possibilities) or error.possibilities[0]
        return f"there is no option {error.option_name!r}; did you mean {meant!r}?"
    told = " ".join(error.format_message().split()).rstrip(".")
    told = told[:1].lower() + told[1:]
    return told if ";" in told or usage is None else f"{told}; see '{usage.command_path} --help'"


def _internal(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""  # noqa: PTH119
    return f"internal error: {type(error).__name__}{place}: {error}; please report it, with the output of --verbose"


def _complete(instruction: str) -> int:
    from click.shell_completion import shell_complete

    from jasmin_arc.cli.completion import register

    try:
        register()
        return shell_complete(root, {"obj": Context()}, PROGRAM, COMPLETION_VARIABLE, instruction)
    except Exception:  # noqa: BLE001 - whoever presses Tab must not see an error
        return FAILED


class _NeverFails(io.FileIO):
    """Drops what cannot be written."""

    def write(self, block: Any, /) -> int:
        try:
            return super().write(block) or len(block)
        except OSError:
            return len(block)


def ignore_errors_of_standard_error() -> None:
    """Let nothing fail because a message or a progress bar cannot be shown: what a command has done is done."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        file = io.BufferedWriter(_NeverFails(sys.stderr.fileno(), "w", closefd=False))
        sys.stderr = io.TextIOWrapper(file, sys.stderr.encoding, line_buffering=True)
