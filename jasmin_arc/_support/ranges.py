"""Numbers of the jobs of arrays, many in one: ``7_[0-2,5]``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby


def expanded(number: str) -> list[str]:
    """The numbers that one stands for: ``7_[0-2,5]`` is four jobs of an array."""
    array = re.fullmatch(r"(\d+)_\[([\d,-]+)(?:%\d+)?\]", number)
    if not array:
        return [number]
    spans = [part.partition("-") for part in array[2].split(",")]
    return [
        f"{array[1]}_{index}"
        for first, _, last in spans
        if first.isdecimal() and len(first) < 7 and len(last) < 7
        for index in range(int(first), int(last or first) + 1)
    ]


def compact(numbers: Sequence[str]) -> list[str]:
    """Write the numbers of many jobs shortly: ``7_0 7_1 7_2`` is ``7_[0-2]``."""
    arrays: dict[str, list[int]] = {}
    for number in numbers:
        array, _, index = number.partition("_")
        arrays.setdefault(array, []).extend([int(index)] if index else [])
    return [f"{array}_[{_spans(sorted(indexes))}]" if indexes else array for array, indexes in arrays.items()]


def _spans(indexes: Sequence[int]) -> str:
    spans = []
    for _, group in groupby(enumerate(indexes), key=lambda pair: pair[1] - pair[0]):
        inside = [index for _, index in group]
        spans.append(str(inside[0]) if len(inside) == 1 else f"{inside[0]}-{inside[-1]}")
    return ",".join(spans)
