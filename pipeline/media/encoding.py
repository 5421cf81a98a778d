"""Finished images into files: PNG, WebP, JPEG."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from pipeline.orders import Encoding

MIME = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}
SUFFIX = {"png": "png", "webp": "webp", "jpeg": "jpg"}
LOSSLESS = 100


def sized(image_CHW: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """uint8 [side, side, C], by Lanczos where the size changes."""
    from PIL import Image

    image_HWC = np.ascontiguousarray(image_CHW.transpose(1, 2, 0))
    if image_HWC.shape[:2] == (side, side):
        return image_HWC
    grown = picture(image_HWC).resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(grown).reshape(side, side, -1)


def picture(image_HWC: NDArray[np.uint8]):  # type: ignore[no-untyped-def]  # Pillow is imported late
    """As Pillow has it, of 1, 3 or 4 channels."""
    from PIL import Image

    return Image.fromarray(image_HWC[:, :, 0] if image_HWC.shape[2] == 1 else image_HWC)


def encode(image_HWC: NDArray[np.uint8], form: Encoding) -> bytes:
    """The same image gives the same bytes. JPEG has no alpha: it is laid on white."""
    from PIL import Image

    shown = picture(image_HWC)
    if form.format == "jpeg" and shown.mode == "RGBA":
        shown = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    out = io.BytesIO()
    if form.format == "png":
        shown.save(out, "PNG")
    elif form.format == "webp":
        shown.save(out, "WEBP", quality=form.quality, lossless=form.quality == LOSSLESS)
    else:
        shown.save(out, "JPEG", quality=form.quality)
    return out.getvalue()
