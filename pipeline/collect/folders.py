"""Where a source lies, and the files in it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from pipeline.collect.items import IGNORED, TOO_LARGE, RawItem
from pipeline.collect.labels import hidden, label_and_split
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

    def listing(self) -> dict[str, str]:
        """Every file, as a path relative to the place, in order, with its stamp."""
        if self.fs is None:
            return dict(sorted(_walk(self.path)))
        base = self.path.rstrip("/") + "/"
        found = self.fs.find(self.path, detail=True)
        return {str(path).removeprefix(base): _stamp(info) for path, info in sorted(found.items())}

    def join(self, relative: str) -> str:
        return f"{self.path.rstrip('/')}/{relative}"

    def stamp(self) -> str:
        """Size, and modification time or tag, of the file at this place."""
        if self.fs is None:
            stat = os.stat(self.path)
            return f"{stat.st_size} {stat.st_mtime_ns}"
        return _stamp(self.fs.info(self.path))


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


def read_image(place: Place, path: str, root: str, max_item_bytes: int) -> RawItem:
    """A file of a folder; a link is followed only inside it."""
    problem, data = (IGNORED if hidden(path) else None), b""
    full = place.join(path)
    if problem is None and place.fs is None and os.path.islink(full) and not _is_inside(full, place.path):
        problem = "link out of the source"
    if problem is None:
        data, problem = _read(place, full, max_item_bytes)
    return RawItem(path, data, *label_and_split(path, root), problem)


def _is_inside(full: str, folder: str) -> bool:
    return os.path.realpath(full).startswith(os.path.realpath(folder) + os.sep)


def _read(place: Place, full: str, cap: int) -> tuple[bytes, str | None]:
    if place.fs is None and not os.path.isfile(full):
        return b"", "not a file"
    try:
        with place.open(full, seekable=False) as file:
            data = file.read(cap + 1)
    except PermissionError:
        return b"", "no permission to read"
    return (b"", f"{TOO_LARGE}: max_item_bytes is {cap}") if len(data) > cap else (data, None)


def _walk(root: str, relative: str = "") -> Iterator[tuple[str, str]]:
    """(path, stamp) of every file, and of a link to a folder, which is not followed."""
    with os.scandir(f"{root}/{relative}" if relative else root) as entries:
        for entry in entries:
            path = f"{relative}/{entry.name}" if relative else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(root, path)
            else:
                yield path, _stamp_of(entry)


def _stamp_of(entry: os.DirEntry[str]) -> str:
    try:
        stat = entry.stat()
    except OSError:  # a link to nothing
        stat = entry.stat(follow_symlinks=False)
    return f"{stat.st_size} {stat.st_mtime_ns}"


def _stamp(info: dict[str, Any]) -> str:
    tag = info.get("ETag") or info.get("LastModified") or info.get("mtime") or ""
    return f"{info.get('size')} {tag}"


def _spooled(stream: IO[bytes]) -> IO[bytes]:
    copy = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - the caller closes it
    with stream:
        while block := stream.read(1 << 20):
            copy.write(block)
    copy.seek(0)
    return cast(IO[bytes], copy)
