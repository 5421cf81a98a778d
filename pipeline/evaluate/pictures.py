"""One picture of an evaluation: samples by class, samples beside their nearest training images, real ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Array = NDArray[Any]

COLUMNS = 10
GRID_ROWS = 10
PAIR_ROWS = 3
LEAST_SIDE, MOST_SIDE = 48, 96
GAP, MARGIN, CAPTION, HEADING = 4, 32, 26, 56
INK, FAINT, PAPER = (28, 32, 38), (120, 126, 134), (255, 255, 255)


def comparison(
    samples: Array,
    labels: Array,
    nearest: Array,
    train_images: Array,
    holdout_images: Array,
    classes: Sequence[str],
    title: str = "",
) -> Image.Image:
    """All images uint8 [N,C,S,S]; labels and nearest [N]: each sample's class and its row in train_images.

    Left: samples sorted by class. Right: pairs of sample and nearest training image, then held-out images.
    """
    cell = _side(samples.shape[-1])
    strip = COLUMNS * (cell + GAP) - GAP
    names = 12 + max((_width(name) for name in classes), default=0) if 1 < len(classes) <= GRID_ROWS else 0
    left, right = MARGIN + names, MARGIN + names + strip + 2 * MARGIN
    top = MARGIN + (HEADING if title else 0)
    pair = 2 * cell + GAP
    pairs_end = top + CAPTION + PAIR_ROWS * (pair + 3 * GAP)
    below = pairs_end + CAPTION + 2 * GAP
    real_rows = 3
    bottom = max(top + CAPTION + GRID_ROWS * (cell + GAP), below + real_rows * (cell + GAP)) - GAP
    sheet = Image.new("RGB", (right + strip + MARGIN, bottom + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((MARGIN, MARGIN - 6), title, INK, ImageFont.load_default(24))

    chosen = by_class(labels, len(classes), COLUMNS * GRID_ROWS)
    _caption(draw, left, top, "Generated, by class" if names else "Generated")
    _paste(sheet, samples[chosen], left, top + CAPTION, cell)
    if names:
        for row in range(GRID_ROWS):
            kinds = {int(label) for label in labels[chosen[row * COLUMNS : (row + 1) * COLUMNS]]}
            if len(kinds) == 1:
                middle = top + CAPTION + row * (cell + GAP) + cell // 2
                text = _short(classes[kinds.pop()])
                draw.text((left - 12, middle), text, FAINT, ImageFont.load_default(15), anchor="rm")

    shown = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), COLUMNS * PAIR_ROWS)).astype(int)]
    _caption(draw, right, top, "Generated, and beneath it the nearest training image")
    for row in range(PAIR_ROWS):
        some = shown[row * COLUMNS : (row + 1) * COLUMNS]
        y = top + CAPTION + row * (pair + 3 * GAP)
        _paste(sheet, samples[some], right, y, cell)
        _paste(sheet, train_images[nearest[some]], right, y + cell + GAP // 2, cell)
    _caption(draw, right, below - CAPTION, "Real, held out")
    count = min(len(holdout_images), COLUMNS * real_rows)
    real = np.linspace(0, len(holdout_images) - 1, count).astype(int)
    _paste(sheet, holdout_images[real], right, below, cell)
    return sheet


def sheet_of(rows: Sequence[Array], captions: Sequence[str] = ()) -> Image.Image:
    """Rows of images, each uint8 [K,C,S,S], with a caption above each that has one."""
    cell = _side(rows[0].shape[-1])
    most = max(map(len, rows))
    caption = CAPTION if captions else 0
    height = caption + cell + GAP
    sheet = Image.new("RGB", (most * (cell + GAP) - GAP, len(rows) * height - GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, row in enumerate(rows):
        if captions:
            _caption(draw, 0, index * height, captions[index])
        _paste(sheet, row, 0, index * height + caption, cell, most)
    return sheet


def by_class(labels: Array, classes: int, count: int) -> NDArray[np.int64]:
    """Up to `count` rows, as even over the classes as they allow, sorted by class."""
    rank = np.zeros(len(labels), np.int64)
    for kind in range(classes):
        rows = np.flatnonzero(labels == kind)
        rank[rows] = np.arange(len(rows))
    first = np.lexsort((labels, rank))[:count]
    return first[np.lexsort((rank[first], labels[first]))].astype(np.int64)


def _side(size: int) -> int:
    return min(MOST_SIDE, size * -(-LEAST_SIDE // size))


def _short(text: str, most: int = 14) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _width(text: str) -> int:
    return int(ImageFont.load_default(15).getlength(_short(text)))


def _caption(draw: ImageDraw.ImageDraw, x: int, y: int, text: str) -> None:
    draw.text((x, y), text, INK, ImageFont.load_default(16))


def _paste(sheet: Image.Image, images: Array, x: int, y: int, cell: int, columns: int = COLUMNS) -> None:
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        sheet.paste(_picture(image, cell), (x + column * (cell + GAP), y + row * (cell + GAP)))


def _picture(image_CHW: Array, cell: int) -> Image.Image:
    """Upscaled by nearest, downscaled by Lanczos; transparency over white."""
    pixels = np.ascontiguousarray(np.moveaxis(image_CHW, 0, -1))
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    how = Image.Resampling.NEAREST if cell >= picture.width else Image.Resampling.LANCZOS
    return picture.convert("RGB").resize((cell, cell), how)
