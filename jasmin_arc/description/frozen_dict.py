"""A dictionary that cannot be changed."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class FrozenDict(dict[_Key, _Value]):
    """A dictionary that cannot be changed, and so can be hashed if its values can.

    It is a ``dict``, so that it equals one with the same items and that ``json`` and ``dataclasses.asdict`` know it.

    :raises TypeError: by every method that would change it
    """

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("this dictionary cannot be changed; dict() makes a copy that can")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        # The default fills an empty one item by item.
        return (type(self), (dict(self),))
