"""Files that the commands of a job name, and that do not go to where it runs."""

from __future__ import annotations

import os
import posixpath
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from jasmin_arc.description import JobDescription, is_pattern

_BEFORE_CODE = {
    re.compile(r"(?:.*/)?(?:\w*sh|python[\d.]*)"): re.compile(r"-\w*[cm]"),
    re.compile(r"(?:.*/)?(?:perl|ruby|node|julia|R|Rscript)"): re.compile(r"-\w*e"),
}
"""By programs, the options after which comes no file, but code or the name of a module"""


def not_sent(job: JobDescription, *, is_meant: Callable[[str], bool] = bool) -> list[str]:
    """Return the relative paths, as the commands name them, that are neither inputs nor outputs.

    A program without a slash is among them only if it is a file here, and no program of this machine.

    :param is_meant: tells which words count: not every argument is a path
    """
    # To look for an absolute path may hang, where its file system does.
    named = (name for command in job.commands for name in _names(command) if _is_relative(name))
    names = dict.fromkeys(filter(is_meant, named))
    return [name for name in names if not _is_known(posixpath.normpath(name), job)]


def is_here(name: str) -> bool:
    """Say whether there is a file or folder of this name on this machine."""
    try:
        return os.path.exists(name)  # noqa: PTH110 - a Path of a hostile or very long text may raise other errors
    except ValueError:
        return False


def _names(command: tuple[str, ...]) -> Iterator[str]:
    program, *arguments = command
    if "/" in program or (is_here(program) and shutil.which(program) is None):
        yield program
    for number, argument in enumerate(arguments, 1):
        if _is_code(command[:number]):
            continue
        if not argument.startswith("-"):
            yield argument
        yield argument.partition("=")[2]


def _is_code(before: tuple[str, ...]) -> bool:
    """Whether what comes after these words is no file, as after ``sh -c``."""
    *programs, option = before
    return any(end.fullmatch(option) and any(map(program.fullmatch, programs)) for program, end in _BEFORE_CODE.items())


def _is_relative(name: str) -> bool:
    return bool(name) and not name.startswith("/") and posixpath.normpath(name) not in (".", "..")


def _is_known(path: str, job: JobDescription) -> bool:
    """Whether it is an input or an output, or in one, or holds one."""
    places = [path, *map(str, PurePosixPath(path).parents)]
    names = [name.rstrip("/") for name in (*job.inputs, *(job.outputs or {}))]
    return any(_covers(name, places) or name.startswith(path + "/") for name in names)


def _covers(name: str, places: Iterable[str]) -> bool:
    return any(place == name or (is_pattern(name) and fnmatchcase(place, name)) for place in places)
