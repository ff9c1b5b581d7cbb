"""What a call is: the same hash for the same call, in another process too, and another one for any other call."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import random
import subprocess
import sys
import threading
import time
from collections import Counter, OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jasmin_arc.functions.identity import digest, digest_of, recogniser

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, 0.0, -0.0, 1.0, "1", b"1", float("nan"), 1j, 10**100]),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
)
ORDERED = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(ATOMS, inner),
        st.sets(ATOMS),
        st.frozensets(st.one_of(ATOMS, st.frozensets(ATOMS))),
    ),
)


def of(value: object) -> str:
    return digest_of(value, "the value")


def main(source: str, *, file: str = "/tmp/ipykernel_1/1.py", lines: int = 0) -> Callable[..., Any]:
    """Return the function f of a notebook."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile("\n" * lines + source, file, "exec"), namespace)
    found = namespace["f"]
    assert callable(found)
    return found  # type: ignore[no-any-return]


# --- Values ---


@given(VALUES)
def test_equal_values_have_the_same_digest(value: object) -> None:
    expected = of(value)
    assert len(bytes.fromhex(expected)) == 32
    assert of(copy.deepcopy(value)) == expected
    assert of(pickle.loads(pickle.dumps(value))) == expected


@given(ORDERED, ORDERED)
def test_other_values_have_another_digest(one: object, other: object) -> None:
    assert (of(one) == of(other)) == (repr(one) == repr(other))


Point = namedtuple("Point", "x y")


class Colour(Enum):
    RED = 1
    BLUE = 2


class Part(Flag):
    ONE = 1
    TWO = 2


class Thing:
    def __init__(self, **values: object) -> None:
        vars(self).update(values)

    def method(self) -> None: ...

    def other(self) -> None: ...


class Slots:
    __slots__ = ("x",)

    def __init__(self, x: object) -> None:
        self.x = x


class Numbers(list[int]):
    pass


class Some(frozenset[str]):
    def __new__(cls, names: str, **values: object) -> Some:
        made = super().__new__(cls, names)
        vars(made).update(values)
        return made


class Liar(Thing):
    __class__ = property(lambda self: set)  # type: ignore[assignment]


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0, False),
        (1, 1.0),
        (0.0, -0.0),
        ([1 << 50_000], [1 << 50_001]),
        ("a", b"a"),
        (b"a", bytearray(b"a")),
        ([1], (1,)),
        ([1, [2]], [[1], 2]),
        ([], [[]]),
        (["ab"], ["a", "b"]),
        (["as", "b"], ["a", "sb"]),
        ({"a": {1: 2}}, {"a": {1: 3}}),
        (Some("ab", mark=1), Some("ab", mark=2)),
        (Liar(x=1), Liar(x=2)),
        ({1}, frozenset({1})),
        ({1, 2}, {1, 3}),
        (Some("ab"), Some("ac")),
        (Some("ab"), frozenset("ab")),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 1}, OrderedDict(a=1)),
        (Counter("aab"), Counter("abb")),
        (Numbers([1]), [1]),
        (Numbers([1]), Numbers([2])),
        (Point(1, 2), Point(2, 1)),
        (Point(1, 2), (1, 2)),
        (Colour.RED, Colour.BLUE),
        (Part.ONE, Part.ONE | Part.TWO),
        (Thing(x=1), Thing(x=2)),
        (Thing(x=1), Thing(y=1)),
        (Slots(1), Slots(2)),
        (Thing(x=1).method, Thing(x=1).other),
        (Thing(x=1).method, Thing(x=2).method),
        ("a".upper, "b".upper),
        (len, max),
        (os, sys),
        (int, str),
        (list[int], list),
        (list[int], list[str]),
        (functools.partial(max, 1), functools.partial(max, 2)),
        (range(3), range(4)),
        (Path("a"), Path("b")),
        (Path("a"), "a"),
        (NOW, NOW + timedelta(microseconds=1)),
        (NOW, NOW.astimezone(timezone(timedelta(hours=1)))),
        (Decimal("1"), Decimal("1.0")),
        (random.Random(1), random.Random(2)),
        (ValueError("a"), ValueError("b")),
        ({1: 2}.keys(), {1: 2}.values()),
    ],
)
def test_a_difference_of_kind_or_content_counts(one: object, other: object) -> None:
    assert of(one) != of(other)
    assert of(one) == of(one)
    assert of(other) == of(other)


def test_it_does_not_matter_whether_equal_values_are_one_object() -> None:
    shared = [1]
    assert of([shared, shared]) == of([[1], [1]])


def test_functions_that_use_a_hidden_state_of_their_module_count_by_their_names() -> None:
    before = of([random.random, random.choice])
    random.random()
    assert of([random.random, random.choice]) == before
    assert of(random.random) != of(random.Random(1).random)


def test_arrays_count_by_their_contents() -> None:
    np = pytest.importorskip("numpy")
    assert of(np.arange(6)) == of(np.arange(6).copy()) == of(np.arange(12)[:6])
    kinds = [np.arange(6), np.arange(6.0), np.arange(7), np.arange(6).reshape(2, 3), np.float64(1), np.float32(1), 1.0]
    kinds += [np.dtype("i4"), np.dtype("f8"), np.sin, np.cos, np.array([1, "a"], dtype=object), np]
    assert len({of(kind) for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert of(cloudpickle.loads(cloudpickle.dumps(kind))) == of(kind)


def test_tables_count_by_their_contents() -> None:
    pd = pytest.importorskip("pandas")

    def table(**other: object) -> Any:
        times = pd.to_datetime(["2020-01-01", "2021-01-01"])
        return pd.DataFrame({"a": [1, 2.5], "b": ["x", "y"], "c": pd.Categorical(["u", "v"]), "t": times, **other})

    used = table()
    expected = of(used)
    # Looking at it fills caches in it.
    print(used, used["a"].sum(), used.columns.is_unique, used.index.is_monotonic_increasing, used.b.hasnans)
    assert of(used) == of(table()) == of(pickle.loads(pickle.dumps(used))) == expected
    others = [table(a=[1, 2]), table(b=["x", "z"]), table(d=1), table().set_index("b"), table()["a"], table()[:1]]
    assert len({expected, *map(of, others)}) == 1 + len(others)


# --- Deep, shared and cyclic structures ---


def test_deep_structures_do_not_crash() -> None:
    deep: list[object] = []
    for _ in range(10_000):
        deep = [deep]
    deeper: list[object] = [deep]
    assert of(deep) != of(deeper)


def test_what_is_shared_many_times_is_walked_once() -> None:
    value: list[object] = []
    for _ in range(200):
        value = [value, value]
    assert of(value) == of(copy.deepcopy(value))


def family(*names: str) -> list[Thing]:
    """Each knows all others."""
    members = [Thing(name=name) for name in names]
    for member in members:
        vars(member)["all"] = members
    return members


def test_structures_that_hold_themselves_have_a_digest() -> None:
    begin = time.monotonic()
    names = [str(number) for number in range(100)]
    expected = of(family(*names))
    assert expected == of(family(*names)) == of(pickle.loads(pickle.dumps(family(*names))))
    assert expected != of(family(*names[:-1], "x"))
    assert expected != of(family(*names[:-1]))
    assert time.monotonic() - begin < 20


def ring(*values: object) -> list[object]:
    """Lists of a value and the next list, the last of which leads to the first."""
    rings: list[list[object]] = [[value] for value in values]
    for one, after in zip(rings, rings[1:] + rings[:1]):
        one.append(after)
    return rings[0]


def test_rings_differ_by_their_values_in_order() -> None:
    rings = [ring(1), ring(2), ring(1, 2), ring(2, 1), ring(1, 1, 2), ring(1, 2, 2), ring(1, 2, 3), ring(1, 3, 2)]
    assert len({of(one) for one in rings}) == len(rings)
    assert [of(pickle.loads(pickle.dumps(one))) for one in rings] == [of(one) for one in rings]


@given(st.lists(st.booleans(), min_size=1, max_size=6), st.lists(st.booleans(), min_size=1, max_size=6))
def test_rings_have_the_same_digest_only_if_they_go_the_same_way(one: list[bool], other: list[bool]) -> None:
    assert (of(ring(*one)) == of(ring(*other))) == (one * len(other) == other * len(one))


def test_a_set_may_hold_what_holds_it() -> None:
    def circle(*names: str) -> Thing:
        centre = Thing()
        vars(centre)["around"] = {Thing(name=name, centre=centre) for name in names}
        return centre

    assert of(circle("a", "b", "c")) == of(circle("c", "a", "b"))
    assert of(circle("a", "b", "c")) != of(circle("a", "b", "d"))


# --- Functions ---

F = "def f(x):\n    return x + 1\n"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (F, F.replace("+", "-")),
        (F, F.replace("1", "2")),
        (F, F.replace("1", "1.0")),
        (F, F.replace("(x)", "(x, y=1)")),
        ("def f(x, y=1): return y", "def f(x, y=2): return y"),
        ("def f(x, *, y=1): return y", "def f(x, *, y=2): return y"),
        ("def f(x, /): return x", "def f(x): return x"),
        ("def f(x): return x in {'a', 'b'}", "def f(x): return x in {'a', 'c'}"),
        ("def f(x): return x.one", "def f(x): return x.two"),
        (
            "def f(x):\n    try: return x()\n    except OSError: return 1",
            "def f(x):\n    try: return x()\n    except KeyError: return 1",
        ),
        ("a = 1\ndef f(): return a", "a = 2\ndef f(): return a"),
        ("a = [1]\ndef f(): return lambda: a", "a = [2]\ndef f(): return lambda: a"),
        (
            "a = 1\ndef f():\n    class C:\n        b = a\n    return C",
            "a = 2\ndef f():\n    class C:\n        b = a\n    return C",
        ),
        ("def g(): return 1\ndef f(): return g()", "def g(): return 2\ndef f(): return g()"),
        (
            "def g(n): return f(n - 1) + 1\ndef f(n): return n and g(n)",
            "def g(n): return f(n - 1) + 2\ndef f(n): return n and g(n)",
        ),
        ("def o(a):\n    return lambda: a\nf = o(1)", "def o(a):\n    return lambda: a\nf = o(2)"),
        ("f = lambda: 1", "f = lambda: 2"),
        ("def g(): pass\nf = g", "def h(): pass\nf = h"),
        (
            "def o(a):\n    return lambda: (a, locals())\nf = o(1)",
            "def o(b):\n    return lambda: (b, locals())\nf = o(1)",
        ),
        ("f = lambda: [i for i in range(3)]", "f = lambda: [i for i in range(4)]"),
        ("import math, cmath\na = math\nf = lambda: a.sin(1)", "import math, cmath\na = cmath\nf = lambda: a.sin(1)"),
        (
            "import functools as t\n@t.lru_cache\ndef f(): return 1",
            "import functools as t\n@t.lru_cache\ndef f(): return 2",
        ),
        (
            "import functools as t\nf = t.partial(lambda a: a, 1)",
            "import functools as t\nf = t.partial(lambda a: a, 2)",
        ),
        (
            "import contextlib as c\n@c.contextmanager\ndef f(): yield 1",
            "import contextlib as c\n@c.contextmanager\ndef f(): yield 2",
        ),
        ("class f:\n    def run(self): return 1", "class f:\n    def run(self): return 2"),
        ("class f:\n    a = 1", "class f:\n    a = 2"),
        ("class f: pass", "class f(int): pass"),
        ("class f: pass", "class f:\n    __slots__ = ()"),
        ("class A: a = 1\nclass f(A): pass", "class A: a = 2\nclass f(A): pass"),
        ("class A: a = 1\nf = A().__init__", "class A: a = 2\nf = A().__init__"),
        ("class A:\n    def g(self): return 1\nf = A().g", "class A:\n    def g(self): return 2\nf = A().g"),
        ("class f:\n    @property\n    def a(self): return 1", "class f:\n    @property\n    def a(self): return 2"),
        ("class f:\n    @classmethod\n    def a(c): return 1", "class f:\n    @staticmethod\n    def a(c): return 1"),
        (
            "from dataclasses import *\n@dataclass\nclass f:\n    a: int = 1",
            "from dataclasses import *\n@dataclass\nclass f:\n    a: int = 2",
        ),
        ("from enum import *\nclass f(Enum): A = 1", "from enum import *\nclass f(Enum): A = 2"),
        (
            "from enum import *\nclass E(Enum): A = 1\nf = lambda: E.A",
            "from enum import *\nclass E(Enum): B = 1\nf = lambda: E.A",
        ),
        (
            "from enum import *\nclass f(Enum):\n    A = 1\n    def m(self): return 1",
            "from enum import *\nclass f(Enum):\n    A = 1\n    def m(self): return 2",
        ),
        (
            "from functools import *\nclass f:\n    @cached_property\n    def a(self): return 1",
            "from functools import *\nclass f:\n    @cached_property\n    def a(self): return 2",
        ),
        (
            "from abc import *\nclass f(ABC):\n    @abstractmethod\n    def a(self): return 1",
            "from abc import *\nclass f(ABC):\n    @abstractmethod\n    def a(self): return 2",
        ),
    ],
)
def test_what_a_function_does_counts_and_not_where_it_is_written(one: str, other: str) -> None:
    expected = digest(main(one), (), {})
    assert digest(main(one, file="/tmp/ipykernel_22/7.py", lines=300), (), {}) == expected
    assert digest(main(other), (), {}) != expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (F, "def f(x):\n    # A comment\n    return (x +\n        1)"),
        (F, 'def f(x):\n    """A docstring."""\n    return x + 1'),
        (F, "def f(x: int) -> int:\n    return x + 1"),
        (F, "y = 1\n" + F),
        ("def f(x): return x.data", "import threading\ndata = threading.Lock()\ndef f(x): return x.data"),
        ("class f:\n    a = 1\n    b = 2", "class f:\n    b = 2\n\n    a = 1"),
        (
            "def f():\n    class C:\n        a = 1\n        def m(self):\n            self.x = self.y = 1",
            "\n\n\n\ndef f():\n    class C:\n        a = 1\n\n        def m(self):\n            self.x = self.y = 1",
        ),
    ],
)
def test_what_makes_no_difference_does_not_count(one: str, other: str) -> None:
    assert digest(main(one), (), {}) == digest(main(other), (), {})


def test_a_function_that_was_packed_is_the_same() -> None:
    function = main("k = {'a', 'b'}\ndef g(n): return f(n - 1)\ndef f(n, m=[1]): return (lambda: k, n and g(n))")
    assert of(cloudpickle.loads(cloudpickle.dumps(function))) == of(function)


def test_a_class_stays_the_same_when_it_is_used() -> None:
    kind = main("class f:\n    __slots__ = ('a',)\n    def g(self): return super().__init__()")
    before = of(kind)
    value = kind()
    value.g()
    value.a = 1
    cloudpickle.dumps(value)
    assert vars(kind).get("__slotnames__"), "pickling has noted something in the class"
    assert getattr(kind, "__annotations__", {}) == {}
    assert of(kind) == before


def test_an_enumeration_stays_the_same_when_it_is_used() -> None:
    kind: Any = main("from enum import *\nclass f(Flag):\n    A = 1\n    B = 2\n    C = 4")
    before = of(kind)
    assert kind(5) is kind.A | kind.C
    assert of(kind) == before


@pytest.fixture
def helpers() -> Iterator[ModuleType]:
    module = ModuleType("helpers_of_a_user")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_a_package_that_travels_takes_its_modules_along() -> None:
    module = ModuleType("helpers_of_a_user.deep")
    sys.modules[module.__name__] = module
    try:
        found = set()
        for number in (1, 2):
            exec(f"def g(): return {number}", vars(module))
            found.add(of_package(module))
        assert len(found) == 2
    finally:
        del sys.modules[module.__name__]


def of_package(module: ModuleType) -> str:
    return digest(module.g, (), {}, by_value=["helpers_of_a_user"])


def test_functions_of_modules_count_by_their_names_unless_the_modules_travel(helpers: ModuleType) -> None:
    def define(text: str) -> Callable[..., Any]:
        exec(text, vars(helpers))
        return main("import helpers_of_a_user as h\nfrom helpers_of_a_user import g\ndef f(): return g, h.g")

    source = "def g(): return 1"
    by_name = digest(define(source), (), {})
    by_value = digest(define(source), (), {}, by_value=[helpers.__name__])
    assert digest(define(source), (), {}, by_value=[helpers.__name__]) == by_value
    assert digest(define(source), (), {}, by_value=["helpers_of"]) == by_name
    assert digest(define("def g(): return 2"), (), {}) == by_name
    assert digest(define("def g(): return 2"), (), {}, by_value=[helpers.__name__]) != by_value
    exec(source, vars(helpers))
    with_module = main("import helpers_of_a_user as h\ndef f(): return h.g")
    before = digest(with_module, (), {}, by_value=[helpers.__name__])
    exec("def g(): return 2", vars(helpers))
    assert digest(with_module, (), {}, by_value=[helpers.__name__]) != before


def test_arguments_count_by_place_or_name() -> None:
    f = main("def f(*args, **kwargs): pass")
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((), {}),
        ((1,), {}),
        ((1, 2), {}),
        (((1, 2),), {}),
        ((2, 1), {}),
        ((), {"a": 1}),
        ((), {"b": 1}),
        ((1,), {"a": 1}),
        (({"a": 1},), {}),
        (("a", 1), {}),
    ]
    assert len({digest(f, args, kwargs) for args, kwargs in calls}) == len(calls)
    assert digest(f, (), {"a": 1, "b": 2}) == digest(f, (), {"b": 2, "a": 1})
    assert [recogniser(f)(*call) for call in calls] == [digest(f, *call) for call in calls]


SCRIPT = """
import abc, dataclasses, enum, sys
sys.path[:0] = {path!r}
from jasmin_arc.functions.identity import digest
k = {{"one", "two", "three", "four"}}
class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"
@dataclasses.dataclass
class Point(abc.ABC):
    x: int
    y: set = dataclasses.field(default_factory=lambda: {{"a", "b", "c"}})
    def move(self, by):
        class Inner:
            z = 3
            def m(self):
                self.a = self.b = self.c = self.dd = 1
        return Inner, Point(self.x + by), k
def g(n):
    return n in {{"one", "two", "three", "four"}} and f(n)
def f(n, *, colour=Colour.RED):
    return g(n), Point(1).move(n), [colour for _ in k]
print(digest(f, (k, Colour.BLUE, Point(3)), {{"p": frozenset(k), "g": g}}))
"""


def test_another_process_finds_the_same(tmp_path: Path) -> None:
    found = set()
    for number, seed in enumerate(["0", "1", "2", "77"]):
        script = tmp_path / f"cell-{number}.py"
        script.write_text("\n" * 100 * number + SCRIPT.format(path=sys.path))
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        result = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        found.add(result.stdout)
    assert len(found) == 1


# --- What cannot be told ---


class Stubborn:
    def __reduce__(self) -> str:
        raise RuntimeError("not\x1b[31m me")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: os.fdopen(os.open("/dev/null", os.O_RDONLY)), "TextIOWrapper"),
        (threading.Lock, "lock"),
        (lambda: (x for x in [1]), "generator"),
        (sys._getframe, "frame"),
        (Stubborn, "Stubborn"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_its_place(make: Callable[[], Any], kind: str) -> None:
    value = make()
    f = main("def f(*args, **kwargs): pass")
    with pytest.raises(TypeError, match=rf"^argument 2 of f\(\) is or holds a value of the type {kind}, and nobody"):
        digest(f, (1, {"deep": [value]}), {})
    with pytest.raises(
        TypeError, match=rf"^argument 'x' of f\(\) is or holds a value of the type {kind}, and nobody"
    ) as raised:
        digest(f, (1,), {"x": [value]})
    assert str(raised.value).isprintable()
    assert isinstance(f, FunctionType)
    user = main("def f(): return mine")
    user.__globals__["mine"] = value  # type: ignore[attr-defined]
    with pytest.raises(
        TypeError, match=rf"^the variable 'mine', which f\(\) uses, is or holds .* type {kind}, and nobody"
    ):
        digest(user, (), {})
    if hasattr(value, "close"):
        value.close()
