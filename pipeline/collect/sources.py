"""Sources by URI: what kind each is, and its items as a stream."""

from __future__ import annotations

import errno
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from tarfile import TarError

from pipeline.collect.archives import TAR_SUFFIXES, read_tar, read_zip
from pipeline.collect.folders import Place, locate, read_image
from pipeline.collect.idx import is_images, labels_names, read_pair
from pipeline.collect.items import RawItem
from pipeline.collect.labels import common_root, hidden, split_of
from pipeline.collect.tables import read_table
from pipeline.errors import SourceError
from pipeline.files import sha256_json

KINDS = "a folder, .tar[.gz|.xz|.zst], .zip, an IDX pair, .parquet, or sample://digits"
MAX_ITEM_BYTES = 64 * 2**20
SAMPLE = "sample://digits"
ARCHIVES = (*TAR_SUFFIXES, ".zip")


@dataclass(frozen=True)
class Listing:
    """What a source is made of. stamps: of each unit, a file that is read whole; root: folders that wrap all images.

    containers: the units that hold many items each.
    """

    stamps: dict[str, str]
    containers: frozenset[str] = frozenset()
    root: str = ""


def open_source(uri: str, workspace: Path, max_item_bytes: int = MAX_ITEM_BYTES) -> Iterator[RawItem]:
    """Every item, read once, in the source's order; hidden files come as items with problem IGNORED.

    Raises SourceError where the source is not there, empty, of no known kind, damaged or out of reach.
    """
    found, contents = False, listing(uri, workspace)
    for _, items in read_units(uri, workspace, max_item_bytes, contents, contents.stamps):
        for item in items:
            found = True
            yield item
    if not found:
        raise _empty(uri)


def listing(uri: str, workspace: Path) -> Listing:
    """The units of a source, without reading them. Raises SourceError as open_source does."""
    if uri.startswith("sample://"):
        return Listing({uri: "1"}, frozenset({uri}))
    with _faults(uri):
        place = _existing(uri, workspace)
        if not _is_folder(place):
            name = PurePosixPath(place.path).name
            return Listing({name: _stamp_of_file(place, name)}, frozenset({name}))
        found = _listing_of_folder(place)
    if not found.stamps:
        raise _empty(uri)
    return found


def read_units(
    uri: str, workspace: Path, max_item_bytes: int, contents: Listing, units: Iterable[str]
) -> Iterator[tuple[str, Iterator[RawItem]]]:
    """Each of these units with its items, which are to be taken before the next unit is asked for."""
    with _faults(uri):
        place = None if uri.startswith("sample://") else _existing(uri, workspace)
        alone = place is not None and not _is_folder(place)
    for unit in units:
        yield unit, _read_unit(uri, place, unit, alone, contents, max_item_bytes)


def fingerprint(uri: str, workspace: Path) -> str:
    """16 hex digits over path, size and time of every file: an unchanged source is known without reading it."""
    return sha256_json(listing(uri, workspace).stamps)[:16]


def _empty(uri: str) -> SourceError:
    return SourceError("the source is empty", where=uri, remedy="put images in it")


def _listing_of_folder(place: Place) -> Listing:
    """Of a folder with IDX images, or with Parquet, these alone are its units."""
    files = place.listing()
    seen = [path for path in files if not hidden(path)]
    if pairs := [path for path in seen if is_images(path)]:
        stamps = {path: " ".join([files[path], *_stamps_of_labels(path, files)]) for path in pairs}
        return Listing(stamps, frozenset(pairs))
    if tables := [path for path in seen if path.lower().endswith(".parquet")]:
        return Listing({path: files[path] for path in tables}, frozenset(tables))
    archives = frozenset(path for path in seen if path.lower().endswith(ARCHIVES))
    folders = {path.rpartition("/")[0] for path in seen if path not in archives}
    return Listing(files, archives, common_root(f"{folder}/" for folder in folders))


def _stamps_of_labels(images: str, files: dict[str, str]) -> list[str]:
    folder, slash, name = images.rpartition("/")
    return [files[path] for other in labels_names(name) if (path := f"{folder}{slash}{other}") in files]


def _stamp_of_file(place: Place, name: str) -> str:
    if not is_images(name):
        return place.stamp()
    folder = place.path.rpartition("/")[0]
    others = [Place(place.fs, f"{folder}/{other}") for other in labels_names(name)]
    return " ".join([place.stamp(), *(other.stamp() for other in others if other.exists())])


def _read_unit(uri: str, place: Place | None, unit: str, alone: bool, contents: Listing, cap: int) -> Iterator[RawItem]:
    """alone: the source is that file."""
    with _faults(uri):
        if place is None:
            yield from _digits(uri)
        elif alone:
            yield from _from_file(place, place.path, unit, uri, cap)
        elif unit in contents.containers:
            split = _split_of_path(unit)
            for item in _from_file(place, place.join(unit), unit, uri, cap):
                yield item if item.split or not split else item._replace(split=split)
        else:
            yield read_image(place, unit, contents.root, cap)


def _split_of_path(path: str) -> str:
    """`train/0.tar` and `train-0.tar` are train."""
    place = PurePosixPath(path)
    names = (place.name.partition("-")[0].partition(".")[0], *place.parts)
    return next((found for name in names if (found := split_of(name))), "")


def _existing(uri: str, workspace: Path) -> Place:
    place = locate(uri, workspace)
    if not place.exists():
        raise FileNotFoundError(place.path)
    return place


def _is_folder(place: Place) -> bool:
    return not (place.web and _known(place.path)) and place.is_folder()


def _known(path: str) -> bool:
    return path.lower().endswith((*ARCHIVES, ".parquet")) or is_images(path)


def _from_file(place: Place, path: str, name: str, uri: str, cap: int) -> Iterator[RawItem]:
    kind = name.lower()
    if kind.endswith(TAR_SUFFIXES):
        with place.open(path, seekable=False) as file:
            yield from read_tar(file, cap)
    elif kind.endswith(".zip"):
        with place.open(path) as file:
            yield from read_zip(file, cap)
    elif kind.endswith(".parquet"):
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
