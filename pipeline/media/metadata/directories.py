"""Directories of a TIFF file, which EXIF is too: entries of a tag, a type, a count and a value or where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.media.metadata.cut import MetadataError

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
WHOLE_NUMBERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
PICTURES = 330  # points to directories of pictures
POINTERS = {PICTURES, 34665, 34853, 40965}  # and to EXIF's, of GPS, of interoperability
MAX_ENTRIES, MAX_DIRECTORIES, MAX_POINTED = 2**16, 2**16, 256


class Form(NamedTuple):
    """How a file writes its numbers; `inline` bytes of value fit into an entry."""

    order: str
    counter: Struct
    entry: Struct
    offset: Struct
    inline: int
    header: int


class Entry(NamedTuple):
    tag: int
    type: int
    start: int  # of the value
    size: int  # in bytes
    raw: bytes


class Directory(NamedTuple):
    """`is_picture`: not of EXIF or GPS. `is_whole`: it is there, and nothing of it lies behind the end of the data."""

    start: int
    end: int
    entries: list[Entry]
    next: int
    is_picture: bool
    is_whole: bool


def _form(order: str, count: str, offset: str, header: int) -> Form:
    entry = Struct(f"{order}HH{offset}")
    return Form(order, Struct(order + count), entry, Struct(order + offset), Struct(order + offset).size, header)


# The last two have their version in the wrong byte order; Pillow reads them all the same.
FORMS = {
    b"II*\0": _form("<", "H", "L", 8),
    b"MM\0*": _form(">", "H", "L", 8),
    b"II+\0": _form("<", "Q", "Q", 16),
    b"II\0*": _form("<", "H", "L", 8),
    b"MM*\0": _form(">", "H", "L", 8),
}


def directories(data: bytes) -> Iterator[Directory]:
    """Each once, those of pictures first.

    Raises MetadataError where there are more, or they have more entries, than there would be room for side by side.
    """
    form = FORMS.get(data[:4])
    if form is None or len(data) < form.header:
        return
    waiting = {True: [_number(data, form.header - form.inline, form)], False: []}
    seen, budget = set[int](), len(data) // 6 + MAX_POINTED
    while offsets := waiting[True] or waiting[False]:
        is_picture = offsets is waiting[True]
        at = offsets.pop()
        if at == 0 or at in seen:
            continue
        seen.add(at)
        directory = _directory(data, at, form, is_picture)
        yield directory
        offsets.append(directory.next)
        budget -= len(directory.entries) + 1
        pointers = {entry.tag: entry for entry in reversed(directory.entries) if entry.tag in POINTERS}
        for tag, entry in pointers.items():
            pointed = numbers(data, entry, MAX_POINTED).tolist()
            budget -= len(pointed)
            waiting[is_picture and tag == PICTURES] += pointed
        if budget < 0 or len(seen) > MAX_DIRECTORIES:
            raise MetadataError("its directories overlap or are too many")


def numbers(data: bytes, entry: Entry, most: int) -> NDArray[np.int64]:
    """Whole numbers of a value, as many as lie in the data, at most `most`; none of a value of another type."""
    kind = WHOLE_NUMBERS.get(entry.type)
    if kind is None:
        return np.empty(0, np.int64)
    dtype = np.dtype(FORMS[data[:4]].order + kind)
    count = min(max(0, min(entry.size, len(data) - entry.start)) // dtype.itemsize, most)
    values = np.frombuffer(data, dtype, count, entry.start if count else 0)
    return np.minimum(values.astype(np.uint64), np.uint64(2**62)).astype(np.int64)


def _directory(data: bytes, at: int, form: Form, is_picture: bool) -> Directory:
    if at < form.header or at + form.counter.size > len(data):
        return Directory(at, at, [], 0, is_picture, False)
    (count,) = form.counter.unpack_from(data, at)
    if count > MAX_ENTRIES:
        raise MetadataError(f"a directory has more than {MAX_ENTRIES} entries")
    first, step = at + form.counter.size, form.entry.size + form.inline
    last = first + count * step
    there = min(count, (len(data) - first) // step)
    entries = [_entry(data, first + i * step, form) for i in range(there)]
    is_whole = last + form.inline <= len(data)
    next = _number(data, last, form) if is_whole else 0
    return Directory(at, last + form.inline, entries, next, is_picture, is_whole)


def _entry(data: bytes, at: int, form: Form) -> Entry:
    tag, type, count = form.entry.unpack_from(data, at)
    value = at + form.entry.size
    size = count * SIZES.get(type, 0)
    start = value if size <= form.inline else _number(data, value, form)
    return Entry(tag, type, start, size, data[at : value + form.inline])


def _number(data: bytes, at: int, form: Form) -> int:
    number: int = form.offset.unpack_from(data, at)[0]
    return number
