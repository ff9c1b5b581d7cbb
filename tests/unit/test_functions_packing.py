"""What travels with a call."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

from jasmin_arc.functions.packing import Packer


def test_calls_of_one_function_share_its_copy_until_it_changes() -> None:
    table = bytearray(10)

    def length() -> int:
        return len(table)

    packer = Packer()
    first = packer.function(length)
    assert packer.function(length) is first
    table.append(1)
    second: Any = packer.function(length)
    assert [pickle.loads(packed.content)() for packed in (first, second)] == [10, 11]


def test_an_import_loads_nothing_that_only_some_need() -> None:
    names = ("IPython", "cloudpickle", "dask", "joblib", "numpy", "pandas", "sklearn")
    code = f"import jasmin_arc, sys; print([name for name in {names} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
