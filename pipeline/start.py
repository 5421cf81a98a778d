"""The networks at the end of a training, from which another may begin; they lie beside the model's run, and are no
part of its bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.errors import GenloopError
from pipeline.files import replacing, replacing_folder, sha256_file, write_json
from pipeline.values import Share, Value

TOLD, NETWORKS = "training.json", ("generator", "discriminator")

Weights = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Start:
    """generator, discriminator: arrays by name, as the networks name them; the generator as it was trained, and not
    its average, which is the bundle. classes: whose rows the tables of classes are. augment: strength, 0 to 1.
    """

    generator: Weights
    discriminator: Weights
    classes: tuple[str, ...]
    augment: float = 0.0
    images_seen: int = 0


class _Told(Value):
    format: Literal[1] = 1
    classes: tuple[str, ...]
    augment: Share
    images_seen: Annotated[int, Field(ge=0)]
    generator_sha256: str
    discriminator_sha256: str


def write_start(folder: Path, start: Start) -> str:
    """Put it in place of what is in `folder`; the hash of its training.json, which stands for all of it."""
    _check(start, folder)
    with replacing_folder(folder) as made:
        told = _Told(
            classes=start.classes,
            augment=start.augment,
            images_seen=start.images_seen,
            generator_sha256=save_hashed(_file(made, "generator"), start.generator),
            discriminator_sha256=save_hashed(_file(made, "discriminator"), start.discriminator),
        )
        write_json(made / TOLD, told.model_dump())
    return sha256_file(folder / TOLD)


def read_start(folder: Path, sha256: str = "") -> Start:
    """Raises GenloopError where it is damaged, has other than finite numbers, or is not the one of that hash."""
    try:
        if sha256 and sha256_file(folder / TOLD) != sha256:
            raise damaged(folder / TOLD, "it is not the one that was written")
        told = _Told.model_validate_json((folder / TOLD).read_text())
    except (OSError, ValueError):
        raise damaged(folder / TOLD, "it is not what training.json must be") from None
    networks = {name: load_hashed(_file(folder, name), getattr(told, f"{name}_sha256")) for name in NETWORKS}
    found = Start(**networks, classes=told.classes, augment=told.augment, images_seen=told.images_seen)
    _check(found, folder)
    return found


def save_hashed(path: Path, arrays: Weights) -> str:
    """Write safetensors; the file's hash. The same arrays are the same bytes."""
    from safetensors.numpy import save_file

    with replacing(path) as temporary:
        save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, temporary)
    return sha256_file(path)


def load_hashed(path: Path, sha256: str) -> Weights:
    """Raises GenloopError where the file is not there, is another one, or is not safetensors."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        if sha256_file(path) != sha256:
            raise damaged(path, "its hash is not the one that was written with it")
        return dict(load_file(path))
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise damaged(path, f"it can't be read: {error}") from None


def damaged(path: Path, what: str) -> GenloopError:
    return GenloopError(what, where=str(path), remedy="delete the folder it is in: it is written anew")


def _check(start: Start, folder: Path) -> None:
    for name in NETWORKS:
        arrays = getattr(start, name).values()
        if not all(array.dtype in (np.float32, np.int64) and np.isfinite(array).all() for array in arrays):
            raise damaged(_file(folder, name), "it has weights that are no finite numbers")


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"
