"""A session directory at the job's end: the outputs stay, the rest is deleted. Only the standard library is loaded."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
from collections.abc import Iterable

from jasmin_arc.constants import RUN_SCRIPT_NAME, STDERR_NAME, STDOUT_NAME

_ATTEMPTS = 20
"""To remove a folder that another process is removing too"""


def clean_session(session: str, outputs: Iterable[str], output_list: str = "") -> None:
    """Keep standard output and error and the outputs, and delete all else.

    The list of the outputs stays until :func:`drop_output_list`, since a run that was cut short needs it again.

    :param outputs: their names, which are no patterns
    :param output_list: the file in which the run script listed what the patterns matched, if there are patterns
    """
    listed = _listed(os.path.join(session, output_list)) if output_list else []
    keep = {STDOUT_NAME, STDERR_NAME, *outputs, *listed, output_list}
    parents = {name[: slash.start()] for name in keep for slash in re.finditer("/", name)}
    try:
        _clean(session, "", keep, parents)
    except (OSError, RecursionError) as error:
        # What cannot be deleted is no reason to lose how the job ended.
        print(f"{session}: cannot be cleaned: {error}", file=sys.stderr, flush=True)  # noqa: T201 - a log file


def drop_output_list(session: str, output_list: str) -> None:
    if output_list:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(session, output_list))


def _listed(path: str) -> list[str]:
    """The outputs that the job's run script listed, those inside the session folder."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            names = listed_outputs(file.read())
    except OSError:
        return []
    return ["/".join(part for part in name.split("/") if part not in ("", ".")) for name in names]


def listed_outputs(text: str) -> list[str]:
    """Read the list that the run script wrote: one name a line, with backslashes before white space."""
    return [re.sub(r"\\(.)", r"\1", line) for line in text.split("\n") if line]


def _clean(folder: str, prefix: str, keep: set[str], parents: set[str]) -> None:
    for entry in _entries(folder):
        name = prefix + entry.name
        if name in keep:
            continue
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)
        elif name in parents:
            _clean(entry.path, name + "/", keep, parents)
            with contextlib.suppress(OSError):
                os.rmdir(entry.path)
        else:
            remove_tree(entry.path)


def remove_tree(folder: str) -> None:
    """Remove a folder and all in it, however deep, also where the job took away its own permission to do so."""
    for attempt in range(_ATTEMPTS):
        try:
            _remove_tree(folder)
            return
        except OSError as error:
            # Another process, in a second terminal, may be removing it too.
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY) or attempt + 1 == _ATTEMPTS:
                raise


def _remove_tree(folder: str) -> None:
    folders = [folder] if os.path.lexists(folder) else []
    for path in folders:
        for entry in _entries(path):
            if not entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    # The runner may be removing its own files of a job that has just ended.
                    os.unlink(entry.path)
            else:
                # Each folder is brought up to the top first, as paths have a greatest length and trees have none.
                raised = os.path.join(folder, f"{RUN_SCRIPT_NAME}.{os.getpid()}.{len(folders)}")
                os.chmod(entry.path, 0o700)
                os.rename(entry.path, raised)
                folders.append(raised)
    for path in reversed(folders):
        os.rmdir(path)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    if stat.S_IMODE(os.lstat(folder).st_mode) & 0o700 != 0o700:
        os.chmod(folder, 0o700)
    with os.scandir(folder) as entries:
        return list(entries)
