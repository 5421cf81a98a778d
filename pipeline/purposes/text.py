"""Text as marks on a canvas: where lines break, how long they are, which pixels they cover."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.purposes.fonts import direction, font_of
from pipeline.purposes.layout import Box

LINE = 1.22  # line height in units of the size
AFTER_HYPHEN = re.compile(r"(?<=\w-)(?=\w)")


def wrap(text: str, width: float, measure: Callable[[str], float]) -> list[str] | None:
    """Lines no wider than `width`; None where a word is wider. Breaks at blanks, after hyphens, between ideographs."""
    lines, line = list[str](), ""
    for glue, piece in _pieces(text):
        longer = line + glue + piece if line else piece
        if measure(longer) <= width:
            line = longer
        elif measure(piece) <= width and line:
            lines.append(line)
            line = piece
        else:
            return None
    return [*lines, line] if line else lines


def balanced(text: str, width: float, measure: Callable[[str], float]) -> list[str] | None:
    """As few lines as `wrap` makes, and as even as they can be, so that no word is left alone."""
    lines = wrap(text, width, measure)
    if lines is None or len(lines) < 2:
        return lines
    low, high = width / 2, width
    for _ in range(5):
        middle = (low + high) / 2
        tried = wrap(text, middle, measure)
        if tried is not None and len(tried) == len(lines):
            lines, high = tried, middle
        else:
            low = middle
    return lines


def length_of(path: str, size: int) -> Callable[[str], float]:
    """Pixels that a line advances by."""
    font = font_of(path, size)
    return lambda line: font.getlength(line, direction=direction(line))


def reach(lines: list[str], path: str, size: int) -> tuple[float, float]:
    """(above, below): pixels of ink beyond the lines' own height, 0 for nearly all text."""
    font, height = font_of(path, size), LINE * size
    boxes = [font.getbbox(line, anchor="ls", direction=direction(line)) for line in lines]
    above = max((-box[1] - baseline(size) for box in boxes), default=0.0)
    below = max((box[3] - (height - baseline(size)) for box in boxes), default=0.0)
    return max(0.0, above), max(0.0, below)


def baseline(size: float) -> float:
    """Pixels from the top of a line to where its letters stand."""
    return 0.96 * size


@dataclass(frozen=True)
class Mark:
    """Letters on a canvas. cover: uint8 [h, w] of the box, how much of each pixel they cover; near: bool [h, w], where
    they are and as far around as a stroke is wide."""

    box: Box
    cover: NDArray[np.uint8]
    near: NDArray[np.bool_]

    def around(self, canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 [N, 3]: the pixels of a canvas under and right around the letters."""
        return canvas[self.box.top : self.box.bottom, self.box.left : self.box.right][self.near]


def marked(canvas: tuple[int, int], placed: list[tuple[float, float, str]], path: str, size: int) -> Mark:
    """canvas: width and height; placed: left, top and text of each line."""
    from PIL import Image, ImageDraw
    from scipy.ndimage import maximum_filter

    layer = Image.new("L", canvas)
    draw = ImageDraw.Draw(layer)
    for left, top, line in placed:
        where = (left, round(top + baseline(size)))
        draw.text(where, line, 255, font_of(path, size), anchor="ls", direction=direction(line))
    reach = max(1, round(size / 10))
    ink = layer.getbbox() or (0, 0, 1, 1)
    left, top = max(0, ink[0] - reach), max(0, ink[1] - reach)
    right, bottom = min(canvas[0], ink[2] + reach), min(canvas[1], ink[3] + reach)
    cover = np.asarray(layer.crop((left, top, right, bottom)))
    return Mark(Box(left, top, right - left, bottom - top), cover, maximum_filter(cover, 2 * reach + 1) > 0)


def _pieces(text: str) -> list[tuple[str, str]]:
    """(what stands before it on the same line, piece) of all that a line may not break within."""
    found = list[tuple[str, str]]()
    for word in text.split(" "):
        glue = " "
        for part in (part for piece in AFTER_HYPHEN.split(word) for part in _ideographs(piece)):
            found.append((glue, part))
            glue = ""
    return found


def _ideographs(piece: str) -> list[str]:
    """Each ideograph by itself, with the closing signs that must not begin a line; other letters together."""
    parts = list[str]()
    for sign in piece:
        wide = unicodedata.east_asian_width(sign) in ("W", "F")
        apart = wide and unicodedata.category(sign) not in ("Pe", "Pf", "Po") and sign not in "ーっゃゅょッャュョ々"
        before = parts and parts[-1] and unicodedata.east_asian_width(parts[-1][-1]) in ("W", "F")
        opened = parts and unicodedata.category(parts[-1][-1]) in ("Ps", "Pi")
        if not parts or ((apart or (before and not wide)) and not opened):
            parts.append(sign)
        else:
            parts[-1] += sign
    return parts
