"""JSON files that are read again only where they changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

Read = TypeVar("Read")


class Files(Generic[Read]):
    """What was made of files, by their path, as long as their time and size stay. One that can't be read is left out:
    it is being written, or somebody damaged it. `bad` counts those of the last look."""

    def __init__(self, parse: Callable[[Any], Read]) -> None:
        self._parse = parse
        self._known: dict[Path, tuple[tuple[int, int], Read | None]] = {}

    def read(self, path: Path) -> Read | None:
        """None where it is not there, or not what it should be."""
        try:
            told = path.stat()
            stamp = told.st_mtime_ns, told.st_size
            known = self._known.get(path)
            if known is None or known[0] != stamp:
                known = stamp, self._parse(json.loads(path.read_bytes()))
        except OSError:
            self._known.pop(path, None)
            return None
        except (ValueError, TypeError, KeyError, AttributeError):
            known = stamp, None
        self._known[path] = known
        return known[1]

    def all(self, folder: Path, pattern: str) -> Iterator[tuple[Path, Read]]:
        """In the order of their names."""
        paths = sorted(folder.glob(pattern))
        for gone in self._known.keys() - set(paths):
            del self._known[gone]
        for path in paths:
            if (found := self.read(path)) is not None:
                yield path, found
