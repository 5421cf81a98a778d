"""All that a training run is at one moment, and its checkpoints: safetensors and JSON, hashed, the last two kept."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.files import replacing, sha256_file, write_json
from pipeline.model.networks import Discriminator, Generator, Shape
from pipeline.settings import Train


@dataclass
class TrainingState:
    """Networks, optimisers, the averaged generator, the noise's generator and the one counter."""

    generator: Generator
    discriminator: Discriminator
    average: Generator
    optimiser_g: torch.optim.Adam
    optimiser_d: torch.optim.Adam
    noise: torch.Generator
    images_seen: int = 0

    def modules(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}

    def optimisers(self) -> dict[str, torch.optim.Adam]:
        return {"optimiser_g": self.optimiser_g, "optimiser_d": self.optimiser_d}


def new_state(settings: Train, shape: Shape, device: torch.device) -> TrainingState:
    """A fresh state; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        generator, discriminator = Generator(shape), Discriminator(shape)
    layout = torch.channels_last
    generator, discriminator = (net.to(device, memory_format=layout) for net in (generator, discriminator))  # type: ignore[call-overload]
    adam = {"lr": settings.lr, "betas": (0.0, 0.99), "eps": 1e-8, "fused": True}
    return TrainingState(
        generator,
        discriminator,
        deepcopy(generator).requires_grad_(False),
        torch.optim.Adam(generator.parameters(), **adam),  # type: ignore[arg-type]
        torch.optim.Adam(discriminator.parameters(), **adam),  # type: ignore[arg-type]
        torch.Generator(device).manual_seed(settings.seed),
    )


def save_checkpoint(state: TrainingState, folder: Path) -> None:
    """Write the state under a name of its images_seen; readable whole or not at all."""
    tensors = {
        f"{name}.{key}": value for name, net in state.modules().items() for key, value in net.state_dict().items()
    }
    for name, optimiser in state.optimisers().items():
        for index, slots in optimiser.state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{slot}": value for slot, value in slots.items()}
    tensors["noise"] = state.noise.get_state()
    path = folder / f"{state.images_seen:012d}.safetensors"
    with replacing(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
    write_json(path.with_suffix(".json"), {"images_seen": state.images_seen, "sha256": sha256_file(path)})
    for old in sorted(folder.glob("*.safetensors"))[:-2]:
        old.with_suffix(".json").unlink(missing_ok=True)
        old.unlink()


def load_checkpoint(state: TrainingState, folder: Path) -> bool:
    """Bring `state` to the newest checkpoint that is whole; False where there is none."""
    for receipt in sorted(folder.glob("*[0-9].json"), reverse=True):
        path = receipt.with_suffix(".safetensors")
        try:
            meta = json.loads(receipt.read_text())
            if sha256_file(path) != meta["sha256"]:
                continue
            _restore(state, load_file(path), meta["images_seen"])
            return True
        except (OSError, KeyError, ValueError, SafetensorError):
            continue
    return False


def _restore(state: TrainingState, tensors: dict[str, Tensor], images_seen: int) -> None:
    for name, net in state.modules().items():
        net.load_state_dict(_below(tensors, name))
    for name, optimiser in state.optimisers().items():
        slots: dict[int, dict[str, Any]] = {}
        for key, value in _below(tensors, name).items():
            index, slot = key.split(".", 1)
            parameter = optimiser.param_groups[0]["params"][int(index)]
            # The fused optimiser walks memory flat: a slot must lie as its parameter does.
            slots.setdefault(int(index), {})[slot] = (
                torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
            )
        optimiser.load_state_dict({"state": slots, "param_groups": optimiser.state_dict()["param_groups"]})
    state.noise.set_state(tensors["noise"])
    state.images_seen = images_seen


def _below(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
