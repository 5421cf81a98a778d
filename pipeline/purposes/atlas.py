"""Sprites packed into sheets, with the JSON that engines read beside them.

The JSON is the "hash" form that TexturePacker made common: Phaser (`load.atlas`), PixiJS (`Assets.load`) and the
importers of Unity and Godot read it. Several sheets name each other in `meta.related_multi_packs`, for PixiJS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ParamsError
from pipeline.orders import Packing
from pipeline.purposes.layout import Box
from pipeline.purposes.piece import Piece, Scalar

Pixels = NDArray[np.uint8]

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}){0,4}")


@dataclass(frozen=True)
class Sheet:
    """piece: RGBA, named as its PNG without `.png`. json: what is written beside it, as `piece.name`.json."""

    piece: Piece
    json: dict[str, Any]


@dataclass(frozen=True)
class _Sprite:
    """pixels: uint8 [h, w, 4] of what is left of [height, width] after trimming, from `left` and `top` on."""

    name: str
    pixels: Pixels
    left: int
    top: int
    width: int
    height: int

    @property
    def trimmed(self) -> bool:
        return self.pixels.shape[:2] != (self.height, self.width)


def atlas(name: str, sprites: Mapping[str, Pixels], packing: Packing | None = None) -> list[Sheet]:
    """sprites: uint8 [H, W, 1, 3 or 4] by name. The same sprites give the same sheets, in whatever order they come.

    Sheets are powers of two a side, as small as they can be, and as many as it takes. Raises ParamsError for a packing
    that can't be, a sprite larger than a sheet or a name that is none.
    """
    packing = packing or Packing()
    _check(name, sprites, packing)
    cut = [_sprite(key, _rgba(sprites[key]), packing.trim) for key in sorted(sprites)]
    cut.sort(key=lambda sprite: (-sprite.pixels.shape[0], -sprite.pixels.shape[1], sprite.name))
    sheets = list[tuple[list[tuple[_Sprite, Box]], int, int]]()
    while cut:
        placed, width, height = _smallest(cut, packing)
        sheets.append((placed, width, height))
        taken = {sprite.name for sprite, _ in placed}
        cut = [sprite for sprite in cut if sprite.name not in taken]
    names = [name if len(sheets) == 1 else f"{name}-{number}" for number in range(len(sheets))]
    return [_sheet(own, names, *sheet, packing) for own, sheet in zip(names, sheets, strict=True)]


def _check(name: str, sprites: Mapping[str, Pixels], packing: Packing) -> None:
    if not 16 <= packing.side <= 8192 or packing.side & (packing.side - 1):
        raise ParamsError(f"sheets of {packing.side} pixels", remedy="give a power of two, 16 to 8192")
    if not (0 <= packing.padding <= 64 and 0 <= packing.extrude <= 16):
        raise ParamsError(f"padding {packing.padding} or extrude {packing.extrude}", remedy="0 to 64, and 0 to 16")
    for key in (name, *sprites):
        if not NAME.fullmatch(key):
            raise ParamsError(f"{key[:80]!r} is no name", remedy="letters, digits, _ . - and / between them")
    for key, pixels in sprites.items():
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or not pixels.size:
            raise ValueError(f"{key}: {pixels.dtype} {pixels.shape} is no uint8 [H, W, 1, 3 or 4]")
        room = packing.side - 2 * packing.extrude
        if max(pixels.shape[:2]) > room:
            what = f"sprite {key} has {pixels.shape[1]}x{pixels.shape[0]} pixels, a sheet has room for {room}"
            raise ParamsError(what, remedy="enlarge packing.side")


def _rgba(pixels: Pixels) -> Pixels:
    if pixels.shape[2] == 4:
        return pixels
    colours = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return np.concatenate([colours, np.full((*pixels.shape[:2], 1), 255, np.uint8)], axis=2)


def _sprite(name: str, pixels: Pixels, trim: bool) -> _Sprite:
    height, width = pixels.shape[:2]
    seen = pixels[..., 3] > 0
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    if not trim:
        return _Sprite(name, pixels, 0, 0, width, height)
    if not len(rows):  # engines want at least one pixel
        return _Sprite(name, pixels[:1, :1], 0, 0, width, height)
    kept = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _Sprite(name, kept, int(columns[0]), int(rows[0]), width, height)


def _smallest(sprites: list[_Sprite], packing: Packing) -> tuple[list[tuple[_Sprite, Box]], int, int]:
    """All of them on the sheet of least area, the squarer of two; or as many as the largest sheet holds."""
    area = sum((s.pixels.shape[0] + 2 * packing.extrude) * (s.pixels.shape[1] + 2 * packing.extrude) for s in sprites)
    powers = [1 << bits for bits in range(packing.side.bit_length())]
    shapes = [(width, height) for width in powers for height in powers if width in (height, 2 * height)]
    for width, height in sorted(shapes, key=lambda shape: shape[0] * shape[1]):
        if width * height >= area and len(placed := _shelves(sprites, width, height, packing)) == len(sprites):
            return placed, width, height
    return _shelves(sprites, packing.side, packing.side, packing), packing.side, packing.side


def _shelves(sprites: list[_Sprite], width: int, height: int, packing: Packing) -> list[tuple[_Sprite, Box]]:
    """Sprites, which come by falling height, in rows from the top: next-fit decreasing height (Coffman, Garey, Johnson
    and Tarjan 1980). Generated sprites have one size or nearly so, for which rows waste next to nothing.
    """
    placed, left, top, shelf = list[tuple[_Sprite, Box]](), 0, 0, 0
    edge = packing.extrude
    for sprite in sprites:
        down, across = (length + 2 * edge for length in sprite.pixels.shape[:2])
        if left + across > width:
            left, top, shelf = 0, top + shelf + packing.padding, 0
        if across > width or top + down > height:
            break
        placed.append((sprite, Box(left + edge, top + edge, across - 2 * edge, down - 2 * edge)))
        left, shelf = left + across + packing.padding, max(shelf, down)
    return placed


def _sheet(
    name: str, names: list[str], placed: list[tuple[_Sprite, Box]], width: int, height: int, packing: Packing
) -> Sheet:
    canvas = np.zeros((height, width, 4), np.uint8)
    edge = packing.extrude
    for sprite, box in placed:
        ringed = np.pad(sprite.pixels, ((edge, edge), (edge, edge), (0, 0)), mode="edge")
        canvas[box.top - edge : box.bottom + edge, box.left - edge : box.right + edge] = ringed
    used = sum(box.width * box.height for _, box in placed) / (width * height)
    facts: dict[str, Scalar] = {"kind": "atlas", "sprites": len(placed), "used": round(used, 4), "sheets": len(names)}
    frames = {sprite.name: _frame(sprite, box) for sprite, box in sorted(placed, key=lambda one: one[0].name)}
    others = [f"{other}.json" for other in names if other != name]
    return Sheet(Piece(name, canvas, facts), {"frames": frames, "meta": _meta(name, width, height, others)})


def _frame(sprite: _Sprite, box: Box) -> dict[str, Any]:
    return {
        "frame": {"x": box.left, "y": box.top, "w": box.width, "h": box.height},
        "rotated": False,
        "trimmed": sprite.trimmed,
        "spriteSourceSize": {"x": sprite.left, "y": sprite.top, "w": box.width, "h": box.height},
        "sourceSize": {"w": sprite.width, "h": sprite.height},
    }


def _meta(name: str, width: int, height: int, others: list[str]) -> dict[str, Any]:
    meta = {"app": "genloop", "version": "1.0", "image": f"{name}.png", "format": "RGBA8888", "scale": "1"}
    return meta | {"size": {"w": width, "h": height}} | ({"related_multi_packs": others} if others else {})
