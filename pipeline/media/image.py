"""Images: inspect, normalise, encode, preview."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.media.measures import area_means, at_once, measure

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
PLUGINS = tuple(f"PIL.{name}ImagePlugin" for name in ("Png", "Jpeg", "WebP", "Bmp", "Gif", "Tiff", "Ppm"))
MAX_PIXELS = 64_000_000
STATS_SIDE = 256
SMALL_SIDE = 64  # pixels; the decoded image is kept up to it
MODES = ("L", "RGB", "RGBA")
NEEDS_MEMORY = "needs too much memory"
SIGNATURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")
ORIENTED = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}


class Inspection(NamedTuple):
    """What an image is; where `problem` is set, the rest is as far as it could be read."""

    format: str
    mode: str
    width: int
    height: int
    brightness: float = 0.0
    contrast: float = 0.0
    dhash: str = "0" * 16
    problem: str | None = None


def inspect(data: bytes) -> Inspection:
    """Decode fully and measure. Never raises: what is wrong stands in `problem`."""
    return inspect_all([data]).inspections[0]


class Inspected(NamedTuple):
    """pixels: of all, uint8 [N, H, W, C], black where there is a problem; None unless they are small, upright and alike
    in size and mode: then `normalise` to that size and mode would give the same.

    areas: uint8 [N, side, side], mean brightness of equal areas, 0 where there is a problem; None where not asked for.
    """

    inspections: list[Inspection]
    pixels: NDArray[np.uint8] | None
    areas: NDArray[np.uint8] | None


def inspect_all(contents: Sequence[bytes], areas_side: int = 0) -> Inspected:
    """`inspect` of each; images of one size are measured at once, which costs a third of one by one."""
    areas = np.zeros((len(contents), areas_side, areas_side), np.uint8) if areas_side else None
    if not contents:
        return Inspected([], None, areas)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        looked = [_look(data) for data in contents]
    found = [inspection for inspection, _, _ in looked]
    alike: dict[tuple[int, ...], list[tuple[int, NDArray[np.uint8]]]] = {}
    for row, (_, grey, _) in enumerate(looked):
        if grey is not None:
            alike.setdefault(grey.shape, []).append((row, grey))
    for (height, width), greys in alike.items():
        step = at_once(height, width)
        for some in (greys[i : i + step] for i in range(0, len(greys), step)):
            rows, stack = [row for row, _ in some], np.stack([grey for _, grey in some])
            for row, brightness, contrast, dhash in zip(rows, *measure(stack), strict=True):
                found[row] = Inspection(*found[row][:4], brightness, contrast, dhash)
            if areas is not None:
                areas[rows] = area_means(stack, areas_side)
    return Inspected(found, stacked([(i.problem is None, pixels) for i, _, pixels in looked]), areas)


def areas_of(contents: Sequence[bytes], side: int) -> NDArray[np.uint8]:
    """uint8 [N, side, side]: mean brightness of equal areas of each, 0 where it is no image."""
    return cast(NDArray[np.uint8], inspect_all(contents, side).areas)


def stacked(found: Sequence[tuple[bool, NDArray[np.uint8] | None]]) -> NDArray[np.uint8] | None:
    """(is an image, its pixels or None) of each as one array, uint8 [N, H, W, C]; None where they are not alike."""
    shapes = {None if pixels is None else pixels.shape for good, pixels in found if good}
    if len(shapes) != 1 or (shape := shapes.pop()) is None:
        return None
    black: NDArray[np.uint8] = np.zeros(shape, np.uint8)
    return np.stack([black if pixels is None else pixels for _, pixels in found])


def _look(data: bytes) -> tuple[Inspection, NDArray[np.uint8] | None, NDArray[np.uint8] | None]:
    """What the image is, its greys, uint8 [H, W], at most STATS_SIDE a side, and its pixels, uint8 [H, W, C].

    No greys where there is a problem; no pixels unless they are what `normalise` would make of a small image.
    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        return _faulty("empty file"), None, None
    head = ("", "", 0, 0)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        head = (image.format or "", image.mode, image.width, image.height)
        if image.width * image.height > MAX_PIXELS:
            return _faulty("decompression bomb", *head), None, None
        image.load()
        if (
            max(image.size) > SMALL_SIDE
            or image.mode not in MODES
            or not _is_upright(image)
            or _is_transparent(image, image.mode)
        ):
            return Inspection(*head), _greys(image), None
        pixels = np.frombuffer(image.tobytes(), np.uint8).reshape(image.height, image.width, -1)
        return Inspection(*head), pixels[:, :, 0] if image.mode == "L" else _greys(image), pixels
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return _faulty("decompression bomb", *head), None, None
    except MemoryError:
        return _faulty(NEEDS_MEMORY, *head), None, None
    except UnidentifiedImageError:
        known = data.startswith(SIGNATURES)
        return _faulty("truncated or damaged image: header unreadable" if known else "not an image"), None, None
    except Exception as error:  # decoders raise nearly anything on hostile bytes
        why = " ".join(str(error).split())[:200]
        bomb = "MAX_TEXT" in why  # Pillow's limits for what is packed beside the pixels
        return _faulty(f"{'decompression bomb' if bomb else 'truncated or damaged image'}: {why}", *head), None, None


def normalise(data: bytes, size: int, mode: str, fit: str) -> NDArray[np.uint8]:
    """uint8 [C, size, size]; upright, in `mode`, cropped to the centre (`crop`) or padded (`pad`)."""
    (pixels,) = normalise_all([data], size, mode, fit)
    return cast(NDArray[np.uint8], pixels)


def normalise_all(contents: Sequence[bytes], size: int, mode: str, fit: str) -> NDArray[np.uint8]:
    """uint8 [N, C, size, size]: `normalise` of each."""
    channels = len(mode)
    out: NDArray[np.uint8] = np.empty((len(contents), size, size, channels), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row, data in enumerate(contents):
            pixels = _normalised(data, size, mode, fit).tobytes()
            out[row] = np.frombuffer(pixels, np.uint8).reshape(size, size, channels)
    return np.ascontiguousarray(out.transpose(0, 3, 1, 2))


def _normalised(data: bytes, size: int, mode: str, fit: str) -> Image.Image:
    from PIL import Image, ImageOps

    image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise ValueError("decompression bomb")
    image.load()
    if not _is_upright(image):
        image = ImageOps.exif_transpose(image)
    image = _convert(image, mode)
    if image.size != (size, size):
        shape = ImageOps.pad if fit == "pad" else ImageOps.fit
        image = shape(image, (size, size), Image.Resampling.LANCZOS)
    return image


def thumbnail(data: bytes, side: int) -> bytes:
    """PNG bytes of an image, at most `side` pixels a side; none where it can't be shown."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                return b""
            image.load()
            image = _convert(ImageOps.exif_transpose(image), "RGB")
            image.thumbnail((side, side))
            out = io.BytesIO()
            image.save(out, "PNG")
            return out.getvalue()
    except Exception:  # decoders raise nearly anything on hostile bytes
        return b""


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
    return Inspection(format, mode, width, height, problem=problem)


def _greys(image: Image.Image) -> NDArray[np.uint8]:
    from PIL.Image import Resampling

    small = (STATS_SIDE, STATS_SIDE)
    if max(image.size) > STATS_SIDE and image.mode in ("RGBA", "LA", "CMYK", "YCbCr"):
        image.thumbnail(small, Resampling.BOX)  # what is dear to convert is first made small; colour is dear to shrink
    grey = _convert(image, "L")
    if max(grey.size) > STATS_SIDE:
        grey.thumbnail(small, Resampling.BOX)
    return np.frombuffer(grey.tobytes(), np.uint8).reshape(grey.height, grey.width)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _eight_bit(image)
    if _is_transparent(image, mode):
        image = _over_white(image)
    return image if image.mode == mode else image.convert(mode)


def _is_upright(image: Image.Image) -> bool:
    """Whether there is nothing that could say it is to be turned."""
    return image.format != "TIFF" and ORIENTED.isdisjoint(image.info)


def _is_transparent(image: Image.Image, mode: str) -> bool:
    """Whether it is to be laid on white before it becomes `mode`."""
    return mode != "RGBA" and (image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info)


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
