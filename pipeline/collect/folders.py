"""Where a source lies, and the files in it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from pipeline.collect.items import IGNORED, TOO_LARGE, RawItem
from pipeline.collect.labels import common_root, hidden, label_and_split
from pipeline.settings import Environment

SPOOL_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Place:
    """A file system and a path on it; both are local where `fs` is None."""

    fs: Any
    path: str

    @property
    def web(self) -> bool:
        return self.fs is not None and "http" in self.fs.protocol

    def open(self, path: str, *, seekable: bool = True) -> IO[bytes]:
        """A binary stream; from the web, one that can seek is a spooled copy."""
        if self.fs is None:
            return open(path, "rb")
        if not self.web:
            return cast(IO[bytes], self.fs.open(path, "rb"))
        stream = cast(IO[bytes], self.fs.open(path, "rb", block_size=0))
        return _spooled(stream) if seekable else stream

    def is_folder(self) -> bool:
        return os.path.isdir(self.path) if self.fs is None else bool(self.fs.isdir(self.path))

    def exists(self) -> bool:
        return os.path.exists(self.path) if self.fs is None else bool(self.fs.exists(self.path))

    def files(self) -> list[str]:
        """Every file, sorted, as a path relative to the place."""
        if self.fs is None:
            return sorted(_walk(Path(self.path)))
        base = self.path.rstrip("/") + "/"
        return sorted(str(path).removeprefix(base) for path in self.fs.find(self.path))

    def join(self, relative: str) -> str:
        return f"{self.path.rstrip('/')}/{relative}"

    def stamp(self, path: str) -> list[Any]:
        """Size, and modification time or tag."""
        if self.fs is None:
            stat = os.lstat(path)
            return [stat.st_size, stat.st_mtime_ns]
        info = self.fs.info(path)
        return [info.get("size"), str(info.get("ETag") or info.get("LastModified") or info.get("mtime") or "")]


def locate(uri: str, workspace: Path) -> Place:
    """Resolve a URI; a relative local path is relative to the workspace."""
    if "://" not in uri or uri.startswith("file://"):
        return Place(None, str(workspace / Path(uri.removeprefix("file://")).expanduser()))
    import fsspec

    options: dict[str, Any] = {"skip_instance_cache": True}  # else listings and credentials of an earlier call
    environment = Environment()
    if uri.startswith("s3://") and environment.s3_endpoint and not environment.s3_credentials:
        options["endpoint_url"] = environment.s3_endpoint  # with credentials of its own, that S3 is the batches' alone
    fs, path = fsspec.core.url_to_fs(uri, **options)
    return Place(fs, str(path))


def read_folder(place: Place, files: list[str], max_item_bytes: int) -> Iterator[RawItem]:
    """Every file of a folder; links are followed only inside it."""
    root = common_root(path for path in files if not hidden(path))
    inside = os.path.realpath(place.path) + os.sep if place.fs is None else ""
    for path in files:
        problem, data = (IGNORED if hidden(path) else None), b""
        full = place.join(path)
        if problem is None and inside and not os.path.realpath(full).startswith(inside):
            problem = "link out of the source"
        if problem is None:
            data, problem = _read(place, full, max_item_bytes)
        yield RawItem(path, data, *label_and_split(path, root), problem)


def _read(place: Place, full: str, cap: int) -> tuple[bytes, str | None]:
    if place.fs is None and not os.path.isfile(full):
        return b"", "not a file"
    try:
        with place.open(full, seekable=False) as file:
            data = file.read(cap + 1)
    except PermissionError:
        return b"", "no permission to read"
    return (b"", f"{TOO_LARGE}: max_item_bytes is {cap}") if len(data) > cap else (data, None)


def _walk(root: Path) -> Iterator[str]:
    for folder, subfolders, names in os.walk(root):
        relative = os.path.relpath(folder, root)
        links = [name for name in subfolders if os.path.islink(os.path.join(folder, name))]
        for name in names + links:
            yield name if relative == "." else f"{relative}/{name}"


def _spooled(stream: IO[bytes]) -> IO[bytes]:
    copy = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - the caller closes it
    with stream:
        while block := stream.read(1 << 20):
            copy.write(block)
    copy.seek(0)
    return cast(IO[bytes], copy)
