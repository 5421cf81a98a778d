"""Arrow without pandas, which it imports at its first array where it is installed: 0.3 s, for what is never used here.

To be imported, before there is an array, in a process that turns no table into a frame; in it, none can be.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

import pyarrow as pa


class _NoPandas(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


if "pandas" not in sys.modules:
    sys.meta_path.insert(0, _NoPandas())
    pa.array([""])
    del sys.meta_path[0]
