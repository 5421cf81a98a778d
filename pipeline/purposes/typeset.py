"""Words set in the place they have: wrapped, and as large as they can be together; never clipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

from pipeline.purposes.fonts import undrawable
from pipeline.purposes.formats import Words
from pipeline.purposes.layout import Box
from pipeline.purposes.text import LINE, balanced, length_of, reach

SCALES: dict[Words, float] = {"headline": 1.0, "text": 0.56, "call_to_action": 0.5}
PAD_X, PAD_Y = 0.95, 0.42  # of the button, in units of its text's size
STRAY = 0.12  # of the size: how far ink may reach beyond its line, which the gaps leave room for
GAP = 0.5  # between blocks, in units of the headline's size
MOST_OF_HEIGHT, MOST_OF_SIDES = (
    0.4,
    0.085,
)  # of the place, and of its width and height together, for the headline's size


class Where(NamedTuple):
    """low: the button stands beside the other words. mirrored: the start of a line is on the right.

    down: where the blocks stand in a place that they do not fill, 0 at the top, 1 at the bottom.
    """

    place: Box
    low: bool
    mirrored: bool
    down: float


class Fonts(NamedTuple):
    """Paths."""

    regular: str
    bold: str


@dataclass(frozen=True)
class Block:
    """Lines of one size. box: what they fill, of the button with its padding."""

    kind: Words
    lines: tuple[str, ...]
    path: str
    bold: bool
    size: int
    box: Box
    mirrored: bool

    def placed(self) -> list[tuple[float, float, str]]:
        """Left, top and text of each line."""
        measure = length_of(self.path, self.size)
        top = self.box.top + (PAD_Y * self.size if self.kind == "call_to_action" else 0)
        found = []
        for number, line in enumerate(self.lines):
            left = float(self.box.left)
            if self.kind == "call_to_action":
                left += (self.box.width - measure(line)) / 2
            elif self.mirrored:
                left = self.box.right - measure(line)
            found.append((left, top + number * LINE * self.size, line))
        return found


def face_of(kind: Words, text: str, fonts: Fonts) -> tuple[str, bool] | str:
    """(path, whether it is bold) of the font that has the text's glyphs; or why none has."""
    if kind != "text" and not undrawable(text, fonts.bold):
        return fonts.bold, True
    return undrawable(text, fonts.regular) or (fonts.regular, False)


def typeset(words: Mapping[Words, str], where: Where, least_px: int, fonts: Fonts) -> list[Block] | str:
    """The blocks, or why there are none. least_px: below which no letters are legible."""
    place = where.place
    faces = dict[Words, tuple[str, bool]]()
    for kind, text in words.items():
        face = face_of(kind, text, fonts)
        if isinstance(face, str):
            return f"{kind}: {face}"
        faces[kind] = face
    most = int(min(place.height * MOST_OF_HEIGHT, (place.width + place.height) * MOST_OF_SIDES))
    low_size, high = least_px, max(least_px, most)
    found = _set_at(low_size, words, faces, where, least_px)
    if found is None:
        signs = sum(map(len, words.values()))
        return f"{signs} characters don't fit {place.width}x{place.height} pixels at the least legible size, {least_px}"
    while low_size < high:
        middle = (low_size + high + 1) // 2
        tried = _set_at(middle, words, faces, where, least_px)
        if tried is None:
            high = middle - 1
        else:
            low_size, found = middle, tried
    return _moved(found, where)


def _set_at(
    size: int, words: Mapping[Words, str], faces: Mapping[Words, tuple[str, bool]], where: Where, least: int
) -> list[Block] | None:
    """All blocks from the top of the place down, the headline at `size`; None where they leave it."""
    place, blocks = where.place, list[Block]()
    left, top, width = place.left, place.top, place.width
    sizes = {kind: max(least, round(size * SCALES[kind])) for kind in words}
    beside = where.low and "call_to_action" in words
    if beside:
        button = _block(
            "call_to_action", words["call_to_action"], faces["call_to_action"], sizes, place, where.mirrored
        )
        if button is None:
            return None
        taken = button.box.width + round(size * GAP * 1.6)
        left, width = (left + taken if where.mirrored else left), width - taken
        blocks.append(button)
    for kind, text in words.items():
        if beside and kind == "call_to_action":
            continue
        room = Box(left, top, width, place.bottom - top)
        block = _block(kind, text, faces[kind], sizes, room, where.mirrored)
        if block is None:
            return None
        blocks.append(block)
        top = block.box.bottom + round(size * GAP * (1.3 if kind == "text" or "text" not in words else 0.7))
    return blocks


def _block(
    kind: Words, text: str, face: tuple[str, bool], sizes: Mapping[Words, int], room: Box, mirrored: bool
) -> Block | None:
    """At the top and the start of the room; None where it does not fit, or its ink reaches far beyond its lines."""
    path, bold = face
    size, button = sizes[kind], kind == "call_to_action"
    measure = length_of(path, size)
    pad_x, pad_y = (PAD_X * size, PAD_Y * size) if button else (0.0, 0.0)
    lines = [text] if button else balanced(text, room.width, measure)
    if not lines or max(reach(lines, path, size)) > STRAY * size:
        return None
    width, height = ceil(max(map(measure, lines)) + 2 * pad_x), ceil(LINE * size * len(lines) + 2 * pad_y)
    if width > room.width or height > room.height:
        return None
    box = Box(room.right - width if mirrored else room.left, room.top, width, height)
    return Block(kind, tuple(lines), path, bold, size, box, mirrored)


def _moved(blocks: list[Block], where: Where) -> list[Block]:
    """Down by a share of the height that is left over; a button in a row to its far end, in the middle."""
    place = where.place
    row = [block for block in blocks if where.low and block.kind == "call_to_action"]
    stack = [block for block in blocks if block not in row]
    left_over = place.bottom - max((block.box.bottom for block in stack), default=place.bottom)
    found = [_shifted(block, 0, round(left_over * where.down)) for block in stack]
    for block in row:
        to_end = place.left - block.box.left if block.mirrored else place.right - block.box.right
        middle = place.top + (place.height - block.box.height) // 2 - block.box.top
        found.append(_shifted(block, to_end, middle))
    return found


def _shifted(block: Block, right: int, down: int) -> Block:
    box = block.box
    return replace(block, box=Box(box.left + right, box.top + down, box.width, box.height))
