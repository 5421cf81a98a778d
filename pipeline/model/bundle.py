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
from .recipe import Recipes, plain

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
        return self.make(plain(labels, seeds), progress=progress)

    @torch.inference_mode()
    def make(
        self, recipes: Recipes, truncation: float = 1.0, progress: Callable[[int], None] = lambda done: None
    ) -> NDArray[np.uint8]:
        """uint8 [N, C, H, W]. truncation: what latents are multiplied by (Brock et al. 2019, section 3.1, in its plain
        form); below 1, images are more typical and less varied.

        Always run in chunks of one size, so that neighbours never change a pixel.
        """
        shape, device = self.generator.shape, self.generator.embed.weight.device
        out = np.empty((len(recipes), shape.channels, shape.size, shape.size), np.uint8)
        for start in range(0, len(recipes), BLOCK):
            rows = slice(start, min(start + BLOCK, len(recipes)))
            count, some = rows.stop - rows.start, recipes[rows]
            padded = -(-count // CHUNK) * CHUNK
            z = np.zeros((padded, shape.z_dim), np.float32)
            z[:count] = some.latents(shape.z_dim)
            if truncation != 1:
                z *= np.float32(truncation)
            classes = torch.zeros(padded, shape.z_dim, device=device)
            classes[:count] = self._classes(some)
            chunks = zip(torch.split(torch.from_numpy(z).to(device), CHUNK), torch.split(classes, CHUNK), strict=True)
            images = torch.cat([quantise(self.generator.draw(*chunk)) for chunk in chunks])
            out[rows] = images[:count].cpu().numpy()
            progress(rows.stop)
        return out

    def _classes(self, recipes: Recipes) -> torch.Tensor:
        """float32 [N, z_dim]"""
        embed = self.generator.embed
        device = embed.weight.device
        classes: torch.Tensor = embed(torch.from_numpy(recipes.labels).to(device))
        for turn in recipes.turns():
            if turn.label_shares.any():
                ends = embed(torch.from_numpy(turn.toward_labels).to(device))
                classes = torch.lerp(classes, ends, torch.from_numpy(turn.label_shares).to(device)[:, None])
        return classes


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
