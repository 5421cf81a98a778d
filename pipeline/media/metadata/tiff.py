"""TIFF: directories, values and pixels at offsets. All stay in place; what nothing refers to any more is blanked."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.media.metadata.cut import MetadataError, Stripped
from pipeline.media.metadata.directories import FORMS, SIZES, Directory, Entry, directories, numbers
from pipeline.media.metadata.exif import LOOKED_AT, ORIENTATION, TELL, turn, xmp_kinds

WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES = 256, 257, 258, 259, 277
STRIPS, STRIP_SIZES, TILES, TILE_SIZES = 273, 279, 324, 325
XMP = 700
PICTURE = {  # what decoders ask for: sizes, samples, compression, colours, resolution, place in a set of pages
    *(254, 255, WIDTH, HEIGHT, BITS, COMPRESSION, 262, 263, 264, 265, 266, STRIPS, ORIENTATION, SAMPLES, 278),
    *(STRIP_SIZES, 280, 281, 282, 283, 284, 286, 287, 290, 291, 292, 293, 296, 297, 301, 317, 318, 319, 320, 321),
    *(322, 323, TILES, TILE_SIZES, 326, 327, 328, 330, 332, 334, 336, 338, 339, 340, 341, 342, 347),
    *(529, 530, 531, 532, 32995, 32996, 32997, 32998, 34675, 50674),
}
PLAIN, OLD_JPEG = 1, 6  # compressions
OF_OLD_JPEG = set(range(512, 522))
MAX_STRIPS, MAX_SAMPLES = 2**20, 64
BEHIND = 2**62  # every file

Stretches = NDArray[np.int64]  # [n, 2]: start and end


class _Page(NamedTuple):
    """The directory of a picture: where it is, and what is to stand there."""

    start: int
    end: int
    raw: bytes


class _Layout:
    """Which bytes pages need, and which others directories know. Flat arrays: pages may be many."""

    def __init__(self, data: bytes) -> None:
        self.data, self.form = data, FORMS[data[:4]]
        self.pages: list[_Page] = []
        self.kept, self.gone = array("q", (0, self.form.header)), array("q")
        self.kinds: set[str] = set()
        self.knows_pixels = self.is_whole = True
        self._strips = self._xmp_bytes = 0

    def add(self, directory: Directory) -> None:
        if directory.is_picture:
            self.is_whole = self.is_whole and directory.is_whole
        if directory.start == directory.end:
            return
        if directory.is_picture:
            self._add_page(directory)
            return
        self.kinds |= {TELL[entry.tag] for entry in directory.entries if entry.tag in TELL}
        self.gone.extend((directory.start, directory.end))
        self._refer(self.gone, directory.entries)

    def places(self) -> Stretches:
        """Of the directories of pictures, front to back."""
        return _stretches(at for page in sorted(self.pages) for at in page[:2])

    def _add_page(self, directory: Directory) -> None:
        tags: dict[int, Entry] = {}
        for entry in directory.entries:
            tags.setdefault(entry.tag, entry)
        compression = _number(self.data, tags, COMPRESSION, PLAIN)
        wanted = PICTURE | OF_OLD_JPEG if compression == OLD_JPEG else PICTURE
        stays = [entry for entry in directory.entries if entry.tag in wanted and entry.type in SIZES]
        raw = self.data[directory.start : directory.end]
        if len(stays) < len(directory.entries):
            if not directory.is_whole:
                raise MetadataError("a directory with metadata is cut off")
            self._remove([entry for entry in directory.entries if not (entry.tag in wanted and entry.type in SIZES)])
            raw = self._raw(stays, _turn(self.data, tags), directory.next)
        self.pages.append(_Page(directory.start, directory.end, raw))
        self._refer(self.kept, stays)
        pixels = None if compression == OLD_JPEG else _pixels(self.data, tags, compression)
        if pixels is None:
            self.knows_pixels = False
            return
        self._strips += len(pixels)
        if self._strips > MAX_STRIPS:
            raise MetadataError("it has too many strips")
        self.kept.frombytes(pixels.tobytes())

    def _remove(self, entries: list[Entry]) -> None:
        self.kinds |= {_kind(entry.tag) for entry in entries}
        self._refer(self.gone, entries)
        xmp = next((entry for entry in entries if entry.tag == XMP), None)
        if xmp:
            self._xmp_bytes += min(xmp.size, len(self.data))
            if self._xmp_bytes > len(self.data):
                raise MetadataError("its pages have the same XMP")
            self.kinds |= xmp_kinds(self.data, xmp.start, xmp.start + xmp.size)

    def _refer(self, stretches: array[int], entries: list[Entry]) -> None:
        for entry in entries:
            if entry.size > self.form.inline:
                stretches.extend((min(entry.start, BEHIND), min(entry.start + entry.size, BEHIND)))

    def _raw(self, entries: list[Entry], turned: int, next: int) -> bytes:
        raws = [entry.raw for entry in entries]
        if turned > 1:
            value = struct.pack(self.form.order + "H", turned).ljust(self.form.inline, b"\0")
            place = sum(entry.tag < ORIENTATION for entry in entries)
            raws.insert(place, self.form.entry.pack(ORIENTATION, 3, 1) + value)
        return self.form.counter.pack(len(raws)) + b"".join(raws) + self.form.offset.pack(next)


def strip(data: bytes) -> Stripped:
    """Raises MetadataError where metadata can't be told from pixels, or shares bytes with them."""
    if data.startswith(b"MM\0+"):
        raise MetadataError("a big-endian BigTIFF can't be read")
    if data[:4] not in FORMS:
        return Stripped(data, ())
    layout = _Layout(data)
    for directory in directories(data):
        layout.add(directory)
    if not layout.knows_pixels and layout.kinds:
        raise MetadataError("its pixels can't be told from its metadata")
    if not layout.knows_pixels or not layout.pages:
        return Stripped(data, ())
    kinds = layout.kinds | (_unreferenced(layout) if layout.is_whole else set())
    return Stripped(_blanked(layout), tuple(sorted(kinds))) if kinds else Stripped(data, ())


def _kind(tag: int) -> str:
    return TELL.get(tag) or ("private data" if tag >= 2**15 or tag in PICTURE else "EXIF")


def _turn(data: bytes, tags: dict[int, Entry]) -> int:
    """The orientation that XMP alone tells of, or 1."""
    xmp = tags.get(XMP)
    told = ORIENTATION in tags and tags[ORIENTATION].type in SIZES
    if told or xmp is None or xmp.type not in (1, 7) or xmp.start + xmp.size > len(data):
        return 1
    return turn({"xmp": data[xmp.start : xmp.start + min(xmp.size, LOOKED_AT)]})


def _pixels(data: bytes, tags: dict[int, Entry], compression: int) -> Stretches | None:
    """Strips and tiles; None where their sizes are missing or, of pixels that aren't compressed, too small."""
    found = [np.empty((0, 2), np.int64)]
    for offsets, sizes in ((STRIPS, STRIP_SIZES), (TILES, TILE_SIZES)):
        if offsets not in tags:
            continue
        starts = numbers(data, tags[offsets], MAX_STRIPS + 1)
        size = tags.get(sizes, tags.get(STRIP_SIZES))
        counts = numbers(data, size, len(starts)) if size else starts[:0]
        if len(counts) < len(starts) or ((counts == 0) & (starts != 0)).any():
            return None
        if compression == PLAIN and int(counts.sum()) < _plain_bytes(data, tags):
            return None
        found.append(np.stack([starts, starts + counts], axis=1))
    return np.minimum(np.concatenate(found), len(data))


def _plain_bytes(data: bytes, tags: dict[int, Entry]) -> int:
    """At least as many as pixels have that aren't compressed."""
    depths = numbers(data, tags[BITS], MAX_SAMPLES).tolist() if BITS in tags else [1]
    samples = _number(data, tags, SAMPLES, 1)
    depth = sum(depths) if len(depths) == samples else samples * max(depths, default=1)
    return _number(data, tags, HEIGHT, 0) * (_number(data, tags, WIDTH, 0) * depth // 8)


def _number(data: bytes, tags: dict[int, Entry], tag: int, default: int) -> int:
    found = numbers(data, tags[tag], 1).tolist() if tag in tags else []
    return int(found[0]) if found else default


def _stretches(flat: Iterable[int]) -> Stretches:
    return np.fromiter(flat, np.int64).reshape(-1, 2)


def _merged(stretches: Stretches, most: int) -> Stretches:
    """Front to back, apart from each other, none empty, none behind `most`."""
    found = np.minimum(stretches, most)
    found = found[found[:, 0] < found[:, 1]]
    found = found[np.argsort(found[:, 0], kind="stable")]
    ends = np.maximum.accumulate(found[:, 1])
    first = np.append(True, found[1:, 0] > ends[:-1])
    return np.stack([found[first, 0], ends[np.append(first[1:], True)]], axis=1)


def _unreferenced(layout: _Layout) -> set[str]:
    """What bytes are that no directory knows, unless they are zero: left by a program, or put behind the file."""
    data = layout.data
    known = _merged(np.concatenate([layout.places(), _stretches(layout.kept), _stretches(layout.gone)]), len(data))
    gaps = zip(known[:-1, 1].tolist(), known[1:, 0].tolist(), strict=True)
    between = any(data.count(0, *gap) < gap[1] - gap[0] and not _is_header(layout, *gap) for gap in gaps)
    last = int(known[-1, 1])
    behind = data.count(0, last) < len(data) - last
    return {kind for kind, is_there in (("private data", between), ("appended data", behind)) if is_there}


def _is_header(layout: _Layout, start: int, end: int) -> bool:
    """Programs that write pages as files of their own, one behind the other, leave it, and padding in front."""
    rest = layout.data[start:end].strip(b"\0") if end - start < 64 else b""
    return rest.startswith(layout.data[:4].rstrip(b"\0")) and len(rest) <= layout.form.header


def _blanked(layout: _Layout) -> bytes:
    """Of a truncated file, whose lost directories may have known of more, only that which is known to go."""
    data, places = layout.data, layout.places()
    kept = _merged(_stretches(layout.kept), len(data))
    before = kept[np.searchsorted(kept[:, 0], places[:, 1]) - 1]
    if (places[1:, 0] < places[:-1, 1]).any() or (before[:, 1] > places[:, 0]).any():
        raise MetadataError("a directory shares bytes with what it refers to")
    view, out = memoryview(data), bytearray(len(data))
    if not layout.is_whole:
        out[:] = data
        for start, end in _merged(np.concatenate([places, _stretches(layout.gone)]), len(data)).tolist():
            out[start:end] = bytes(end - start)
    for start, end in kept.tolist():
        out[start:end] = view[start:end]
    for page in layout.pages:
        out[page.start : page.start + len(page.raw)] = page.raw
    if layout.is_whole:
        last = max(page.start + len(page.raw) for page in layout.pages)
        del out[max(last, int(kept[-1, 1])) :]
    return bytes(out)
