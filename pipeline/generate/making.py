"""What an order's purpose makes of images: which recipes they are of, the pieces of each, and what lies beside them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.files import sha256_file
from pipeline.generate.items import Item
from pipeline.generate.layouts import Blob
from pipeline.generate.order import Order, Slots, slots
from pipeline.media.encoding import sized
from pipeline.model.recipe import Recipes, plain
from pipeline.orders import Ads, Sprites, Textures, Variations
from pipeline.purposes.piece import Piece, Refused

if TYPE_CHECKING:
    from pipeline.purposes.campaign import Campaign

Pixels = NDArray[np.uint8]
Sign = Callable[[str, bytes], bytes]  # name of a picture, PNG -> marked


@dataclass(frozen=True)
class Plan:
    """What a part is made of: its places, and the recipe of each candidate."""

    places: Slots
    recipes: Recipes


def plan(order: Order, part: int) -> Plan:
    if isinstance(order.asked.purpose, Variations):
        return _around(order, part)
    places = slots(order, part)
    return Plan(places, plain(places.candidate_labels, places.candidate_seeds))


def pieces(order: Order, name: str, image_CHW: Pixels, workspace: Path) -> Iterator[Piece | Refused]:
    """Of one image, named so. A piece's name is the image's, and what tells it from others of that."""
    purpose, form = order.asked.purpose, order.asked.image
    side = image_CHW.shape[-1] if form.size == "auto" else form.size
    if isinstance(purpose, Ads):
        yield from _ads(purpose, name, image_CHW, workspace)
    elif isinstance(purpose, Textures):
        from pipeline.purposes.textures import texture

        yield texture(name, image_CHW, side, purpose.seam)
    else:
        yield Piece(name, sized(image_CHW, side), {})


def beside(order: Order, part: int, items: Sequence[Item], sign: Sign) -> list[Blob]:
    """Objects that a part has besides its items: sheets of sprites."""
    purpose = order.asked.purpose
    if not isinstance(purpose, Sprites) or not items:
        return []
    from PIL import Image

    from pipeline.purposes.atlas import atlas
    from pipeline.purposes.piece import picture_of

    sprites = {}
    for item in items:
        with Image.open(io.BytesIO(item.data)) as image:
            pixels = np.asarray(image)
        sprites[f"{item.label or 'item'}/{item.id}" if _is_plain(item.label) else item.id] = (
            pixels if pixels.ndim == 3 else pixels[:, :, None]
        )
    blobs = []
    for sheet in atlas(f"atlas-{part:05d}", sprites, purpose.packing):
        out = io.BytesIO()
        picture_of(sheet.piece.image).save(out, "PNG")
        data = sign(sheet.piece.name, out.getvalue())
        told = json.dumps(sheet.json, indent=1).encode()
        blobs += [
            Blob(f"atlas/{sheet.piece.name}.png", data, "image/png"),
            Blob(f"atlas/{sheet.piece.name}.json", told, "application/json"),
        ]
    return blobs


def cells(order: Order) -> Any:
    """The plan of a sheet of variations."""
    from pipeline.purposes.variations import mostly, sheet

    purpose = order.asked.purpose
    assert isinstance(purpose, Variations) and order.around is not None
    label, seed = order.around
    seen, count = mostly(label, order.way), len(order.classes)
    others = [(seen + step) % count for step in range(1, min(purpose.others + 1, count))]
    return sheet(label, seed, order.seed, others, order.classes, purpose.columns, order.way)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]


def _around(order: Order, part: int) -> Plan:
    """One candidate a place: what is refused leaves it empty."""
    recipes, start = cells(order).recipes, part * order.asked.part_items
    index = np.arange(start, min(start + order.asked.part_items, len(recipes)), dtype=np.int64)
    some = recipes[index]
    return Plan(Slots(index, some.labels, some.labels, some.seeds, own=True), some)


def _ads(purpose: Ads, name: str, image_CHW: Pixels, workspace: Path) -> Iterator[Piece | Refused]:
    from pipeline.purposes.campaign import facts_of
    from pipeline.purposes.creative import compose

    path = workspace / purpose.campaign
    campaign, logos = _campaign(path, sha256_file(path))
    for piece, text, format in campaign.pieces():
        variant = piece.removeprefix(f"{campaign.name}-")
        logo = logos[text.line]
        made = compose(f"{name}-{variant}", image_CHW, text.words(), format, purpose.template, logo)
        yield Piece(made.name, made.image, {**facts_of(text), **made.facts}) if isinstance(made, Piece) else made


@lru_cache(1)
def _campaign(path: Path, sha256: str) -> tuple[Campaign, dict[int, Pixels | None]]:
    """The campaign, and the logo of each of its texts by its line; read once, and not for every image."""
    from pipeline.purposes.campaign import read_campaign, read_logo

    campaign = read_campaign(path)
    return campaign, {text.line: read_logo(path, text) for text in campaign.texts}


def _is_plain(label: str | None) -> bool:
    return label is not None and all(c.isascii() and (c.isalnum() or c in "_-") for c in label) and 0 < len(label) < 60
