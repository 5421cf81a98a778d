"""The sheet of variations as a picture: the chosen item large, its variations in rows that can be named, such as B3.

Beside each cell's name stands the number that ends its item's, so that it can be asked for more of its like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.purposes.fonts import default_font, font_of, tidy, undrawable
from pipeline.purposes.piece import picture_of, pixels_of
from pipeline.purposes.variations import ROWS, SheetPlan

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

CELL, GAP, MARGIN, CAPTION, NAME, CHOSEN = 96, 10, 40, 34, 18, 320
INK, FAINT, PAPER, HAIRLINE = (28, 32, 38), (112, 118, 126), (255, 255, 255), (222, 225, 229)
MOST_SIGNS = 40


def draw_sheet(images: NDArray[np.uint8], plan: SheetPlan, title: str = "") -> Image.Image:
    """images: uint8 [N, C, S, S], of the plan's recipes in their order. Raises ValueError where the count differs."""
    from PIL import Image, ImageDraw

    if len(images) != len(plan.recipes):
        raise ValueError(f"{len(images)} images of {len(plan.recipes)} recipes")
    head = MARGIN + (44 if title else 0)
    left = MARGIN + CHOSEN + MARGIN
    width = left + plan.columns * (CELL + GAP) - GAP + MARGIN
    rows = len(plan.captions) * (CAPTION + CELL + NAME)
    height = head + max(rows, CAPTION + CHOSEN + 76) + MARGIN
    picture = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(picture)
    if title:
        _text(draw, MARGIN, MARGIN + 18, title, 26, INK, bold=True)
    _text(draw, MARGIN, head + 20, "chosen", 15, INK, bold=True)
    _cell(picture, images[0], MARGIN, head + CAPTION, CHOSEN)
    _text(draw, MARGIN, head + CAPTION + CHOSEN + 26, _told(plan), 13, FAINT)
    _text(draw, MARGIN, head + CAPTION + CHOSEN + 46, "More like which one? Beside its cell stands", 13, FAINT)
    _text(draw, MARGIN, head + CAPTION + CHOSEN + 62, "the number of its item in this batch.", 13, FAINT)
    for row, caption in enumerate(plan.captions):
        top = head + row * (CAPTION + CELL + NAME)
        _text(draw, left, top + 20, f"{ROWS[row]}   {_short(caption, row)}", 15, INK, bold=True)
        for column in range(plan.columns):
            index = 1 + row * plan.columns + column
            x = left + column * (CELL + GAP)
            _cell(picture, images[index], x, top + CAPTION, CELL)
            _text(draw, x, top + CAPTION + CELL + 14, f"{ROWS[row]}{column + 1}   {index:08d}", 11, FAINT)
    return picture


def _told(plan: SheetPlan) -> str:
    turns = len(plan.recipes.way)
    further = f", {turns} turn{'s' * (turns > 1)} on" if turns else ""
    return f"class {plan.recipes.labels[0]}, seed {plan.recipes.seeds[0]}{further}"


def _short(caption: str, row: int) -> str:
    """Class names are anyone's: what can't be drawn is told by its row."""
    text = tidy(caption)
    if undrawable(text, default_font(True)):
        return f"row {ROWS[row]}"
    return text if len(text) <= MOST_SIGNS else f"{text[: MOST_SIGNS - 1]}…"


def _text(
    draw: ImageDraw.ImageDraw, x: int, y: int, text: str, size: int, ink: tuple[int, int, int], bold: bool = False
) -> None:
    """x: where it begins; y: of its baseline."""
    draw.text((x, y), text, ink, font_of(default_font(bold), size), anchor="ls")


def _cell(picture: Image.Image, image_CHW: NDArray[np.uint8], x: int, y: int, side: int) -> None:
    """Enlarged by Lanczos; alpha over white."""
    from PIL import Image, ImageDraw

    own = picture_of(pixels_of(image_CHW))
    if own.mode == "RGBA":
        own = Image.alpha_composite(Image.new("RGBA", own.size, "white"), own)
    picture.paste(own.convert("RGB").resize((side, side), Image.Resampling.LANCZOS), (x, y))
    ImageDraw.Draw(picture).rectangle((x - 1, y - 1, x + side, y + side), outline=HAIRLINE)
