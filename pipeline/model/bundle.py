"""A bundle: weights (safetensors), a JSON config, and how to make images of them. Never a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .networks import Generator, Shape
from .noise import between, latents

CHUNK = 64
BLOCK = 16 * CHUNK  # items whose noise is made at once
FORMAT = 2  # raise it when the networks of a config change


class BundleError(ValueError):
    """The bundle is damaged or not one of ours."""


class Bundle:
    """A generator ready to sample."""

    def __init__(self, generator: Generator, classes: tuple[str, ...], bundle_id: str) -> None:
        self.generator, self.classes, self.id = generator.eval(), classes, bundle_id

    def sample(
        self,
        labels: NDArray[np.int64],
        seeds: NDArray[np.int64],
        progress: Callable[[int], None] = lambda done: None,
    ) -> NDArray[np.uint8]:
        """uint8 [N, C, H, W], an item for each label and seed."""
        return self._images(labels, lambda rows: latents(seeds[rows], self.generator.shape.z_dim), progress)

    def walks(
        self, labels: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64], steps: int
    ) -> NDArray[np.uint8]:
        """uint8 [N, steps, C, H, W]: from the item of one seed to that of another, both of one label."""
        a, b = (latents(seeds, self.generator.shape.z_dim) for seeds in (starts, ends))
        z = np.stack([between(a, b, share) for share in np.linspace(0, 1, steps)], axis=1)
        flat = z.reshape(-1, z.shape[-1])
        images = self._images(labels.repeat(steps), lambda rows: flat[rows], lambda done: None)
        return images.reshape(len(labels), steps, *images.shape[1:])

    @torch.inference_mode()
    def _images(
        self,
        labels: NDArray[np.int64],
        latents_of: Callable[[slice], NDArray[np.float32]],
        progress: Callable[[int], None],
    ) -> NDArray[np.uint8]:
        """Always run in chunks of one size, so that neighbours never change a pixel."""
        shape, device = self.generator.shape, self.generator.embed.weight.device
        out = np.empty((len(labels), shape.channels, shape.size, shape.size), np.uint8)
        for start in range(0, len(labels), BLOCK):
            rows = slice(start, min(start + BLOCK, len(labels)))
            count, padded = rows.stop - rows.start, -(-(rows.stop - rows.start) // CHUNK) * CHUNK
            z = np.zeros((padded, shape.z_dim), np.float32)
            y = np.zeros(padded, np.int64)
            z[:count], y[:count] = latents_of(rows), labels[rows]
            chunks = zip(*(torch.split(torch.from_numpy(values).to(device), CHUNK) for values in (z, y)), strict=True)
            images = torch.cat([quantise(self.generator(*chunk)) for chunk in chunks])
            out[rows] = images[:count].cpu().numpy()
            progress(rows.stop)
        return out


def quantise(images: torch.Tensor) -> torch.Tensor:
    """float [-1, 1] to uint8 [0, 255], rounded to nearest."""
    return images.mul(127.5).add(127.5).round_().clamp_(0, 255).to(torch.uint8)


def save_bundle(folder: Path, generator: Generator, classes: tuple[str, ...]) -> str:
    """Write `weights.safetensors` and `config.json` to `folder`; returns the bundle's id."""
    weights = folder / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in generator.state_dict().items()}, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    config = {"format": FORMAT, "shape": generator.shape.as_dict(), "classes": classes, "sha256": digest}
    (folder / "config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n")
    return digest[:16]


def load_bundle(folder: Path) -> Bundle:
    """Raises BundleError where the files are missing, altered or of another format."""
    try:
        config = json.loads((folder / "config.json").read_text())
        if config["format"] != FORMAT:
            raise BundleError(f"{folder}: bundle of format {config['format']}, this version makes {FORMAT}")
        weights = folder / "weights.safetensors"
        if hashlib.sha256(weights.read_bytes()).hexdigest() != config["sha256"]:
            raise BundleError(f"{weights}: its hash is not the one in config.json")
        generator = Generator(Shape(**config["shape"]))
        generator.load_state_dict(load_file(weights))
    except (OSError, KeyError, TypeError, json.JSONDecodeError, SafetensorError, RuntimeError) as error:
        raise BundleError(f"{folder}: not a bundle: {error}") from error
    return Bundle(generator, tuple(config["classes"]), config["sha256"][:16])
