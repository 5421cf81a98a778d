"""Images: inspect, normalise, encode, preview."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAX_PIXELS = 64_000_000
STATS_SIDE = 256
SIGNATURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")
ORIENTED = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}


@dataclass(frozen=True)
class Inspection:
    """What an image is; where `problem` is set, the rest is as far as it could be read."""

    format: str
    mode: str
    width: int
    height: int
    brightness: float
    contrast: float
    dhash: str
    problem: str | None


def inspect(data: bytes) -> Inspection:
    """Decode fully and measure. Never raises: what is wrong stands in `problem`."""
    if not data:
        return _faulty("empty file")
    from PIL import Image, UnidentifiedImageError

    head = ("", "", 0, 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            head = (image.format or "", image.mode, image.width, image.height)
            if image.width * image.height > MAX_PIXELS:
                return _faulty("decompression bomb", *head)
            image.load()
            return Inspection(*head, *_measure(image), None)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return _faulty("decompression bomb", *head)
    except UnidentifiedImageError:
        known = data.startswith(SIGNATURES)
        return _faulty("truncated or damaged image: header unreadable" if known else "not an image")
    except Exception as error:  # decoders raise nearly anything on hostile bytes
        return _faulty(f"truncated or damaged image: {' '.join(str(error).split())[:200]}", *head)


def normalise(data: bytes, size: int, mode: str, fit: str) -> NDArray[np.uint8]:
    """uint8 [C, size, size]; upright, in `mode`, cropped to the centre (`crop`) or padded (`pad`)."""
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise ValueError("decompression bomb")
        image.load()
        if image.format == "TIFF" or not ORIENTED.isdisjoint(image.info):
            image = ImageOps.exif_transpose(image)
    image = _convert(image, mode)
    if image.size != (size, size):
        shape = ImageOps.pad if fit == "pad" else ImageOps.fit
        image = shape(image, (size, size), Image.Resampling.LANCZOS)
    pixels: NDArray[np.uint8] = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def encode_png(image_CHW: NDArray[np.uint8]) -> bytes:
    """PNG bytes of one uint8 image with 1, 3 or 4 channels."""
    out = io.BytesIO()
    _picture(image_CHW).save(out, "PNG")
    return out.getvalue()


def grid(images_NCHW: NDArray[np.uint8], columns: int, scale: int = 1) -> Image.Image:
    """One picture of all images, row by row, 1 pixel of white between them."""

    count, channels, height, width = images_NCHW.shape
    columns = max(1, min(columns, count))
    rows = max(1, -(-count // columns))
    sheet = np.full((channels, rows * (height * scale + 1) - 1, columns * (width * scale + 1) - 1), 255, np.uint8)
    for i, image in enumerate(images_NCHW):
        top, left = (i // columns) * (height * scale + 1), (i % columns) * (width * scale + 1)
        large = image.repeat(scale, axis=1).repeat(scale, axis=2)
        sheet[:, top : top + height * scale, left : left + width * scale] = large
    picture: Image.Image = _picture(sheet)
    return picture


def _picture(image_CHW: NDArray[np.uint8]) -> Any:
    from PIL import Image

    grey = image_CHW.shape[0] == 1
    return Image.fromarray(image_CHW[0] if grey else np.ascontiguousarray(image_CHW.transpose(1, 2, 0)))


def _faulty(problem: str, format: str = "", mode: str = "", width: int = 0, height: int = 0) -> Inspection:
    return Inspection(format, mode, width, height, 0.0, 0.0, "0" * 16, problem)


def _measure(image: Image.Image) -> tuple[float, float, str]:
    from PIL.Image import Resampling

    if max(image.size) > STATS_SIDE and image.mode in ("L", "RGB", "RGBA", "LA", "CMYK", "YCbCr"):
        image.thumbnail((STATS_SIDE, STATS_SIDE), Resampling.BOX)
    grey = _convert(image, "L")
    pixels = np.frombuffer(grey.tobytes(), np.uint8).astype(np.float32)
    mean = float(pixels.sum(dtype=np.float64)) / pixels.size
    pixels -= mean
    contrast = float(np.dot(pixels, pixels) / pixels.size) ** 0.5
    small = np.frombuffer(grey.resize((9, 8), Resampling.BOX).tobytes(), np.uint8).reshape(8, 9)
    return mean, contrast, np.packbits(small[:, 1:] > small[:, :-1]).tobytes().hex()


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _eight_bit(image)
    transparent = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    if transparent and mode != "RGBA":
        image = _over_white(image)
    return image if image.mode == mode else image.convert(mode)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Integers are 16-bit samples; floats are 0..1 or, where any is larger, 0..255."""
    from PIL import Image

    values = np.nan_to_num(np.asarray(image).astype(np.float32))
    scale = 1 / 257 if image.mode != "F" else 255.0 if values.max(initial=0) <= 1 else 1.0
    return Image.fromarray(np.rint(np.clip(values * scale, 0, 255)).astype(np.uint8))


def _over_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
