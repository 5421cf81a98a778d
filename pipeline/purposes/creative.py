"""One ad: an image, words, perhaps a logo, composed for a format so that it can be read, or refused with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray

from pipeline.orders import Template
from pipeline.purposes.contrast import Colour, adapted, distinct, least_ratio, needed, readable_on
from pipeline.purposes.fonts import default_font, right_to_left, tidy
from pipeline.purposes.formats import Format, Words
from pipeline.purposes.layout import Box, Plan, plan, with_logo
from pipeline.purposes.painting import draw_button, draw_logo, frame, lay, over_white, place_image
from pipeline.purposes.palette import Palette, palette_of
from pipeline.purposes.piece import Piece, Refused, Scalar, pixels_of
from pipeline.purposes.scrim import lay_scrim
from pipeline.purposes.text import Mark, marked
from pipeline.purposes.typeset import Block, Fonts, Where, typeset

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Setting:
    """All that stands on a piece, and where."""

    format: Format
    plan: Plan
    blocks: tuple[Block, ...]
    marks: tuple[Mark, ...]
    logo: Pixels | None
    logo_box: Box | None

    def enough(self, block: Block) -> float:
        """The contrast that a text needs."""
        return needed(block.size / self.format.density, block.bold)

    def texts(self) -> list[tuple[Block, Mark]]:
        """Those that don't stand on a button."""
        both = zip(self.blocks, self.marks, strict=True)
        return [(block, mark) for block, mark in both if block.kind != "call_to_action"]


def compose(
    name: str,
    image_CHW: Pixels,
    words: Mapping[Words, str],
    format: Format,
    template: Template,
    logo: Pixels | None = None,
) -> Piece | Refused:
    """logo: uint8 [H, W, 4]. Raises ParamsError for a font that can't be read.

    The facts tell the contrast that was reached for each text, measured on the pixels behind it, the size of its
    letters in CSS px, how much the image was enlarged and cropped, and what had to be adapted.
    """
    setting = _set(words, format, template, logo)
    if isinstance(setting, str):
        return Refused(name, f"{format.name}: {setting}")
    return _painted(name, over_white(pixels_of(image_CHW)), setting, template)


def _set(words: Mapping[Words, str], format: Format, template: Template, logo: Pixels | None) -> Setting | str:
    shown = {kind: tidy(words.get(kind, "")) for kind in format.carries}
    shown = {kind: text for kind, text in shown.items() if text}
    if not shown:
        return "there are no words for it"
    mirrored = right_to_left(next(iter(shown.values())))
    where, logo_box = plan(format, template.layout, mirrored), None
    logo = logo if format.logo else None
    if logo is not None:
        where, logo_box = with_logo(where, format, logo.shape[1] / logo.shape[0], mirrored)
    if min(where.words.width, where.words.height) < 8:
        return f"the layout {template.layout} leaves no place for words"
    fonts = Fonts(template.font or default_font(False), template.bold or template.font or default_font(True))
    place = Where(where.words, where.low, mirrored, 1.0 if where.behind else 0.5)
    blocks = typeset(shown, place, round(template.least_px * format.density), fonts)
    if isinstance(blocks, str):
        return blocks
    marks = tuple(marked((format.width, format.height), block.placed(), block.path, block.size) for block in blocks)
    return Setting(format, where, tuple(blocks), marks, logo, logo_box)


def _painted(name: str, picture: Pixels, setting: Setting, template: Template) -> Piece | Refused:
    format, colours = setting.format, _colours(template, picture)
    canvas = np.empty((format.height, format.width, 3), np.uint8)
    canvas[:] = colours.paper
    facts: dict[str, Scalar] = {"kind": "creative", "format": format.name, "layout": setting.plan.name}
    facts |= place_image(canvas, picture, setting.plan.image)
    text_ink, facts["scrim"] = _made_readable(canvas, setting, template, colours)
    for block, mark in zip(setting.blocks, setting.marks, strict=True):
        ink = text_ink
        if block.kind == "call_to_action":
            button, facts["contrast_button"] = draw_button(canvas, block.box, colours.accent)
            ink = readable_on(button)
        ratio, enough = least_ratio(ink, mark.around(canvas)), setting.enough(block)
        if ratio < enough:
            return Refused(
                name, f"{format.name}: {block.kind} has contrast {ratio:.2f} of the {enough:g} that it needs"
            )
        facts[f"contrast_{block.kind}"] = floor(100 * ratio) / 100
        facts[f"size_{block.kind}"] = round(block.size / format.density, 1)
        lay(canvas, mark.box, mark.cover, ink)
    facts["ink_adapted"] = template.ink != "auto" and text_ink != colours.ink
    if setting.logo is not None and setting.logo_box is not None:
        facts["contrast_logo"], facts["logo_on_plate"] = draw_logo(canvas, setting.logo, setting.logo_box)
    if format.framed:
        frame(canvas)
    return Piece(name, canvas, facts)


def _made_readable(canvas: Pixels, setting: Setting, template: Template, colours: Palette) -> tuple[Colour, float]:
    """The ink of the texts, and how dense a scrim was laid on the canvas: on paper none, there the ink is adapted."""
    texts = setting.texts()
    if not texts:
        return colours.ink, 0.0
    enough = max(setting.enough(block) for block, _ in texts)
    if not setting.plan.behind:
        behind = np.concatenate([mark.around(canvas) for _, mark in texts])
        return adapted(colours.ink, behind[distinct(behind)], enough), 0.0
    top = min(block.box.top for block in setting.blocks)
    chosen = None if template.ink == "auto" else colours.ink
    return lay_scrim(canvas, top, [mark for _, mark in texts], enough, chosen, template.scrim)


def _colours(template: Template, picture: Pixels) -> Palette:
    own = palette_of(picture)
    given = (template.paper, template.ink, template.accent)
    return Palette(*(auto if text == "auto" else _colour(text) for text, auto in zip(given, own, strict=True)))


def _colour(text: str) -> Colour:
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue
