"""What a call is: a hash of a function and its arguments that is the same in another process, and on another day.

The values are walked as they are. A pickle would not do: it differs with the order of sets, with the names of the files
that code is from, and with what else was pickled before.

The walk makes a graph, in which each node is a value. The hash of a node comes from its kind and the hashes of its
parts. Nodes that are a part of themselves, such as a function that calls itself, are told apart in rounds, until a
round finds no further difference. Nothing here is recursive: deep structures must not exhaust the stack.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Any, Union

from jasmin_arc._support.text import one_line
from jasmin_arc.functions.shapes import From, Shape, Shapes, atom

_SHORT = 64
"""Bytes of an atom that stands for itself; a hash takes the place of a longer one"""
_Part = Union[bytes, int]
"""The bytes of an atom, or the number of a node"""


def digest(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    by_value: Collection[str] = (),
) -> str:
    """Return a SHA-256, as 64 hexadecimal digits, of what a call is.

    Two calls have the same digest if their functions do the same in the same way, and if their arguments have the same
    types and values. Functions and classes of modules count by their names. Those of ``__main__``, and those without a
    name that can be imported, count by their code, defaults and closures, and by the global variables that they use.

    These do not count: the order of keyword arguments, docstrings, where code is written, the contents of the file that
    a path names, and whether two equal values are one object.

    :param by_value: names of modules whose functions and classes do not count by their names
    :raises TypeError: if an argument, or a variable that the function uses, cannot be compared, such as an open file,
        a lock or a generator
    """
    return recogniser(function, by_value=by_value)(args, kwargs)


def recogniser(
    function: Callable[..., Any], *, by_value: Collection[str] = ()
) -> Callable[[tuple[Any, ...], Mapping[str, Any]], str]:
    """Return what makes the digests of many calls of one function; it looks at the function only once."""
    name = one_line(str(getattr(function, "__name__", type(function).__name__)))
    what = digest_of(function, f"{name}()", by_value=by_value)

    def of_call(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        positional = [
            digest_of(value, f"argument {number} of {name}()", by_value=by_value)
            for number, value in enumerate(args, 1)
        ]
        named = {
            key: digest_of(kwargs[key], f"argument {key!r} of {name}()", by_value=by_value) for key in sorted(kwargs)
        }
        return digest_of((what, positional, named), "a call", by_value=by_value)

    return of_call


def digest_of(value: object, origin: str, *, by_value: Collection[str] = ()) -> str:
    """Return a SHA-256, as 64 hexadecimal digits, of a value or a function, as :func:`digest` does for its parts.

    :param origin: what the value is, for the error message
    """
    return _hashed(_graph((value,), origin, Shapes(by_value)))[1:].hex()


class _Node:
    """A value that has parts."""

    __slots__ = ("kind", "ordered", "parts")

    def __init__(self, shape: Shape, parts: list[_Part]) -> None:
        self.kind = shape.kind.encode()
        self.ordered = shape.ordered
        self.parts = parts

    def hash(self, hashes: Mapping[int, bytes]) -> bytes:
        parts = [part if isinstance(part, bytes) else hashes[part] for part in self.parts]
        return _hash(self.kind, parts if self.ordered else sorted(parts))


def _graph(root: object, origin: str, shapes: Shapes) -> list[_Node]:
    """Return the node of a value that is no atom, and after it the nodes of all that belongs to it."""
    nodes: list[_Node] = []
    numbers: dict[int, int] = {}
    # It keeps all values, so that no other value gets the id of one that was seen.
    found: list[tuple[object, str]] = []

    def part(value: object, origin: str) -> _Part:
        if isinstance(value, From):
            origin, value = value.origin, value.value
        content = atom(value)
        if content is not None:
            return content if len(content) <= _SHORT else _hash(b"atom", [content])
        number = numbers.setdefault(id(value), len(found))
        if number == len(found):
            found.append((value, origin))
        return number

    part(root, origin)
    while len(nodes) < len(found):
        value, origin = found[len(nodes)]
        shape = shapes.of(value, origin)
        nodes.append(_Node(shape, [part(entry, origin) for entry in shape.parts]))
    return nodes


def _hashed(nodes: list[_Node]) -> bytes:
    """Return the hash of the first node."""
    users: dict[int, list[int]] = defaultdict(list)
    waits_for = []
    for number, node in enumerate(nodes):
        others = [part for part in node.parts if isinstance(part, int)]
        waits_for.append(len(others))
        for other in others:
            users[other].append(number)
    hashes: dict[int, bytes] = {}
    ready = [number for number, count in enumerate(waits_for) if not count]
    while ready:
        number = ready.pop()
        hashes[number] = nodes[number].hash(hashes)
        for user in users[number]:
            waits_for[user] -= 1
            if not waits_for[user]:
                ready.append(user)
    return hashes[0] if 0 in hashes else _hash_in_rounds(nodes, hashes)


def _hash_in_rounds(nodes: list[_Node], known: Mapping[int, bytes]) -> bytes:
    """Return the hash of the first node, where it is, or has, a part of itself."""
    left = {number: node for number, node in enumerate(nodes) if number not in known}
    hashes = {number: _hash(node.kind, []) for number, node in left.items()}
    while True:
        around = {**known, **hashes}
        refined = {number: node.hash(around) for number, node in left.items()}
        if len(set(refined.values())) == len(set(hashes.values())):
            # Rounds as short as these could hide a difference from another graph; all pairs together cannot.
            pairs = sorted({hashes[number] + refined[number] for number in left})
            return _hash(b"rounds", [refined[0], *pairs])
        hashes = refined


def _hash(kind: bytes, parts: list[bytes]) -> bytes:
    # No atom begins with "#": none can pass for a hash.
    made = hashlib.sha256(b"%d %b" % (len(kind), kind))
    for part in parts:
        made.update(b"%d " % len(part))
        made.update(part)
    return b"#" + made.digest()
