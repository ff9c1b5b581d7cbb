"""The stand-in for the ARC library promises nothing that the real one has not. This needs the bindings, but no grid."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from typing import Any

import pytest
from fake_arc import HANDED_OUT, FakeArc, Software, target

from jasmin_arc.backends.bindings.loader import load_arc
from jasmin_arc.exceptions import BindingsNotFoundError


@pytest.fixture(scope="module")
def arc() -> Any:
    """The real library. In CI it is there."""
    try:
        return load_arc()
    except BindingsNotFoundError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def differences(stand_in: type, real: type, *, made_by_the_backend: bool) -> Iterator[str]:
    """Name the methods that the real class has not, or not with as many arguments."""
    for name, method in vars(stand_in).items():
        if not callable(getattr(stand_in, name)) or (name.startswith("_") and name not in ("__init__", "__str__")):
            continue
        if name == "__init__" and not made_by_the_backend:
            continue
        arguments = _parameters(stand_in, name, method)
        if not hasattr(real, name):
            yield f"{real.__name__} has no {name}"
        elif not _accepts(real, name, arguments):
            yield f"{real.__name__}.{name} does not take {len(arguments)} arguments"


def _parameters(owner: type, name: str, method: Any) -> list[inspect.Parameter]:
    """What a method takes when it is called on an object. A static method gets no object."""
    found = list(inspect.signature(getattr(owner, name)).parameters.values())
    return found if isinstance(method, staticmethod) else found[1:]


def _accepts(real: type, name: str, arguments: list[inspect.Parameter]) -> bool:
    takes = inspect.Signature(_parameters(real, name, inspect.getattr_static(real, name)))
    try:
        takes.bind(*arguments)
    except TypeError:
        return False
    return True


def test_the_library_has_the_methods_of_the_stand_in(arc: Any) -> None:
    found = [
        difference
        for made_by_the_backend, classes in ((True, FakeArc().classes), (False, HANDED_OUT))
        for stand_in in classes
        for difference in differences(
            stand_in, getattr(arc, stand_in.__name__), made_by_the_backend=made_by_the_backend
        )
    ]
    assert found == []


def test_the_library_has_the_attributes_of_the_stand_in(arc: Any) -> None:
    fake, offered = FakeArc(), target("short")
    for stand_in in (offered, *vars(offered).values(), fake.Job()):
        if not isinstance(stand_in, list):
            real = getattr(arc, type(stand_in).__name__)
            assert [name for name in vars(stand_in) if not hasattr(real, name)] == []
    constants = [name for name in dir(fake) if name[0].isupper()]
    assert [name for name in constants if not hasattr(arc, name)] == []
    for name in ("Endpoint", "EndpointQueryingStatus", "initializeCredentialsType"):
        constants = [entry for entry in vars(getattr(fake, name)) if entry[0].isupper()]
        assert constants and [entry for entry in constants if not hasattr(getattr(arc, name), entry)] == []


def test_a_method_that_a_static_one_hides_is_a_difference(arc: Any) -> None:
    """What the stand-in once had, and the library has not."""

    class Hopeful:
        def toString(self) -> str: ...

        def nothing(self) -> None: ...

    assert list(differences(Hopeful, arc.Software, made_by_the_backend=False)) == [
        "Software.toString does not take 0 arguments",
        "Software has no nothing",
    ]


def test_a_runtime_environment_is_written_as_it_is_called(arc: Any) -> None:
    for name in ("ENV/PROXY", "APPS/GREETING-1.0", "PYTHON-3.11"):
        assert str(arc.Software(name)) == str(Software(name)) == name
