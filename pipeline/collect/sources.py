"""Sources by URI: what kind each is, and its items as a stream."""

from __future__ import annotations

import errno
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from tarfile import TarError

from pipeline.collect.archives import TAR_SUFFIXES, read_tar, read_zip
from pipeline.collect.folders import Place, locate, read_image
from pipeline.collect.idx import is_images, labels_names, read_pair
from pipeline.collect.items import RawItem, Unsteady
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


class Reading:
    """A unit of a source. stamp: once the items are taken, of what they were read from, or empty where it is unknown.

    gone: it was not there any more.
    """

    def __init__(self, unit: str, stamp: str, read: Callable[[Reading], Iterator[RawItem]]) -> None:
        self.unit, self.stamp, self.gone = unit, stamp, False
        self._listed, self._read = stamp, read

    def items(self) -> Iterator[RawItem]:
        """Anew with each call. Raises Unsteady where all that was read of it is of no use."""
        try:
            yield from self._read(self)
        except FileNotFoundError:
            self.gone = True

    def saw(self, *stamps: str) -> None:
        """Of the files that are read. Where the listing knew no size, it is the same version by its tag."""
        stamp = " ".join(stamps)
        size, _, tag = self._listed.partition(" ")
        self.stamp = self._listed if size == "None" and tag and tag == stamp.partition(" ")[2] else stamp


def open_source(uri: str, workspace: Path, max_item_bytes: int = MAX_ITEM_BYTES) -> Iterator[RawItem]:
    """Every item, read once, in the source's order; hidden files come as items with problem IGNORED.

    Raises SourceError where the source is not there, empty, of no known kind, damaged or out of reach.
    """
    found, contents = False, listing(uri, workspace)
    for reading in read_units(uri, workspace, max_item_bytes, contents, contents.stamps):
        for item in reading.items():
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
) -> Iterator[Reading]:
    """Each of these units; its items are to be taken before the next unit is asked for."""
    with _faults(uri):
        place = None if uri.startswith("sample://") else _existing(uri, workspace)
        alone = place is not None and not _is_folder(place)
    read = partial(_read_unit, uri, place, alone, contents, max_item_bytes)
    for unit in units:
        yield Reading(unit, contents.stamps[unit], read)


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
    """Of the one that is read, where there is one."""
    folder, slash, name = images.rpartition("/")
    return [files[path] for other in labels_names(name) if (path := f"{folder}{slash}{other}") in files][:1]


def _stamp_of_file(place: Place, name: str) -> str:
    if not is_images(name):
        return place.stamp()
    labels = _labels_of(place, place.path)
    return " ".join([place.stamp(), *([labels.stamp()] if labels else [])])


def _read_unit(
    uri: str, place: Place | None, alone: bool, contents: Listing, cap: int, reading: Reading
) -> Iterator[RawItem]:
    """alone: the source is that file. Raises FileNotFoundError where a file of a folder is gone."""
    unit = reading.unit
    with _faults(uri, missing=alone):
        if place is None:
            yield from _digits(uri)
        elif alone:
            yield from _from_file(place, place.path, reading, uri, cap)
        elif unit in contents.containers:
            split = _split_of_path(unit)
            for item in _from_file(place, place.join(unit), reading, uri, cap):
                yield item if item.split or not split else item._replace(split=split)
        else:
            item, reading.stamp = read_image(place, unit, contents.root, cap, reading.stamp)
            yield item


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


def _from_file(place: Place, path: str, reading: Reading, uri: str, cap: int) -> Iterator[RawItem]:
    kind = reading.unit.lower()
    if is_images(reading.unit):
        yield from _pair(place, path, reading, cap)
        return
    if not _known(kind):
        raise SourceError("not a known kind of source", where=uri, remedy=f"give {KINDS}")
    is_tar = kind.endswith(TAR_SUFFIXES)
    with place.open(path, seekable=not is_tar) as (file, stamp):
        reading.saw(stamp)
        if is_tar:
            yield from read_tar(file, cap)
        elif kind.endswith(".zip"):
            yield from read_zip(file, cap)
        else:
            yield from read_table(reading.unit, file, cap)


def _pair(place: Place, path: str, reading: Reading, cap: int) -> Iterator[RawItem]:
    name = path.rpartition("/")[2]
    with ExitStack() as stack:
        images = stack.enter_context(place.open(path))
        labels = _labels_of(place, path)
        names = stack.enter_context(place.open(labels.path)) if labels else None
        reading.saw(images.stamp, *([names.stamp] if names else []))
        yield from read_pair(name, images.file, names.file if names else None, cap)


def _labels_of(place: Place, images: str) -> Place | None:
    folder, _, name = images.rpartition("/")
    others = (Place(place.fs, f"{folder}/{other}") for other in labels_names(name))
    return next((other for other in others if other.exists()), None)


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
def _faults(uri: str, missing: bool = True) -> Iterator[None]:
    """Turn what readers and file systems raise into a SourceError that says what to do.

    missing: whether that is a fault.
    """
    try:
        yield
    except (SourceError, Unsteady):
        raise
    except FileNotFoundError:
        if not missing:
            raise
        raise SourceError("the source is not there", where=uri, remedy="check the path or URL") from None
    except (TarError, zipfile.BadZipFile, LZMAError, zlib.error, EOFError, ValueError, RecursionError) as error:
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
    if isinstance(error, PermissionError) or getattr(error, "status", None) in (401, 403):
        return SourceError(f"may not be read: {text}", where=uri, remedy="check its permissions or credentials")
    if uri.startswith(("s3://", "http://", "https://")):
        return SourceError(f"no network, or no answer: {text}", where=uri, remedy="check the address and the network")
    if type(error) is OSError and error.errno is None:  # pyarrow's, of a damaged file
        return SourceError(f"damaged: {text}", where=uri, remedy="fetch it anew")
    return error
