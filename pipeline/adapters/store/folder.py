"""Objects as files below a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pipeline.adapters.store.interface import Head, Listed, check_expiry, check_key, check_range
from pipeline.errors import ServiceError
from pipeline.files import replacing, write_new


class FolderStore:
    """The whole of `Store` without a server. A key can't be another one's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def put(self, key: str, data: bytes, content_type: str) -> None:
        check_key(key)
        with replacing(self._path(key)) as temporary:
            temporary.write_bytes(data)

    def put_new(self, key: str, data: bytes, content_type: str) -> bool:
        check_key(key)
        return write_new(self._path(key), data)

    def get(self, key: str) -> bytes | None:
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def get_range(self, key: str, start: int, end: int) -> bytes | None:
        check_range(start, end)
        try:
            with self._path(key).open("rb") as file:
                file.seek(start)
                return file.read(end - start)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def head(self, key: str) -> Head | None:
        try:
            with self._path(key).open("rb") as file:
                etag = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
                return Head(file.seek(0, 2), etag)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def delete(self, keys: Iterable[str]) -> None:
        for path in [self._path(key) for key in keys]:
            if path.is_file():
                path.unlink(missing_ok=True)

    def keys(self, prefix: str) -> Iterator[str]:
        return (key for key, _ in self.files(prefix))

    def files(self, prefix: str) -> Iterator[tuple[str, int]]:
        return ((key, size) for key, size, _ in self.listed(prefix))

    def listed(self, prefix: str) -> Iterator[Listed]:
        files = (path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        found = ((path.relative_to(self.folder).as_posix(), path) for path in files)
        for key, path in sorted(pair for pair in found if pair[0].startswith(prefix)):
            told = path.stat()
            yield Listed(key, told.st_size, datetime.fromtimestamp(told.st_mtime, UTC))

    def is_conditional(self) -> bool:
        return True

    def presigned(self, key: str, expires_s: int) -> str:
        """The file's own address, which does not expire."""
        check_expiry(expires_s)
        return self.uri(key)

    def lifecycle_rules(self, days: Mapping[str, int]) -> None:
        raise ServiceError("a folder has no lifecycle rules", where=str(self.folder), remedy="delete what is old")

    def check(self) -> None:
        if not self.folder.is_dir():
            raise ServiceError("no such folder", where=str(self.folder), remedy="make it")

    def uri(self, key: str) -> str:
        return self._path(key).as_uri()

    def _path(self, key: str) -> Path:
        path = (self.folder / key).resolve()
        if not path.is_relative_to(self.folder):
            raise ValueError(f"key {key!r} leaves the store")
        return path
