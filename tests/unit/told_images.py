"""Images of every format that tell of people, places and devices, in every field that we know of."""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

MARK = b"zq~"  # stands in everything that must go, and in nothing else
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
VIDEO = b"\0\0\0\x18ftypmp42" + MARK + b"video" * 50
FACES = (
    b'<x:xmpmeta><rdf:Description mwg-rs:Name="zq~face" Iptc4xmpExt:PersonInImage="zq~person" '
    b'exif:GPSLatitude="zq~47" aux:SerialNumber="zq~7"/></x:xmpmeta>'
)
IPTC = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0e\x1c\x02\x50\0\x09zq~writer"
JUMBF = b"JP\0\1\0\0\0\1\0\0\0\x10jumbzq~claim"


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def noise(mode: str = "RGB", width: int = 24, height: int = 16, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    return Image.fromarray(pixels).convert(mode)


def frames(mode: str = "RGB") -> list[Image.Image]:
    return [noise(mode, seed=i) for i in range(3)]


def exif(turn: int = 6) -> Image.Exif:
    """As of a camera."""
    found = Image.Exif()
    found[ExifTags.Base.Orientation] = turn
    for tag in ("Make", "Model", "Software", "Artist", "Copyright", "HostComputer", "ImageDescription", "DateTime"):
        found[ExifTags.Base[tag]] = f"zq~{tag}"
    camera = found.get_ifd(ExifTags.IFD.Exif)
    for tag in ("BodySerialNumber", "LensSerialNumber", "CameraOwnerName", "DateTimeOriginal"):
        camera[ExifTags.Base[tag]] = f"zq~{tag}"
    camera[ExifTags.Base.MakerNote] = b"zq~maker" * 20
    found.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (47.0, 22.0, 1.0), 27: b"zq~method", 29: "zq~2024"})
    return found


def block(turn: int = 6) -> bytes:
    """`exif` as bytes without "Exif" in front."""
    return exif(turn).tobytes()[6:]


CAMERA = {"EXIF", "GPS", "maker note", "person", "serial number"}
FACED = {"XMP", "GPS", "person", "serial number"}


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2) + body


def with_segments(data: bytes, *segments: bytes) -> bytes:
    """Behind the first segment of a JPEG."""
    at = 4 + int.from_bytes(data[4:6])
    return data[:at] + b"".join(segments) + data[at:]


def between_scans(data: bytes, *segments: bytes) -> bytes:
    """In front of the second scan of a progressive JPEG."""
    at = data.index(b"\xff\xc4", data.index(b"\xff\xda"))
    return data[:at] + b"".join(segments) + data[at:]


XMP_SEGMENT = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + FACES)
OTHER_SEGMENTS = (
    segment(0xE0, b"JFXX\0\x10zq~thumbnail"),
    segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0zq~more"),
    segment(0xE2, b"MPF\0zq~index"),
    segment(0xE4, b"zq~maker's own"),
    segment(0xEB, JUMBF),
    segment(0xED, IPTC),
    segment(0xFE, b"zq~comment"),
)
OF_OTHERS = {"XMP", "IPTC", "person", "appended data", "private data", "provenance", "thumbnail", "comment"}


def jpegs() -> dict[str, tuple[bytes, set[str]]]:
    photo = encoded(noise(), "JPEG", exif=exif(), icc_profile=ICC, xmp=FACES)
    slow = encoded(noise(), "JPEG", progressive=True)
    jfif = bytearray(encoded(noise("L"), "JPEG"))
    jfif[4:20] = b"\0\x19" + jfif[6:18] + b"\3\1" + b"zq~456789"
    inks = encoded(noise("CMYK"), "JPEG", restart_marker_blocks=1, comment=b"zq~")
    fills = with_segments(encoded(noise(), "JPEG"), b"\xff\xff", segment(0xFE, b"zq~"), b"zq~junk\xff\0")
    return {
        "photo": (photo + VIDEO, CAMERA | FACED | {"appended data"}),
        "others": (with_segments(encoded(noise(), "JPEG"), *OTHER_SEGMENTS), OF_OTHERS),
        "between scans": (between_scans(slow, XMP_SEGMENT, segment(0xFE, b"zq~")), FACED | {"comment"}),
        "second picture": (encoded(noise(), "MPO", save_all=True, append_images=[noise()]), {"appended data"}),
        "second picture behind": (slow + encoded(noise(), "JPEG", comment=b"zq~"), {"appended data"}),
        "jfif": (bytes(jfif), {"thumbnail"}),
        "inks": (inks + b"zq~", {"comment", "appended data"}),
        "fills": (fills, {"comment", "private data"}),
        "adobe": (with_segments(slow, segment(0xEE, b"Adobe\0\x64\0\0\0\0\1zq~")), {"private data"}),
        "split": (with_segments(slow, *(segment(0xE1, b"Exif\0\0" + part) for part in (block()[:99], block()[99:]))),
                  {"EXIF", "person"}),
        "by XMP": (with_segments(slow, segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0zq~ tiff:Orientation="5"')),
                   {"XMP"}),
    }  # fmt: skip


def chunk(name: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4)


def with_chunks(data: bytes, *chunks: bytes, behind: bool = False) -> bytes:
    """Behind the header of a PNG, or in front of its end."""
    at = len(data) - 12 if behind else 33
    return data[:at] + b"".join(chunks) + data[at:]


def texts() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "zq~")
    info.add_text("zq~key", "zq~" * 99, zip=True)
    info.add_itxt("zq~key", "zq~", "zq~", "zq~")
    info.add_itxt("XML:com.adobe.xmp", FACES.decode())
    return info


def pngs() -> dict[str, tuple[bytes, set[str]]]:
    raw = b"\nexif\n" + b"%8d\n" % len(block(8)) + (b"Exif\0\0" + block(8)).hex().encode() + b"\n"
    profile = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw))
    others = [
        *(chunk(b"tIME", b"\x07\xe8zq~\0\0"), chunk(b"caBX", b"jumbzq~"), chunk(b"zqAt", b"zq~")),
        *(chunk(b"zqRT", b"zq~"), chunk(b"IMAG", b"zq~")),
    ]
    told = encoded(noise("P"), "PNG", exif=exif(), pnginfo=texts(), icc_profile=ICC, transparency=3, dpi=(72, 72))
    deep = with_chunks(encoded(noise("I;16"), "PNG"), chunk(b"eXIf", block(3)), *others, behind=True)
    moving = encoded(frames()[0], "PNG", save_all=True, append_images=frames("RGBA")[1:], pnginfo=texts(), exif=exif())
    return {
        "told": (told + VIDEO, CAMERA | FACED | {"text", "appended data"}),
        "deep": (deep, CAMERA | {"time", "provenance", "private data"}),
        "moving": (moving, CAMERA | FACED | {"text"}),
        "raw profile": (with_chunks(encoded(noise("LA"), "PNG"), profile), {"EXIF"}),
        "end": (encoded(noise("1"), "PNG")[:-12] + chunk(b"IEND", b"zq~"), {"appended data"}),
        "XMP": (encoded(noise("RGBA"), "PNG", pnginfo=_turned_by_xmp()), {"XMP"}),
    }


def _turned_by_xmp() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "<tiff:Orientation>7</tiff:Orientation>zq~", zip=True)
    return info


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(n + len(b).to_bytes(4, "little") + b + b"\0" * (len(b) % 2) for n, b in chunks)
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def with_riff(data: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    more = riff(*chunks)[12:]
    return data[:4] + (len(data) - 8 + len(more)).to_bytes(4, "little") + data[8:] + more


def webps() -> dict[str, tuple[bytes, set[str]]]:
    moving = encoded(frames()[0], "WEBP", save_all=True, append_images=frames()[1:], exif=exif(), xmp=FACES)
    at = moving.index(b"ANMF")
    size = int.from_bytes(moving[at + 4 : at + 8], "little")
    secret = b"zqzq\x03\0\0\0zq~\0"
    framed = moving[: at + 4] + (size + 12).to_bytes(4, "little") + moving[at + 8 : at + 8 + size] + secret
    framed = framed[:4] + (len(moving) + 4).to_bytes(4, "little") + framed[8:] + moving[at + 8 + size :]
    still = encoded(noise("RGBA"), "WEBP", lossless=True, exif=block(2), icc_profile=ICC)
    return {
        "still": (with_riff(still, (b"C2PA", b"zq~"), (b"zqzq", b"zq~")) + VIDEO,
                  CAMERA | {"appended data", "provenance", "private data"}),
        "moving": (framed, CAMERA | FACED | {"private data"}),
        "plain": (with_riff(encoded(noise(), "WEBP"), (b"EXIF", block())), CAMERA),
        "XMP": (encoded(noise(), "WEBP", xmp=b'zq~ tiff:Orientation="4"'), {"XMP"}),
    }  # fmt: skip


def gifs() -> dict[str, tuple[bytes, set[str]]]:
    told = encoded(frames()[0], "GIF", save_all=True, append_images=frames()[1:], comment=b"zq~" * 200, loop=3)
    at = 13 + (3 << (told[10] & 7) + 1)
    magic = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    more = (
        b"!\xff\x0bXMP DataXMP" + FACES + magic
        + b"!\xff\x0bC2PA_GIF\1\0\0\3zq~\0" + b"!\xff\x0bzq~45678901\3zq~\0" + b"!\x01\x0c" + b"0" * 12 + b"\3zq~\0"
    )  # fmt: skip
    kinds = FACED | {"comment", "provenance", "private data", "text", "appended data"}
    return {
        "told": (told[:at] + more + b"zq~" + told[at:] + VIDEO, kinds),
        "without an end": (encoded(noise(), "GIF")[:-1] + b"zq~", {"appended data"}),
    }


def others() -> dict[str, tuple[bytes, set[str]]]:
    found = {
        f"BMP {mode}": (encoded(noise(mode), "BMP") + VIDEO, {"appended data"}) for mode in ("1", "P", "RGB", "RGBA")
    }
    words = b"P3 # zq~\n2 1\n# zq~\r255 1 2 3 # zq~\n 4 5 6 # zq~"
    raw = encoded(noise(), "PPM").replace(b"\n", b"\n#zq~\n # zq~\r\n", 1)
    return found | {
        "PPM words": (words, {"comment"}),
        "PPM": (raw + VIDEO, {"comment", "appended data"}),
        "PGM": (encoded(noise("L"), "PPM") + VIDEO, {"appended data"}),
        "PBM": (encoded(noise("1"), "PPM") + VIDEO, {"appended data"}),
    }


def told_images() -> dict[str, tuple[bytes, set[str]]]:
    """By name: the bytes of an image, and the kinds of what it tells of."""
    groups = {"JPEG": jpegs(), "PNG": pngs(), "WebP": webps(), "GIF": gifs(), "": others()}
    return {f"{format} {name}".strip(): told for format, group in groups.items() for name, told in group.items()}
