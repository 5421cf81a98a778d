"""A batch as pages that a browser shows from the bucket: a sheet of pictures a part, and a page that leads to them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

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
    from PIL import Image

    channels = max((item.small.shape[2] for item in items), default=1)
    mode, paper = {1: ("L", 255), 3: ("RGB", (255, 255, 255)), 4: ("RGBA", (0, 0, 0, 0))}[channels]
    sheet = Image.new(mode, (columns * side, max(1, -(-len(items) // columns)) * side), paper)  # type: ignore[arg-type]
    for i, item in enumerate(items):
        height, width, _ = item.small.shape
        scale = max(1, side // max(height, width))
        shown = picture(item.small).convert(mode).resize((width * scale, height * scale), Image.Resampling.NEAREST)
        left, top = (side - shown.width) // 2, (side - shown.height) // 2
        sheet.paste(shown, ((i % columns) * side + left, (i // columns) * side + top))
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()
