"""Finding the bindings, and saying what to do where they cannot be loaded."""

from __future__ import annotations

import importlib.machinery
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from pytest_mock import MockerFixture

from jasmin_arc.backends.bindings import loader
from jasmin_arc.exceptions import BindingsNotFoundError


@pytest.fixture
def site(mocker: MockerFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A distribution's folder; nothing else is searched, and the real bindings stay loaded if they are."""
    folder = tmp_path / "dist-packages"
    folder.mkdir()
    mocker.patch.object(loader, "_loaded", None)
    mocker.patch.object(loader, "DISTRIBUTION_FOLDERS", (str(tmp_path / "dist-*"),))
    mocker.patch.object(loader, "leave_without_destructors")
    monkeypatch.setattr(sys, "path", [])
    mine = {name: module for name, module in sys.modules.items() if name in ("arc", "_arc") or name.startswith("arc.")}
    for name in mine:
        monkeypatch.delitem(sys.modules, name)
    yield folder
    for name in [name for name in sys.modules if name in ("arc", "_arc") or name.startswith("arc.")]:
        del sys.modules[name]
    sys.modules.update(mine)


def write_package(folder: Path, init: str = "") -> None:
    (folder / "arc").mkdir()
    (folder / "arc" / "__init__.py").write_text(init)
    (folder / "arc" / "compute.py").write_text("")


def test_nothing_is_installed(site: Path) -> None:
    with pytest.raises(BindingsNotFoundError, match="install the package python3-nordugrid-arc"):
        loader.load_arc()


def test_the_half_that_servers_install_is_not_enough(site: Path) -> None:
    write_package(site)
    with pytest.raises(BindingsNotFoundError, match="install the package python3-nordugrid-arc"):
        loader.load_arc()


def test_bindings_for_another_python(site: Path) -> None:
    write_package(site)
    (site / "_arc.cpython-36m-x86_64-linux-gnu.so").write_bytes(b"")
    with pytest.raises(BindingsNotFoundError, match=r"are for Python 3\.6, and this is Python 3"):
        loader.load_arc()


def test_bindings_that_are_broken(site: Path) -> None:
    write_package(site)
    (site / ("_arc" + importlib.machinery.EXTENSION_SUFFIXES[0])).write_bytes(b"not a library")
    with pytest.raises(BindingsNotFoundError, match="cannot be loaded"):
        loader.load_arc()
    assert "arc" not in sys.modules and "_arc" not in sys.modules


def test_another_package_of_the_same_name_is_in_the_way(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = ModuleType("arc")
    stranger.__file__ = "/somewhere/arc/__init__.py"
    monkeypatch.setitem(sys.modules, "arc", stranger)
    with pytest.raises(BindingsNotFoundError, match=r"another package called 'arc' .* /somewhere"):
        loader.load_arc()
    assert sys.modules["arc"] is stranger


def test_a_useless_import_of_before_is_replaced(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_package(site)
    half = ModuleType("arc")
    half.__file__ = str(site / "arc" / "__init__.py")
    monkeypatch.setitem(sys.modules, "arc", half)
    with pytest.raises(BindingsNotFoundError, match="install"):
        loader.load_arc()


def test_bindings_that_the_user_imported_are_used(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ModuleType("arc")
    whole.__dict__.update(UserConfig=object, ARC_VERSION="6.17.0")
    monkeypatch.setitem(sys.modules, "arc", whole)
    assert loader.load_arc() is loader.load_arc() is whole


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the cure is for Linux")
def test_the_process_ends_with_its_own_code_and_all_its_output() -> None:
    script = """if True:
        import atexit, ctypes, sys
        from jasmin_arc.backends.bindings.loader import leave_without_destructors

        libc = ctypes.CDLL(None)
        # A destructor that never returns, like the one of the library.
        libc.__cxa_atexit(ctypes.cast(libc.pause, ctypes.c_void_p), None, None)
        leave_without_destructors()
        atexit.register(print, "atexit")
        libc.printf(b"C ")
        sys.stdout.write("Python ")
        sys.exit(7)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (7, "")
    assert "Python atexit\n" in done.stdout and "C " in done.stdout
