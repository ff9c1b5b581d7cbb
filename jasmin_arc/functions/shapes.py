"""What a value consists of, as far as it makes a difference for a call: its kind and its parts."""

from __future__ import annotations

import copyreg
import dis
import functools
import struct
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import EnumMeta
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, NamedTuple

from jasmin_arc._support.text import excerpt, told

_READS_A_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_OF_THE_PLACE = {"__firstlineno__", "__static_attributes__"}
"""What Python notes in a class about its source: a line number, and names in no certain order"""
_NOT_OF_A_CLASS = {
    *("__dict__", "__weakref__", "__module__", "__doc__", "_abc_impl", *_OF_THE_PLACE),
    # The first use of the class adds these.
    *("__slotnames__", "__annotations_cache__"),
}
_FROM_A_CLASS_STATEMENT = 1 << 9
"""A flag of classes, Py_TPFLAGS_HEAPTYPE; those without it are part of Python or of an extension in C"""
_NOTHING: dict[str, object] = {}
_VIEWS = (type(_NOTHING.keys()), type(_NOTHING.values()), type(_NOTHING.items()))


class Shape(NamedTuple):
    """A kind of value, and the parts of one."""

    kind: str
    parts: Collection[object]
    ordered: bool = True


class From(NamedTuple):
    """A part with a better word for where it comes from."""

    value: object
    origin: str


def atom(value: object) -> bytes | None:
    """Return a value without parts as bytes that no other value has; ``None`` for a value with parts."""
    make = _ATOMS.get(type(value))
    return None if make is None else make(value)


def _float(value: float) -> bytes:
    return struct.pack(">d", value) if value == value else b"nan"


_ATOMS: Mapping[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"None",
    bool: lambda value: b"b1" if value else b"b0",
    int: lambda value: b"i%x" % value,
    float: lambda value: b"f" + _float(value),
    complex: lambda value: b"c" + _float(value.real) + b"," + _float(value.imag),
    str: lambda value: b"s" + value.encode("utf-8", "surrogatepass"),
    bytes: lambda value: b"y" + value,
    bytearray: lambda value: b"a" + value,
}


class Shapes:
    """Says what values consist of.

    :param by_value: names of modules whose functions and classes count by what they do, like those of ``__main__``
    """

    def __init__(self, by_value: Collection[str] = ()) -> None:
        self._by_value = {"__main__", *by_value}
        self._kinds: tuple[tuple[type | tuple[type, ...], Callable[[Any], Shape]], ...] = (
            (CodeType, _code),
            (FunctionType, self._function),
            (type, self._class),
            (ModuleType, self._module),
            (MethodType, self._method),
            (BuiltinFunctionType, self._builtin),
            ((set, frozenset), _set),
            (CellType, _cell),
            (property, lambda value: Shape("property", [type(value), value.fget, value.fset, value.fdel])),
            ((staticmethod, classmethod), lambda value: Shape(type(value).__name__, [value.__func__])),
            (functools.cached_property, lambda value: Shape("property", [type(value), value.func])),
            (MappingProxyType, lambda value: Shape("mappingproxy", [dict(value)])),
            (_VIEWS, lambda value: Shape(type(value).__name__, list(value))),
        )

    def of(self, value: object, origin: str) -> Shape:
        """Return what a value consists of.

        :param origin: where it comes from, for the error message
        :raises TypeError: if that cannot be told
        """
        if type(value) in (list, tuple):
            return Shape(type(value).__name__, value)  # type: ignore[arg-type]
        if type(value) is dict:
            return Shape("dict", [part for pair in value.items() for part in pair])
        try:
            for kind, shape in self._kinds:
                # isinstance() believes what list[int], or a mock, says of itself.
                if issubclass(type(value), kind):
                    return shape(value)
            return self._object(value)
        except Exception as error:
            # The value's own methods may raise anything.
            raise TypeError(
                f"{origin} is or holds a value of the type {type(value).__name__}, and nobody can tell whether a later "
                f"call has the same: {excerpt(told(error))}"
            ) from error

    def _function(self, function: FunctionType) -> Shape:
        if self._is_known(function):
            return _reference(function.__module__, function.__qualname__)
        variables = _with_names(function, _global_names(function.__code__))
        parts = [function.__code__, function.__defaults__, function.__kwdefaults__, function.__closure__]
        return Shape("function", [*parts, vars(function), *variables])

    def _class(self, kind: type) -> Shape:
        if not kind.__flags__ & _FROM_A_CLASS_STATEMENT or self._is_known(kind):
            return _reference(kind.__module__, kind.__qualname__)
        members = [part for pair in sorted(_class_members(kind)) for part in pair]
        return Shape("class", [kind.__qualname__, type(kind), kind.__bases__, *members])

    def _module(self, module: ModuleType) -> Shape:
        if not self._goes_by_value(module.__name__):
            return Shape("module", [module.__name__])
        own = {name: value for name, value in vars(module).items() if not name.startswith("__")}
        return Shape("module", [module.__name__, *(part for pair in sorted(own.items()) for part in pair)])

    def _method(self, method: MethodType) -> Shape:
        # Functions such as random.choice are methods of an object of their module.
        if self._is_in(method.__module__, method.__name__, method):
            return _reference(method.__module__, method.__name__)
        return Shape("method", [method.__func__, method.__self__])

    def _builtin(self, function: BuiltinFunctionType) -> Shape:
        owner = function.__self__
        if owner is None or isinstance(owner, ModuleType):
            return _reference(function.__module__ or "", function.__qualname__)
        module = type(owner).__module__
        if self._is_in(module, function.__name__, function):
            return _reference(module, function.__name__)
        return Shape("method", [function.__name__, owner])

    def _object(self, value: object) -> Shape:
        """An object of any other class: what it would need to be made again."""
        reducer = copyreg.dispatch_table.get(type(value))
        reduced = reducer(value) if reducer else value.__reduce_ex__(4)
        if not isinstance(reduced, str):
            parts = [list(part) if isinstance(part, Iterator) else part for part in reduced]
            return Shape("object", parts)
        module = getattr(value, "__module__", None) or type(value).__module__
        wrapped = getattr(value, "__wrapped__", None)
        # Such as a function with functools.lru_cache.
        if wrapped is not None and not self._is_in(module, reduced, value):
            return Shape("wrapper", [type(value), wrapped])
        return _reference(module, reduced)

    def _is_known(self, value: FunctionType | type) -> bool:
        return self._is_in(value.__module__, value.__qualname__, value)

    def _is_in(self, module: str | None, qualname: str, value: object) -> bool:
        """Whether a module has this value, under this name, and does not travel itself."""
        if not module or self._goes_by_value(module):
            return False
        found: object = sys.modules.get(module)
        for name in qualname.split("."):
            found = getattr(found, name, None)
        return found is value

    def _goes_by_value(self, module: str) -> bool:
        return any(module == name or module.startswith(f"{name}.") for name in self._by_value)


def _reference(module: str, name: str) -> Shape:
    return Shape("reference", [module, name])


def _set(value: set[object] | frozenset[object]) -> Shape:
    if type(value) in (set, frozenset):
        return Shape(type(value).__name__, value, ordered=False)
    return Shape("object", [type(value), set(value), getattr(value, "__dict__", None)])


def _cell(cell: CellType) -> Shape:
    try:
        return Shape("cell", [cell.cell_contents])
    except ValueError:
        return Shape("empty cell", [])


def _with_names(function: FunctionType, names: Iterable[str]) -> Iterator[object]:
    """The global variables of a function that have these names, each after its name."""
    for name in names:
        if name in function.__globals__:
            yield name
            yield From(function.__globals__[name], f"the variable {name!r}, which {function.__name__}() uses,")


def _class_members(kind: type) -> Iterator[tuple[str, object]]:
    for name, value in vars(kind).items():
        if name in _NOT_OF_A_CLASS or (name == "__annotations__" and not value):
            continue
        if isinstance(kind, EnumMeta) and _is_machinery(kind, name, value):
            continue
        yield name, value
    if isinstance(kind, EnumMeta):
        members: Mapping[str, Any] = kind.__members__
        yield "", {name: member.value for name, member in members.items()}


def _is_machinery(kind: EnumMeta, name: str, value: object) -> bool:
    """Whether an attribute of an enumeration comes from its members."""
    is_method = isinstance(value, (FunctionType, classmethod, staticmethod))
    return name in kind.__members__ or (name.startswith("_") and name.endswith("_") and not is_method)


def _code(code: CodeType) -> Shape:
    operations, constants, _ = _reading(code)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    table = getattr(code, "co_exceptiontable", b"")
    return Shape("code", [counts, names, operations, table, *constants])


def _global_names(code: CodeType) -> list[str]:
    """Return the names of the global variables that a code reads, in order; those of the functions in it too."""
    names: set[str] = set()
    waiting = [code]
    while waiting:
        _, constants, own = _reading(waiting.pop())
        names |= own
        waiting += [value for value in constants if isinstance(value, CodeType)]
    return sorted(names)


@functools.lru_cache(maxsize=1000)
def _reading(code: CodeType) -> tuple[str, tuple[Any, ...], frozenset[str]]:
    """Return the operations of a code, the constants that they use, and the names of the globals that they read."""
    found = list(dis.get_instructions(code))
    is_place = [after.argval in _OF_THE_PLACE for after in found[1:]] + [False]
    used = [operation for operation, skip in zip(found, is_place) if not skip]
    is_constant = [operation.opcode in dis.hasconst for operation in used]
    # The numbers of the constants count docstrings and line numbers too; the constants themselves say all.
    texts = [f"{operation.opname} {'' if const else operation.arg}" for operation, const in zip(used, is_constant)]
    constants = tuple(operation.argval for operation, const in zip(used, is_constant) if const)
    names = frozenset(str(operation.argval) for operation in used if operation.opname in _READS_A_GLOBAL)
    return "\n".join(texts), constants, names
