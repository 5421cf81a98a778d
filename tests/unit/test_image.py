import io

import numpy as np
import pytest
from PIL import Image

from pipeline.media.image import encode_png, grid, inspect, inspect_all, normalise


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def noise(mode: str = "RGB", side: int = 32) -> Image.Image:
    shape = (side, side, 3) if mode == "RGB" else (side, side)
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_every_format_is_read(format: str) -> None:
    found = inspect(encoded(noise(), format))
    assert (found.format, found.width, found.height, found.problem) == (format, 32, 32, None)
    assert len(found.dhash) == 16


def test_brightness_and_contrast_by_hand() -> None:
    pixels = np.zeros((4, 4), np.uint8)
    pixels[:2] = 200
    found = inspect(encoded(Image.fromarray(pixels)))
    assert (found.brightness, found.contrast) == (100.0, 100.0)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_truncated(format: str) -> None:
    data = encoded(noise(), format)
    assert (inspect(data[: len(data) // 2]).problem or "").startswith("truncated or damaged image")


def test_empty_and_text() -> None:
    assert inspect(b"").problem == "empty file"
    assert inspect(b"these are words").problem == "not an image"


def test_bomb_is_not_decoded() -> None:
    assert inspect(encoded(Image.new("1", (9000, 9000)))).problem == "decompression bomb"
    assert inspect(b"P5 100000 100000 255\n" + b"\0" * 99).problem == "decompression bomb"


def test_normalise_leaves_a_fitting_image_alone() -> None:
    picture = noise("L", 28)
    assert np.array_equal(normalise(encoded(picture), 28, "L", "crop")[0], np.asarray(picture))


def test_normalise_transparency_is_over_white() -> None:
    clear = encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 0)))
    assert (normalise(clear, 8, "RGB", "crop") == 255).all()
    assert (normalise(clear, 8, "L", "crop") == 255).all()
    assert (normalise(clear, 8, "RGBA", "crop")[3] == 0).all()


def test_normalise_scales_sixteen_bits() -> None:
    data = encoded(Image.fromarray(np.full((8, 8), 128 * 257, np.uint16)))
    assert (normalise(data, 8, "L", "crop") == 128).all()


def test_normalise_turns_upright() -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = normalise(encoded(Image.fromarray(pixels), exif=exif), 8, "L", "crop")[0]
    assert (turned[:, -1] == 255).all() and turned[:, :-1].max() == 0


def test_crop_and_pad() -> None:
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:16] = 255
    data = encoded(Image.fromarray(wide))
    assert (normalise(data, 8, "L", "crop") == 255).all()
    padded = normalise(data, 24, "L", "pad")[0]
    assert padded[:8].max() == 0 and padded[12, 12] == 255


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_round_trip_and_grid(channels: int) -> None:
    images = np.random.default_rng(1).integers(0, 256, (5, channels, 8, 8), dtype=np.uint8)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    assert np.array_equal(normalise(encode_png(images[0]), 8, mode, "crop"), images[0])
    assert grid(images, columns=3, scale=2).size == (3 * 17 - 1, 2 * 17 - 1)


def test_many_at_once_are_measured_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    sizes = [(28, 28), (5, 7), (28, 28), (300, 40), (256, 256)]
    contents = [encode_png(rng.integers(0, 256, (1, *size), np.uint8)) for size in sizes] + [b"no image"]
    assert inspect_all(contents)[0] == [inspect(data) for data in contents]


def test_the_measures_of_an_image_by_hand() -> None:
    """16 x 18: areas are of 2 x 2 pixels; each column of areas darker than the one left of it, but for the last."""
    image = np.repeat(np.repeat(np.array([[90, 80, 70, 60, 50, 40, 30, 20, 200]], np.uint8), 2, 1), 16, 0)
    found = inspect(encode_png(image[None]))
    assert found.brightness == pytest.approx(640 / 9)
    assert found.contrast == pytest.approx(np.std([90, 80, 70, 60, 50, 40, 30, 20, 200]))
    assert found.dhash == "01" * 8
    assert inspect(encode_png(np.full((1, 31, 29), 137, np.uint8))).dhash == "00" * 8
