"""A batch as pages that a browser shows from the bucket: a sheet of pictures a part, and a page that leads to them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.generate.items import Item
from pipeline.generate.layouts import Blob
from pipeline.generate.making import Sign, digest
from pipeline.generate.order import Order
from pipeline.media.encoding import picture
from pipeline.page import rendered

PAGES = Path(__file__).parent / "pages"
COLUMNS = 25
PREVIEW = 100
LEAST = 48  # pixels a side that an image has on a sheet
LEVEL = 3  # of compression: half the time of Pillow's 6, a sixth more bytes
HTML = "text/html; charset=utf-8"


def page_blobs(order: Order, part: int, items: Sequence[Item], sign: Sign) -> list[Blob]:
    """The sheet of a part, marked, and its page; of the first part a preview too."""
    shown = sorted(items, key=lambda item: (item.label or "", item.id))
    side = cell(max((max(item.small.shape[:2]) for item in shown), default=LEAST))
    blobs = [_marked(f"gallery/{part:05d}", _sheet(shown, side, COLUMNS), sign)]
    tiles = [
        {"id": item.id, "label": item.label, "x": -(i % COLUMNS) * side, "y": -(i // COLUMNS) * side}
        for i, item in enumerate(shown)
    ]
    title = f"{order.name}: part {part + 1} of {order.parts}"
    sheet_name = blobs[0].name.rpartition("/")[2]
    page = rendered(PAGES, "part.html", title=title, order=order, sheet=sheet_name, tiles=tiles, side=side).encode()
    blobs.append(Blob(blobs[0].name.removesuffix("png") + "html", page, HTML))
    if part == 0:
        some = [shown[i] for i in np.linspace(0, len(shown) - 1, min(len(shown), PREVIEW)).astype(int)]
        blobs.append(_marked("gallery/preview", _sheet(some, side, 10), sign))
    return blobs


def cell(size: int) -> int:
    """Pixels a side on a sheet: small images are enlarged by whole steps."""
    return size * max(1, -(-LEAST // size))


def _marked(name: str, sheet: bytes, sign: Sign) -> Blob:
    data = sign(name, sheet)
    return Blob(f"{name}-{digest(data)}.png", data, "image/png")


def _sheet(items: Sequence[Item], side: int, columns: int) -> bytes:
    """PNG, white or transparent where nothing is."""
    rows, channels = max(1, -(-len(items) // columns)), max((item.small.shape[2] for item in items), default=1)
    mode, paper = {1: ("L", 255), 3: ("RGB", 255), 4: ("RGBA", 0)}[channels]
    sheet = np.full((rows * side, columns * side, channels), paper, np.uint8)
    for i, item in enumerate(items):
        height, width, own = item.small.shape
        scale = max(1, side // max(height, width))
        image = item.small if own == channels else _of_mode(item.small, mode)
        high, wide = height * scale, width * scale
        top, left = i // columns * side + (side - high) // 2, i % columns * side + (side - wide) // 2
        sheet[top : top + high, left : left + wide] = image.repeat(scale, 0).repeat(scale, 1)
    out = io.BytesIO()
    picture(sheet).save(out, "PNG", compress_level=LEVEL)
    return out.getvalue()


def _of_mode(image_HWC: NDArray[np.uint8], mode: str) -> NDArray[np.uint8]:
    image = np.asarray(picture(image_HWC).convert(mode))
    return image.reshape(*image_HWC.shape[:2], -1)
