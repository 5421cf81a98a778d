"""What is laid on a canvas, uint8 [H, W, 3], in place: image, letters, button, logo, frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.purposes.contrast import SHAPE, Colour, adapted, least_ratio, readable_on
from pipeline.purposes.layout import Box
from pipeline.purposes.piece import Scalar, picture_of

Pixels = NDArray[np.uint8]

FINER = 4  # times as large is the button drawn, then shrunk, for round corners


def over_white(pixels_HWC: Pixels) -> Pixels:
    """uint8 [H, W, 3]"""
    if pixels_HWC.shape[-1] == 4:
        share = pixels_HWC[..., 3:] / 255
        return np.rint(pixels_HWC[..., :3] * share + 255 * (1 - share)).astype(np.uint8)
    return np.broadcast_to(pixels_HWC, (*pixels_HWC.shape[:2], 3)).copy()


def place_image(canvas: Pixels, picture: Pixels, box: Box) -> dict[str, Scalar]:
    """Fill the box, cropped about the middle; enlarged by Lanczos, which keeps edges firmer than bicubic."""
    from PIL import Image

    height, width = picture.shape[:2]
    scale = max(box.width / width, box.height / height)
    across, down = min(box.width / scale, width), min(box.height / scale, height)
    left, top = (width - across) / 2, (height - down) / 2
    part = (left, top, left + across, top + down)
    large = picture_of(picture).resize((box.width, box.height), Image.Resampling.LANCZOS, box=part)
    canvas[box.top : box.bottom, box.left : box.right] = np.asarray(large)
    return {"enlarged": round(scale, 2), "cropped": round(1 - across * down / (width * height), 3)}


def draw_button(canvas: Pixels, box: Box, accent: Colour) -> tuple[Colour, float]:
    """The colour that the button got so that it stands out from what lies around it, and its contrast to that."""
    around = canvas[max(0, box.top - 2) : box.bottom + 2, max(0, box.left - 2) : box.right + 2]
    ring = np.concatenate([around[:2].reshape(-1, 3), around[-2:].reshape(-1, 3), around[:, :2].reshape(-1, 3)])
    colour = adapted(accent, ring, SHAPE)
    lay(canvas, box, _rounded(box), colour)
    return colour, round(least_ratio(colour, ring), 2)


def draw_logo(canvas: Pixels, logo: Pixels, box: Box) -> tuple[float, bool]:
    """Its contrast to what it lies on, by its mean colour, and whether that had to be a plate laid beneath it."""
    from PIL import Image

    picture = picture_of(logo).convert("RGBA").convert("RGBa")  # weighed by alpha, so that clear pixels don't bleed
    small = np.asarray(picture.resize((box.width, box.height), Image.Resampling.LANCZOS).convert("RGBA"))
    alpha = small[..., 3:] / 255
    weights = max(float(alpha.sum()), 1.0)
    red, green, blue = (round(float(level)) for level in (small[..., :3] * alpha).sum((0, 1)) / weights)
    mean = (red, green, blue)
    part = canvas[box.top : box.bottom, box.left : box.right]
    clear = bool((alpha < 0.5).any())
    ratio = least_ratio(mean, part.reshape(-1, 3))
    plated = clear and ratio < SHAPE
    if plated:
        plate = readable_on(mean)
        lay(canvas, _plate(canvas, box), _rounded(_plate(canvas, box)), plate)
        ratio = least_ratio(mean, np.array([plate], np.uint8))
    part[:] = np.rint(small[..., :3] * alpha + part * (1 - alpha)).astype(np.uint8)
    return round(ratio, 2), plated


def _plate(canvas: Pixels, box: Box) -> Box:
    """Wider than the logo by a fifth of its height, which is less than what is left free between it and words."""
    pad = max(2, box.height // 5)
    left, top = max(0, box.left - pad), max(0, box.top - pad)
    right, bottom = min(canvas.shape[1], box.right + pad), min(canvas.shape[0], box.bottom + pad)
    return Box(left, top, right - left, bottom - top)


def _rounded(box: Box) -> Pixels:
    """uint8 [H, W]: the cover of a box with round corners."""
    from PIL import Image, ImageDraw

    size = (box.width * FINER, box.height * FINER)
    shape = Image.new("L", size)
    ImageDraw.Draw(shape).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), box.height * FINER // 5, 255)
    return np.asarray(shape.resize((box.width, box.height), Image.Resampling.BOX))


def frame(canvas: Pixels) -> None:
    for edge in (canvas[0], canvas[-1], canvas[:, 0], canvas[:, -1]):
        edge[:] = edge // 4 * 3


def lay(canvas: Pixels, box: Box, cover_HW: Pixels, colour: Colour) -> None:
    """cover: of the box, 0 to 255 where all is covered."""
    part = canvas[box.top : box.bottom, box.left : box.right]
    share = cover_HW[..., None] / 255
    part[:] = np.rint(part * (1 - share) + np.array(colour) * share).astype(np.uint8)
