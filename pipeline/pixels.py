"""Pixels of small images, kept when they are first decoded so that no later step decodes them again.

A cache beside the parts of a snapshot, under runs/: it may be deleted at any time. What is damaged, or was made by
other code for images than today's, is never used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.files import replacing, sha256_file, write_json
from pipeline.media import image


def keep(folder: Path, part: str, pixels_NHWC: NDArray[np.uint8]) -> None:
    """Write the pixels of every row of a part, and a receipt with their hash and that of the code."""
    path = folder / f"{part}.npy"
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, pixels_NHWC)
        file.flush()
        receipt = _receipt(temporary)
    write_json(path.with_suffix(".json"), receipt)


def kept(folder: Path, part: str) -> NDArray[np.uint8] | None:
    """uint8 [N, H, W, C], memory-mapped, of every row of a part; None where there are none that can be used."""
    path = folder / f"{part}.npy"
    try:
        if _receipt(path) != json.loads(path.with_suffix(".json").read_text()):
            return None
        pixels: NDArray[np.uint8] = np.load(path, mmap_mode="r")
        return pixels
    except (OSError, ValueError):
        return None


def _receipt(pixels: Path) -> dict[str, str]:
    return {"sha256": sha256_file(pixels), "code": sha256_file(Path(image.__file__))}


def rename(folder: Path, part: str, name: str) -> None:
    """The same rows have become another part."""
    for suffix in (".npy", ".json"):
        path = folder / f"{part}{suffix}"
        if path.exists():
            path.replace(folder / f"{name}{suffix}")


def prune(folder: Path, parts: Iterable[str]) -> None:
    """Delete the pixels of all other parts."""
    wanted = set(parts)
    for path in folder.glob("*.*"):
        if path.stem not in wanted:
            path.unlink(missing_ok=True)
