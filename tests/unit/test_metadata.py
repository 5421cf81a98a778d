from __future__ import annotations

import io
import struct
import time
import warnings
import zlib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pipeline.media.image import FORMATS, inspect
from pipeline.media.metadata import MetadataError, stripped
from tests.unit.told_images import (
    ICC,
    MARK,
    VIDEO,
    chunk,
    encoded,
    exif,
    frames,
    noise,
    riff,
    segment,
    told_images,
    with_chunks,
)
from tests.unit.told_tiffs import told_tiffs

TOLD = told_images() | told_tiffs()
CLEAN = {
    **{f"PNG {mode}": encoded(noise(mode), "PNG") for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "I;16")},
    **{f"JPEG {mode}": encoded(noise(mode), "JPEG") for mode in ("L", "RGB", "CMYK")},
    **{f"TIFF {mode}": encoded(noise(mode), "TIFF") for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "F", "I;16")},
    **{f"TIFF {codec}": encoded(noise(), "TIFF", compression=codec) for codec in ("jpeg", "tiff_lzw", "packbits")},
    **{format: encoded(noise(), format) for format in ("BMP", "PPM", "GIF", "WEBP")},
    "PNG profile": encoded(noise("P"), "PNG", icc_profile=ICC, transparency=1, dpi=(72, 72)),
    "JPEG profile": encoded(noise("CMYK"), "JPEG", icc_profile=ICC, progressive=True),
    "JPEG restarts": encoded(noise(), "JPEG", restart_marker_blocks=1),
    "WebP profile": encoded(noise("RGBA"), "WEBP", icc_profile=ICC, lossless=True),
    "TIFF profile": encoded(noise(), "TIFF", icc_profile=ICC, big_tiff=True),
    **{f"{name} frames": encoded(frames()[0], name, save_all=True, append_images=frames()[1:], duration=50)
       for name in ("PNG", "WEBP", "GIF", "TIFF")},
    **{f"TIFF {codec} frames": encoded(noise(), "TIFF", save_all=True, append_images=frames(), compression=codec)
       for codec in ("jpeg", "tiff_lzw", "tiff_adobe_deflate")},
}  # fmt: skip


def looks(data: bytes) -> tuple[list[Any], Any]:
    """All frames, how long each is shown, how they loop and their profile; and the first one upright."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _looks(data)


def _looks(data: bytes) -> tuple[list[Any], Any]:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    shown = []
    for i in range(getattr(image, "n_frames", 1) if image.format != "MPO" else 1):
        image.seek(i)
        frame = image.copy()
        info = tuple(image.info.get(key) for key in ("duration", "loop", "transparency", "icc_profile"))
        shown.append((frame.mode, frame.size, frame.tobytes(), frame.getpalette("RGBA"), info))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data), formats=FORMATS))
    return shown, (upright.mode, upright.size, upright.tobytes())


@pytest.mark.parametrize("name", TOLD)
def test_nothing_told_is_left_and_the_picture_is_the_same(name: str) -> None:
    data, kinds = TOLD[name]
    kept = stripped(data)
    assert kept.kinds == tuple(sorted(kinds))
    assert MARK not in kept.data
    assert looks(kept.data) == looks(data)
    again = stripped(kept.data)
    assert again.data is kept.data and again.kinds == ()


@pytest.mark.parametrize("name", CLEAN)
def test_an_image_that_tells_nothing_is_the_very_same_object(name: str) -> None:
    kept = stripped(CLEAN[name])
    assert kept.data is CLEAN[name] and kept.kinds == ()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_survives_and_nothing_else_of_exif(format: str, turn: int) -> None:
    data = encoded(noise("L"), format, exif=exif(turn))
    kept = stripped(data).data
    assert looks(kept) == looks(data)
    left = Image.open(io.BytesIO(kept)).getexif()
    if format != "TIFF":
        assert dict(left) == ({274: turn} if turn > 1 else {})
    assert not left.get_ifd(34665) and not left.get_ifd(34853)


def test_the_thumbnail_in_exif_is_told() -> None:
    with_thumbnail = b"II*\0\x08\0\0\0\0\0\x0e\0\0\0\1\0" + struct.pack("<HHLLL", 513, 4, 1, 32, 0) + b"zq~"
    data = encoded(noise(), "JPEG", exif=b"Exif\0\0" + with_thumbnail)
    assert stripped(data) == (encoded(noise(), "JPEG"), ("EXIF", "thumbnail"))


@pytest.mark.parametrize("name, flags", [("WebP still", 8), ("WebP moving", 8), ("WebP XMP", 8), ("WebP upright", 0)])
def test_a_webp_file_says_what_is_in_it(name: str, flags: int) -> None:
    told = TOLD | {"WebP upright": (encoded(noise(), "WEBP", exif=exif(1), xmp=b"zq~"), {"EXIF"})}
    kept = stripped(told[name][0]).data
    assert int.from_bytes(kept[4:8], "little") == len(kept) - 8
    assert kept[20] & 12 == flags == 8 * (b"EXIF" in kept)


def test_a_second_picture_is_cut_off() -> None:
    data = encoded(noise(), "MPO", save_all=True, append_images=[noise(seed=1)])
    assert inspect(data).format == "MPO"
    assert stripped(data) == (encoded(noise(), "JPEG"), ("appended data",))


@pytest.mark.parametrize("name", ["JPEG photo", "PNG told", "PNG moving", "WebP still", "GIF told", "TIFF pages"])
def test_a_truncated_image_is_truncated_still(name: str) -> None:
    whole = TOLD[name][0].removesuffix(VIDEO)
    for size in range(30, len(whole), 7):
        data = whole[:size]
        try:
            kept = stripped(data)
        except MetadataError:
            assert name == "TIFF pages"  # a directory is cut off
            continue
        assert (inspect(kept.data).problem is None) == (inspect(data).problem is None)


def test_what_is_no_image_is_left_alone() -> None:
    for data in (b"", b"P", b"BM", b"RIFF", b"GIF89a", b"II*\0", b"\xff\xd8\xff", b"II*\0" + bytes(4) + VIDEO, VIDEO):
        assert stripped(data) == (data, ())


def with_entry(data: bytes, tag: int, value: int) -> bytes:
    """The first directory of a little-endian TIFF has `value` for `tag`."""
    at = next(at for at in range(10, len(data), 12) if struct.unpack_from("<H", data, at)[0] == tag)
    return data[: at + 8] + struct.pack("<L", value) + data[at + 12 :]


def test_pixels_that_can_not_be_told_from_metadata_raise() -> None:
    told = encoded(noise("L"), "TIFF", description="zq~")
    assert stripped(told).kinds == ("EXIF",)
    for data, reason in (
        (with_entry(told, 279, 7), "can't be told"),  # fewer bytes than the picture has
        (with_entry(told, 259, 6), "can't be told"),  # old JPEG, whose pixels have no one place
        (with_entry(told, 273, 20), "shares bytes"),  # pixels are in the directory
        (told[:100], "cut off"),
        (b"MM\0+" + told[4:], "big-endian BigTIFF"),
    ):
        with pytest.raises(MetadataError, match=reason):
            stripped(data)
    untold = with_entry(CLEAN["TIFF L"], 279, 7)
    assert stripped(untold).data is untold


def test_directories_in_a_circle_end() -> None:
    data = bytearray(encoded(noise(), "TIFF", description="zq~"))
    (count,) = struct.unpack_from("<H", data, 8)
    data[10 + 12 * count : 14 + 12 * count] = struct.pack("<L", 8)
    kept = stripped(bytes(data))
    assert kept.kinds == ("EXIF",) and MARK not in kept.data
    assert inspect(kept.data).problem is None


def test_pages_that_are_lost_stay_lost_and_are_not_blanked() -> None:
    data = TOLD["TIFF pages"][0]
    (count,) = struct.unpack_from("<H", data, 8)
    lost = data[: 10 + 12 * count] + struct.pack("<L", len(data) + 100) + data[14 + 12 * count :]
    (second,) = struct.unpack_from("<L", data, 10 + 12 * count)
    kept = stripped(lost)
    assert kept.data[second:] == data[second:] and MARK not in kept.data[:second]
    assert inspect(kept.data).problem is None
    assert stripped(kept.data) == (kept.data, ())


def test_metadata_behind_damage_raises() -> None:
    data = TOLD["PNG deep"][0]
    with pytest.raises(MetadataError, match="damaged"):
        stripped(data[:41] + bytes(9) + data[41:])


def bomb() -> bytes:
    return zlib.compress(bytes(2**26), 9)


HEAVY = {
    "text": lambda: with_chunks(CLEAN["PNG L"], chunk(b"tEXt", b"Comment\0" + b"x" * 2**25)),
    "zTXt": lambda: with_chunks(CLEAN["PNG L"], chunk(b"zTXt", b"Comment\0\0" + bomb())),
    "profile": lambda: with_chunks(CLEAN["PNG L"], *[chunk(b"zTXt", b"Raw profile type exif\0\0" + bomb())] * 50),
    "comments": lambda: b"\xff\xd8" + segment(0xFE, b"x") * 2**16 + CLEAN["JPEG L"][2:],
    "EXIF in circles": lambda: b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + circles(65000)) * 9 + CLEAN["JPEG L"][2:],
    "fill": lambda: b"\xff\xd8" + b"\xff" * 2**22 + b"\0" + CLEAN["JPEG L"][2:],
    "frames": lambda: riff((b"VP8X", bytes(10)), (b"ANMF", bytes(16) + b"zqzq\0\0\0\0" * 2**16)),
    "blocks": lambda: CLEAN["GIF"][:-1] + b"!\xfe" + b"\1x" * 2**20 + b"\0;",
    "pages": lambda: circles(2**20),
    "pages that point": lambda: b"II*\0\x08\0\0\0" + b"".join(map(pointing, range(8, 8 + 18 * 2**15, 18))),
    "hashes": lambda: b"P6\n" + b"1#\n" * 2**20,
}


def circles(size: int) -> bytes:
    """Directories that lie over each other, each of which points to hundreds."""
    return b"II*\0\x08\0\0\0\0\x20" + struct.pack("<HHLL", 330, 4, 250, 8) * (size // 12)


def pointing(at: int) -> bytes:
    """A directory at an offset that points to hundreds, and to one behind it."""
    return struct.pack("<HHHLLL", 1, 330, 4, 250, 8, at + 18)


@pytest.mark.parametrize("name", HEAVY)
def test_hostile_bytes_cost_little(name: str) -> None:
    data = HEAVY[name]()
    start = time.process_time()
    try:
        kept = stripped(data)
    except MetadataError as error:
        assert error.__cause__ is None
    else:
        assert len(kept.data) < 2000 or kept.kinds == ()
    assert time.process_time() - start < 1


NUMBERS = st.sampled_from(
    [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\1", b"\1\0", b"\xff", b"\xff\xe1", b";"]
)
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.one_of(st.binary(max_size=12), NUMBERS)), min_size=1, max_size=4
)


@settings(max_examples=400, deadline=2000, derandomize=True)
@given(st.sampled_from(sorted(TOLD)), CHANGES, st.floats(0.1, 1))
@example("TIFF pages", [(0.0, 4, b"II+\0")], 1.0)
def test_any_damage_raises_nothing_else_and_what_is_kept_stays(
    name: str, changes: list[tuple[float, int, bytes]], part: float
) -> None:
    data = TOLD[name][0]
    for place, removed, added in changes:
        at = int(place * len(data))
        data = data[:at] + added + data[at + removed :]
    data = data[: int(part * len(data)) + 1]
    try:
        kept = stripped(data)
    except MetadataError as error:
        assert error.__cause__ is None
        return
    assert bool(kept.kinds) == (kept.data != data)
    assert kept.kinds or kept.data is data
    again = stripped(kept.data)
    assert again.data is kept.data and again.kinds == ()


@settings(max_examples=200, deadline=2000, derandomize=True)
@given(st.sampled_from([data[:12] for data, _ in TOLD.values()] + [b"P5", b"BM"]), st.binary(max_size=300))
def test_any_bytes_behind_a_signature(signature: bytes, rest: bytes) -> None:
    try:
        kept = stripped(signature + rest)
    except MetadataError as error:
        assert error.__cause__ is None
    else:
        assert stripped(kept.data) == (kept.data, ())
