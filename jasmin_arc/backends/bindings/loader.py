"""Finds the ARC bindings where distributions put them, and loads them: once, and when they are needed."""

from __future__ import annotations

import ctypes
import functools
import glob
import importlib.machinery
import importlib.util
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from jasmin_arc.exceptions import BindingsNotFoundError

# The places of Debian and Ubuntu, of Fedora and EPEL, and of builds by hand.
DISTRIBUTION_FOLDERS = (
    "/usr/lib/python3/dist-packages",
    "/usr/lib64/python3*/site-packages",
    "/usr/lib/python3*/site-packages",
    "/usr/local/lib64/python3*/*-packages",
    "/usr/local/lib/python3*/*-packages",
)
INSTALL = "install the package python3-nordugrid-arc (Debian, Ubuntu, Fedora and EPEL have it)"

_lock = threading.Lock()
_loaded: ModuleType | None = None


def load_arc() -> ModuleType:
    """Return the module ``arc``: NorduGrid's bindings, complete.

    :raises BindingsNotFoundError: if there are none for this Python
    """
    global _loaded
    with _lock:
        if _loaded is None:
            _loaded = _already_imported() or _load(_find_compiled_half())
            leave_without_destructors()
        return _loaded


def _already_imported() -> ModuleType | None:
    present = sys.modules.get("arc")
    if present is None or _is_complete(present):
        return present
    if Path(getattr(present, "__file__", None) or "").with_name("compute.py").is_file():
        # What ARC's server packages install: the bindings without their compiled half.
        _forget()
        return None
    raise BindingsNotFoundError(
        f"another package called 'arc' than the NorduGrid ARC bindings has been imported from "
        f"{getattr(present, '__file__', 'an unknown place')}",
        advice="use a Python environment without that package",
    )


def _is_complete(module: ModuleType) -> bool:
    # Without its compiled half, `import arc` succeeds all the same and gives an empty module.
    return hasattr(module, "UserConfig") and hasattr(module, "ARC_VERSION")


def _find_compiled_half() -> Path:
    distribution = [folder for pattern in DISTRIBUTION_FOLDERS for folder in sorted(glob.glob(pattern))]  # noqa: PTH207
    others: list[str] = []
    for folder in map(Path, dict.fromkeys([*filter(None, sys.path), *distribution])):
        if not (folder / "arc" / "compute.py").is_file():
            continue
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            if (folder / f"_arc{suffix}").is_file():
                return folder / f"_arc{suffix}"
        others += [path.name for path in folder.glob("_arc.*.so")]
    here = f"Python {sys.version_info[0]}.{sys.version_info[1]} ({sys.executable})"
    if not others:
        raise BindingsNotFoundError(f"{here} finds no NorduGrid ARC bindings", advice=INSTALL)
    versions = sorted(set(map(_python_version, others)))
    raise BindingsNotFoundError(
        f"the NorduGrid ARC bindings of this machine are for {' and '.join(versions)}, and this is {here}",
        advice="use that Python, for example in a virtual environment made by /usr/bin/python3 -m venv",
    )


def _python_version(file_name: str) -> str:
    match = re.search(r"(?:cpython-|cp)(\d)(\d+)", file_name)
    return f"Python {match[1]}.{match[2]}" if match else f"another Python ({file_name})"


def _load(compiled: Path) -> ModuleType:
    folder = compiled.parent
    try:
        # The compiled half puts its parts into the module `arc`, so that has to stand there first.
        module, run_module = _prepare("arc", folder / "arc" / "__init__.py", package=folder / "arc")
        _prepare("_arc", compiled)[1]()
        run_module()
        if not _is_complete(module):
            # The package swallows the reason; asked for one of its parts, Python tells it.
            importlib.import_module("arc.compute")
            raise ImportError("they lack UserConfig")
    except (ImportError, OSError, AttributeError) as error:
        _forget()
        raise BindingsNotFoundError(
            f"the NorduGrid ARC bindings in {folder} cannot be loaded: {error}",
            advice=f"{INSTALL} again, in one version with the other nordugrid-arc packages",
        ) from error
    return module


def _prepare(name: str, path: Path, *, package: Path | None = None) -> tuple[ModuleType, Callable[[], None]]:
    """Make the module of a given file and what runs it; the folder never enters ``sys.path``."""
    locations = None if package is None else [str(package)]
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=locations)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    return module, functools.partial(spec.loader.exec_module, module)


def _forget() -> None:
    for name in [name for name in sys.modules if name in ("arc", "_arc") or name.startswith("arc.")]:
        del sys.modules[name]


def leave_without_destructors() -> None:
    """Let the process end right after C's own buffers are written, with its own exit code.

    A static destructor of libarccommon waits forever for a lock that nobody gives back, so none may run; ARC's own
    tools end with ``_exit`` too. Python's own exit (atexit, threads, buffers) comes before all this.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    try:
        # The last one registered runs first.
        libc.on_exit(ctypes.cast(libc._exit, ctypes.c_void_p), None)
        libc.__cxa_atexit(ctypes.cast(libc.fflush, ctypes.c_void_p), None, None)
    except AttributeError:
        # Another C library than glibc; there is nothing to be done from here.
        return
