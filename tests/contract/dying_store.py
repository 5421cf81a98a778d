"""A store whose user is killed between two changes."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.adapters.store import FolderStore


class Cut(Exception):
    """Stands for a kill between two steps."""


class Dies(FolderStore):
    """Changes nothing more after so many changes."""

    left = 0

    def put(self, key: str, data: bytes, content_type: str) -> None:
        self._spend()
        super().put(key, data, content_type)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._spend()
            super().delete([key])

    def _spend(self) -> None:
        if self.left == 0:
            raise Cut
        self.left -= 1
