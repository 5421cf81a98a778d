"""Arrays kept on disk with their hash: what is read is what was written, or an error."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pipeline.errors import GenloopError
from pipeline.files import replacing

Arrays = dict[str, NDArray[Any]]


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, str] | None = None) -> None:
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with replacing(path) as temporary:
        save_file(whole, temporary, {**(about or {}), "sha256": _digest(whole)})


def load_arrays(path: Path) -> tuple[Arrays, dict[str, str]]:
    """The arrays and what is said of them. Raises GenloopError where the file is altered, FileNotFoundError without."""
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        with safe_open(path, "np") as file:
            about = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError):
        arrays, about = {}, {}
    if _digest(arrays) != about.pop("sha256", None):
        raise GenloopError("the file is damaged", where=str(path), remedy="delete it and evaluate again")
    return arrays, about


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape};".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
