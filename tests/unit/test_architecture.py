"""Imports only ever point down, so that the picture of the architecture stays true."""

from __future__ import annotations

import ast
from pathlib import Path

import jasmin_arc

PACKAGE = Path(jasmin_arc.__file__).parent
LAYERS = [
    {"exceptions", "constants", "version"},
    {
        "quantities",
        "frozen_dict",
        "logs",
        "progress",
        "parallel",
        "results",
        "config",
        "job_info",
        "site_info",
        "owner",
        "database",
    },
    {"proxy_certificate", "description", "job_list_file", "spool"},
    {"proxy_credentials", "arcproxy", "job_list"},
    {"proxy", "backends.base", "ledger"},
    {"staging", "watcher", "check", "reading", "foresight"},
    {"explain"},
    {"backends.rest"},
    {"backends.bindings", "backends.local"},
    {"backends"},
    {"job", "doctor"},
    {"arc_interface"},
    {""},
    {"cli"},
    {"__main__"},
]


def room(module: str) -> str:
    """The part of the package that a module belongs to."""
    parts = module.split(".")[1:]
    if parts[:1] == ["backends"]:
        return ".".join(parts[:2])
    # A description and its texts know each other: JobDescription.from_adl, formats.adl.
    return {"formats": "description", "run_script": "description"}.get(parts[0], parts[0]) if parts else ""


def layer(name: str) -> int:
    (found,) = (number for number, rooms in enumerate(LAYERS) if name in rooms)
    return found


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


def test_imports_only_point_down() -> None:
    wrong = []
    for module, path in modules().items():
        for target in imports(path):
            ours = target.split(".")[0] == "jasmin_arc" and room(target) != room(module)
            if ours and layer(room(target)) >= layer(room(module)):
                wrong.append(f"{module} imports {target}")
    assert wrong == []


def test_only_the_bindings_backend_imports_the_bindings() -> None:
    users = {room(module) for module, path in modules().items() if {"arc", "_arc"} & imports(path)}
    assert users <= {"backends.bindings"}
