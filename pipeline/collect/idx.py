"""IDX pairs, as MNIST is published: an images file and a labels file."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from typing import IO, cast

from pipeline.collect.items import RawItem

IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
IMAGES_MAGIC, LABELS_MAGIC = 0x803, 0x801


def is_images(name: str) -> bool:
    return name.removesuffix(".gz").replace("images.idx3", "images-idx3").endswith(IMAGES)


def labels_names(images: str) -> tuple[str, str]:
    """Both names that the labels of `images` may have, the likelier first."""
    stem = images.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    return (f"{stem}.gz", stem) if images.endswith(".gz") else (stem, f"{stem}.gz")


def read_pair(name: str, images: IO[bytes], labels: IO[bytes] | None, max_item_bytes: int) -> Iterator[RawItem]:
    """Items as PNG bytes. Raises EOFError where a file is not what its header says; only one image is in memory."""
    import numpy as np

    from pipeline.media.image import encode_png

    split = "train" if name.startswith("train") else "holdout" if name.startswith(("t10k", "test")) else ""
    pixels, names = _plain(images), _plain(labels) if labels else None
    count, height, width = _header(pixels, IMAGES_MAGIC, 3)
    if not 0 < height * width <= max_item_bytes:
        raise EOFError(f"{name} has images of {width}x{height} pixels, max_item_bytes is {max_item_bytes}")
    if names and _header(names, LABELS_MAGIC, 1)[0] != count:
        raise EOFError(f"{name} and its labels differ in length")
    for i in range(count):
        image = np.frombuffer(_exactly(pixels, height * width), np.uint8).reshape(1, height, width)
        label = str(_exactly(names, 1)[0]) if names else None
        yield RawItem(f"{name}/{i:06}.png", encode_png(image), label, split, None)


def _plain(file: IO[bytes]) -> IO[bytes]:
    zipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return cast(IO[bytes], gzip.open(file)) if zipped else file


def _header(file: IO[bytes], magic: int, dimensions: int) -> tuple[int, ...]:
    found, *sizes = struct.unpack(f">{dimensions + 1}I", _exactly(file, 4 * (dimensions + 1)))
    if found != magic:
        raise EOFError(f"not IDX: starts with {found:#x}, expected {magic:#x}")
    return tuple(sizes)


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise EOFError("IDX file ends early")
    return data
