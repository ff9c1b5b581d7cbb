"""Each room of the package imports only the rooms that it may know, so that the picture stays true."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import jasmin_arc

PACKAGE = Path(jasmin_arc.__file__).parent
MAX_LINES = 500
"""Of one module"""

DATA = {"exceptions", "constants", "job_info", "site_info", "description", "config"}
BELOW_BACKENDS = DATA | {"_support", "credentials", "job_list", "backends.base"}
SERVICES = {"staging", "watcher", "explain"}
MAY_IMPORT = {
    "version": set(),
    "exceptions": set(),
    "constants": set(),
    # What holds facts shows them, too, with the words and the HTML of _support.
    "site_info": {"_support"},
    "job_info": {"constants", "_support"},
    "backends.table": {"exceptions"},
    "config": {"exceptions", "description", "_support", "backends.table"},
    "_support": {"exceptions", "constants"},
    "description": {"exceptions", "constants", "_support"},
    # VOMS attributes come from a server. What is used of HTTP is any server's.
    "credentials": {"exceptions", "config", "_support", "backends.http"},
    "job_list": DATA - {"config"} | {"_support"},
    "backends.base": DATA - {"config"} | {"credentials", "job_list"},
    "staging": DATA - {"config"} | {"_support", "job_list", "backends.base"},
    "watcher": {"exceptions", "constants", "_support", "backends.base"},
    "explain": DATA - {"config"} | {"_support", "job_list", "backends.base", "staging"},
    "backends.http": {"exceptions", "_support"},
    "backends.posix": DATA - {"config"} | {"_support", "staging"},
    "backends.rest": BELOW_BACKENDS | {"staging", "backends.http", "doctor"},
    "backends.bindings": BELOW_BACKENDS | {"staging", "backends.http", "backends.rest", "doctor"},
    "backends.shell": DATA - {"config"} | {"_support", "staging"},
    "backends.slurm": BELOW_BACKENDS | {"staging", "backends.posix", "backends.shell", "doctor"},
    "backends.local": BELOW_BACKENDS | {"staging", "backends.posix", "doctor"},
    "job": {"_support", "exceptions", "constants", "explain"},
    "jobs": {"_support", "constants", "job"},
    "proxy": {"credentials"},
    "doctor": DATA | {"_support", "credentials", "job_list", "backends.table", "version"},
    "interface": BELOW_BACKENDS | SERVICES | {"backends.table", "display"},
    "arc_interface": {"exceptions", "constants", "description", "_support", "interface", "job", "jobs", "executor"},
    "functions": {"_support", "exceptions", "constants", "description", "explain", "job"},
    "executor": {"_support", "exceptions", "constants", "description", "functions"},
    "joblib": {"exceptions", "arc_interface", "executor"},
    "display": DATA - {"config"} | {"_support"},
    "": DATA | {"arc_interface", "job", "jobs", "explain", "version"},
    "cli": {"", "arc_interface", "job", "display", "doctor", "version"}
    | BELOW_BACKENDS
    | SERVICES - {"watcher"}
    | {"backends.table"},
    "__main__": {"cli"},
}
"""By room, the other rooms that it may import. Services know the seam, backends.base, and never a backend. A backend
knows the doctor, which it hands its checks."""


def room(module: str) -> str:
    """The part of the package that a module belongs to."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2]) if parts[:1] == ["backends"] and len(parts) > 1 else "".join(parts[:1])


@functools.cache
def modules() -> dict[str, Path]:
    return {
        ".".join(["jasmin_arc", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    hints = {id(child) for node in ast.walk(tree) if _is_type_checking(node) for child in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in hints:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jasmin_arc"):
            found |= {_module(str(node.module), alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def _module(package: str, name: str) -> str:
    """What ``from package import name`` imports: a module of that package, or something that is in it."""
    return f"{package}.{name}" if f"{package}.{name}" in modules() else package


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_each_room_imports_only_what_it_may_know() -> None:
    wrong = []
    for module, path in modules().items():
        for target in imports(path):
            ours = target.split(".")[0] == "jasmin_arc" and room(target) not in (room(module), "backends")
            if ours and room(target) not in MAY_IMPORT[room(module)]:
                wrong.append(f"{module} imports {target}")
    assert wrong == []


def test_the_rooms_form_no_circle() -> None:
    left = {name: set(allowed) for name, allowed in MAY_IMPORT.items()}
    while left:
        lowest = {name for name, allowed in left.items() if not allowed}
        assert lowest, f"these rooms may import each other: {sorted(left)}"
        left = {name: allowed - lowest for name, allowed in left.items() if name not in lowest}


def test_no_module_is_too_long() -> None:
    lengths = {module: len(path.read_text().splitlines()) for module, path in modules().items()}
    assert {module: length for module, length in lengths.items() if length > MAX_LINES} == {}


def test_only_the_bindings_backend_imports_the_bindings() -> None:
    users = {room(module) for module, path in modules().items() if {"arc", "_arc"} & imports(path)}
    assert users <= {"backends.bindings"}
