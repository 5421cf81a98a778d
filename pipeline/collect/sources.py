"""Sources by URI: what kind each is, and its items as a stream."""

from __future__ import annotations

import errno
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from tarfile import TarError

from pipeline.collect.archives import TAR_SUFFIXES, read_tar, read_zip
from pipeline.collect.folders import Place, locate, read_folder
from pipeline.collect.idx import is_images, labels_names, read_pair
from pipeline.collect.items import RawItem
from pipeline.collect.labels import hidden
from pipeline.collect.tables import read_table
from pipeline.errors import SourceError
from pipeline.files import sha256_json

KINDS = "a folder, .tar[.gz|.xz|.zst], .zip, an IDX pair, .parquet, or sample://digits"
MAX_ITEM_BYTES = 64 * 2**20
SAMPLE = "sample://digits"


def open_source(uri: str, workspace: Path, max_item_bytes: int = MAX_ITEM_BYTES) -> Iterator[RawItem]:
    """Every item, read once, in the source's order; hidden files come as items with problem IGNORED.

    Raises SourceError where the source is not there, empty, of no known kind, damaged or out of reach.
    """
    with _faults(uri):
        found = False
        for item in _items(uri, workspace, max_item_bytes):
            found = True
            yield item
    if not found:
        raise SourceError("the source is empty", where=uri, remedy="put images in it")


def fingerprint(uri: str, workspace: Path) -> str:
    """16 hex digits over path, size and time of every file: an unchanged source is known without reading it."""
    if uri.startswith("sample://"):
        return sha256_json(uri)[:16]
    with _faults(uri):
        place = _existing(uri, workspace)
        paths = [place.join(p) for p in place.files()] if _is_folder(place) else [place.path]
        return sha256_json([[path, *place.stamp(path)] for path in paths])[:16]


def _items(uri: str, workspace: Path, cap: int) -> Iterator[RawItem]:
    if uri.startswith("sample://"):
        return _digits(uri)
    place = _existing(uri, workspace)
    return _from_folder(place, cap) if _is_folder(place) else _from_file(place, uri, cap)


def _existing(uri: str, workspace: Path) -> Place:
    place = locate(uri, workspace)
    if not place.exists():
        raise FileNotFoundError(place.path)
    return place


def _is_folder(place: Place) -> bool:
    return not (place.web and _known(place.path)) and place.is_folder()


def _known(path: str) -> bool:
    return path.lower().endswith((*TAR_SUFFIXES, ".zip", ".parquet")) or is_images(path)


def _from_folder(place: Place, cap: int) -> Iterator[RawItem]:
    files = place.files()
    seen = [path for path in files if not hidden(path)]
    if pairs := [path for path in seen if is_images(path)]:
        for path in pairs:
            yield from _pair(place, place.join(path), cap)
    elif tables := [path for path in seen if path.lower().endswith(".parquet")]:
        for path in tables:
            with place.open(place.join(path)) as file:
                yield from read_table(path, file, cap)
    else:
        yield from read_folder(place, files, cap)


def _from_file(place: Place, uri: str, cap: int) -> Iterator[RawItem]:
    path, name = place.path, PurePosixPath(place.path).name
    if name.lower().endswith(TAR_SUFFIXES):
        with place.open(path, seekable=False) as file:
            yield from read_tar(file, cap)
    elif name.lower().endswith(".zip"):
        with place.open(path) as file:
            yield from read_zip(file, cap)
    elif name.lower().endswith(".parquet"):
        with place.open(path) as file:
            yield from read_table(name, file, cap)
    elif is_images(name):
        yield from _pair(place, path, cap)
    else:
        raise SourceError("not a known kind of source", where=uri, remedy=f"give {KINDS}")


def _pair(place: Place, images: str, cap: int) -> Iterator[RawItem]:
    folder, _, name = images.rpartition("/")
    for candidate in labels_names(name):
        labels = Place(place.fs, f"{folder}/{candidate}")
        if labels.exists():
            with place.open(images) as file, place.open(labels.path) as other:
                yield from read_pair(name, file, other, cap)
            return
    with place.open(images) as file:
        yield from read_pair(name, file, None, cap)


def _digits(uri: str) -> Iterator[RawItem]:
    if uri.rstrip("/") != SAMPLE:
        raise SourceError("no such sample", where=uri, remedy=f"the sample is {SAMPLE}")
    import numpy as np
    from sklearn.datasets import load_digits

    from pipeline.media.image import encode_png

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    for i, (image, label) in enumerate(zip(images, digits.target, strict=True)):
        yield RawItem(f"{label}/{i:04}.png", encode_png(image), str(label), "", None)


@contextmanager
def _faults(uri: str) -> Iterator[None]:
    """Turn what readers and file systems raise into a SourceError that says what to do."""
    try:
        yield
    except SourceError:
        raise
    except FileNotFoundError:
        raise SourceError("the source is not there", where=uri, remedy="check the path or URL") from None
    except (TarError, zipfile.BadZipFile, LZMAError, zlib.error, EOFError, ValueError) as error:
        text = " ".join(str(error).split())
        raise SourceError(f"damaged or not what its name says: {text}", where=uri, remedy="fetch it anew") from None
    except Exception as error:
        raise _other(uri, error) from error


def _other(uri: str, error: Exception) -> Exception:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EMFILE):
        return error
    module = type(error).__module__.partition(".")[0]
    text = " ".join(str(error).split()) or type(error).__name__
    if module in ("zstandard", "gzip", "pyarrow"):
        return SourceError(f"damaged: {text}", where=uri, remedy="fetch it anew")
    if isinstance(error, PermissionError):
        return SourceError(f"may not be read: {text}", where=uri, remedy="check its permissions or credentials")
    if uri.startswith(("s3://", "http://", "https://")):
        return SourceError(f"no network, or no answer: {text}", where=uri, remedy="check the address and the network")
    if type(error) is OSError and error.errno is None:  # pyarrow's, of a damaged file
        return SourceError(f"damaged: {text}", where=uri, remedy="fetch it anew")
    return error
