"""Where a source lies, and the files in it."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from pipeline.collect import web
from pipeline.collect.items import CHANGING, IGNORED, NO_PERMISSION, TOO_LARGE, RawItem, Unsteady
from pipeline.collect.labels import hidden, label_and_split
from pipeline.environment import Environment

BLOCK_BYTES = 1 << 20
SPOOL_BYTES = 64 * 2**20
READINGS = 3  # of a file that changes while it is read
S3_READINGS = 2  # of a block whose connection broke; each request of botocore's has attempts of its own


class Opened(NamedTuple):
    """A file, and the stamp of the version that is read."""

    file: IO[bytes]
    stamp: str


@dataclass(frozen=True)
class Place:
    """A file system and a path on it; both are local where `fs` is None."""

    fs: Any
    path: str

    @property
    def web(self) -> bool:
        return self.fs is not None and "http" in self.fs.protocol

    @contextmanager
    def open(self, path: str, *, seekable: bool = True) -> Iterator[Opened]:
        """One version of a file; from the web, one that can seek is a spooled copy.

        Raises Unsteady, when what was read is of no use, and FileNotFoundError only before anything is read.
        """
        if self.fs is None:
            with open(path, "rb") as file:
                yield from _unless_it_changes(file)
        elif self.web:
            download = web.Download(self.fs, path)
            with (
                cast(IO[bytes], io.BufferedReader(download, BLOCK_BYTES)) as stream,
                _spooled(stream) if seekable else nullcontext(stream) as file,
            ):
                yield Opened(file, download.stamp)
        else:
            with self.fs.open(path, "rb") as file:
                try:
                    yield Opened(file, _stamp(file.details))
                except FileNotFoundError:
                    raise Unsteady("it was deleted") from None
                except OSError as error:
                    raise (Unsteady("it changed") if error.errno == errno.EBUSY else error) from None  # s3fs's word

    def is_folder(self) -> bool:
        return os.path.isdir(self.path) if self.fs is None else bool(web.insisted(lambda: self.fs.isdir(self.path)))

    def exists(self) -> bool:
        if self.fs is None:
            return os.path.exists(self.path)
        options = {"strict": True} if self.web else {}  # else a server that fails is one that has nothing
        return bool(web.insisted(lambda: self.fs.exists(self.path, **options)))

    def listing(self) -> dict[str, str]:
        """Every file, as a path relative to the place, in order, with its stamp."""
        if self.fs is None:
            return dict(sorted(_walk(self.path)))
        base = self.path.rstrip("/") + "/"
        found = web.insisted(lambda: self.fs.find(self.path, detail=True))
        stamps = web.stamps(self.fs, found) if self.web else {path: _stamp(info) for path, info in found.items()}
        return {str(path).removeprefix(base): stamp for path, stamp in sorted(stamps.items())}

    def join(self, relative: str) -> str:
        return f"{self.path.rstrip('/')}/{relative}"

    def stamp(self) -> str:
        """Size, and modification time or tag, of the file at this place."""
        if self.fs is None:
            return _local_stamp(os.stat(self.path))
        if not self.web:
            return _stamp(self.fs.info(self.path))
        if (stamp := web.stamps(self.fs, [self.path]).get(self.path)) is None:
            raise FileNotFoundError(self.path)
        return stamp


def locate(uri: str, workspace: Path) -> Place:
    """Resolve a URI; a relative local path is relative to the workspace."""
    if "://" not in uri or uri.startswith("file://"):
        return Place(None, str(workspace / Path(uri.removeprefix("file://")).expanduser()))
    import fsspec

    options: dict[str, Any] = {"skip_instance_cache": True}  # else listings and credentials of an earlier call
    environment = Environment()
    if uri.startswith("s3://"):
        options["local_expiry_check"] = True  # whether the tag is another one; not all servers know If-Match
        options["config_kwargs"] = {
            "retries": {"total_max_attempts": web.ATTEMPTS, "mode": "standard"},
            "connect_timeout": web.CONNECT_S,
            "read_timeout": web.STALL_S,
        }
        if environment.s3_endpoint and not environment.s3_credentials:
            options["endpoint_url"] = environment.s3_endpoint  # with its own credentials, that S3 is the batches' alone
    elif uri.startswith(("http://", "https://")):
        options |= web.options()
    fs, path = fsspec.core.url_to_fs(uri, **options)
    if uri.startswith("s3://"):
        fs.retries = S3_READINGS
    return Place(fs, str(path))


def read_image(place: Place, path: str, root: str, max_item_bytes: int, listed: str) -> tuple[RawItem, str]:
    """A file of a folder, and the stamp of what was read; a link is followed only inside it.

    The stamp is empty where the next collection should try again. Raises FileNotFoundError where the file is gone.
    """
    problem, data, stamp = (IGNORED if hidden(path) else None), b"", listed
    full = place.join(path)
    if problem is None and place.fs is None and os.path.islink(full) and not _is_inside(full, place.path):
        problem = "link out of the source"
    if problem is None:
        data, problem, stamp = _read(place, full, max_item_bytes, listed)
    return RawItem(path, data, *label_and_split(path, root), problem), stamp


def _is_inside(full: str, folder: str) -> bool:
    return os.path.realpath(full).startswith(os.path.realpath(folder) + os.sep)


def _read(place: Place, full: str, cap: int, listed: str) -> tuple[bytes, str | None, str]:
    if place.fs is None and os.path.lexists(full) and not os.path.isfile(full):
        return b"", "not a file", listed
    for _ in range(READINGS):
        try:
            with place.open(full, seekable=False) as (file, stamp):
                data = file.read(cap + 1)
        except PermissionError:
            return b"", NO_PERMISSION, ""
        except Unsteady:
            continue
        return (b"", f"{TOO_LARGE}: max_item_bytes is {cap}", stamp) if len(data) > cap else (data, None, stamp)
    return b"", CHANGING, ""


def _unless_it_changes(file: IO[bytes]) -> Iterator[Opened]:
    """Also what a reader then takes for damaged has only changed."""
    stamp = _local_stamp(os.fstat(file.fileno()))
    try:
        yield Opened(file, stamp)
    except Exception as error:
        if _local_stamp(os.fstat(file.fileno())) != stamp:
            raise Unsteady("it changed") from error
        raise
    if _local_stamp(os.fstat(file.fileno())) != stamp:
        raise Unsteady("it changed")


def _walk(root: str, relative: str = "") -> Iterator[tuple[str, str]]:
    """(path, stamp) of every file, and of a link to a folder, which is not followed; what vanishes is not there."""
    with os.scandir(f"{root}/{relative}" if relative else root) as entries:
        for entry in entries:
            path = f"{relative}/{entry.name}" if relative else entry.name
            with suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(root, path)
                else:
                    yield path, _stamp_of(entry)


def _stamp_of(entry: os.DirEntry[str]) -> str:
    try:
        return _local_stamp(entry.stat())
    except OSError:  # a link to nothing
        return _local_stamp(entry.stat(follow_symlinks=False))


def _local_stamp(stat: os.stat_result) -> str:
    return f"{stat.st_size} {stat.st_mtime_ns}"


def _stamp(info: dict[str, Any]) -> str:
    tag = info.get("ETag") or info.get("LastModified") or info.get("mtime") or ""
    return f"{info.get('size')} {tag}"


def _spooled(stream: IO[bytes]) -> IO[bytes]:
    copy = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - the caller closes it
    while block := stream.read(BLOCK_BYTES):
        copy.write(block)
    copy.seek(0)
    return cast(IO[bytes], copy)
