"""All that a training run is at one moment, and its checkpoints: safetensors and JSON, hashed, the last two kept."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save_file
from torch import Tensor, nn

from pipeline.files import replacing, sha256_file, write_json
from pipeline.log import say
from pipeline.model.networks import Discriminator, Generator, Shape
from pipeline.settings import Train
from pipeline.training.augment import Overfitting
from pipeline.training.ranks import Ranks


@dataclass
class TrainingState:
    """Networks, optimisers, the averaged generator, the noise's generator, and how far the run is.

    rollbacks: how often it went back to an earlier state, to go on from there at a lower rate.
    """

    generator: Generator
    discriminator: Discriminator
    average: Generator
    optimiser_g: torch.optim.Adam
    optimiser_d: torch.optim.Adam
    noise: torch.Generator
    overfitting: Overfitting
    images_seen: int = 0
    rollbacks: int = 0

    def modules(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}

    def optimisers(self) -> dict[str, torch.optim.Adam]:
        return {"optimiser_g": self.optimiser_g, "optimiser_d": self.optimiser_d}


def new_state(settings: Train, shape: Shape, device: torch.device, channels_last: bool = True) -> TrainingState:
    """A fresh state; the same seed gives the same weights. Each step sets its rate."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        generator, discriminator = Generator(shape), Discriminator(shape)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    generator, discriminator = (net.to(device, memory_format=layout) for net in (generator, discriminator))  # type: ignore[call-overload]
    adam = {"lr": 0.0, "betas": (0.0, 0.99), "eps": 1e-8, "fused": True}
    return TrainingState(
        generator,
        discriminator,
        deepcopy(generator).requires_grad_(False),
        torch.optim.Adam(generator.parameters(), **adam),  # type: ignore[arg-type]
        torch.optim.Adam(discriminator.parameters(), **adam),  # type: ignore[arg-type]
        torch.Generator(device).manual_seed(settings.seed),
        Overfitting(0.0, 0.0, torch.zeros(3, dtype=torch.float64, device=device)),
    )


def save_checkpoint(state: TrainingState, folder: Path, keep: int = 2) -> None:
    """Write the state to `folder`, where the last `keep` stay; readable whole or not at all.

    Names sort by age: what follows a rollback is younger than what it went back from.
    """
    tensors = {
        f"{name}.{key}": value for name, net in state.modules().items() for key, value in net.state_dict().items()
    }
    for name, optimiser in state.optimisers().items():
        for index, slots in optimiser.state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{slot}": value for slot, value in slots.items()}
    tensors |= {"noise": state.noise.get_state(), "overfitting": state.overfitting.sums}
    path = folder / f"{state.rollbacks}-{state.images_seen:012d}.safetensors"
    with replacing(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
    meta = {"images_seen": state.images_seen, "rollbacks": state.rollbacks, "sha256": sha256_file(path)}
    write_json(path.with_suffix(".json"), meta | {"p": state.overfitting.p, "r": state.overfitting.r})
    for old in sorted(folder.glob("*.safetensors"))[:-keep]:
        old.with_suffix(".json").unlink(missing_ok=True)
        old.unlink()


def resume(state: TrainingState, folder: Path, ranks: Ranks) -> bool:
    """Bring `state` in every process to the newest checkpoint that is whole; False where there is none."""
    data, meta = (newest_checkpoint(folder) if ranks.first else None) or (b"", {})
    meta = json.loads(ranks.told(json.dumps(meta).encode()))
    if meta:
        restore(state, load(ranks.told(data)), meta)
    return bool(meta)


def newest_checkpoint(folder: Path) -> tuple[bytes, dict[str, Any]] | None:
    """The newest that is as it was written; what is not is told of, and passed over."""
    for receipt in sorted(folder.glob("[0-9]*.json"), reverse=True):
        try:
            meta = json.loads(receipt.read_text())
            data = receipt.with_suffix(".safetensors").read_bytes()
            if hashlib.sha256(data).hexdigest() == meta["sha256"]:
                return data, meta
        except (OSError, KeyError, ValueError):
            pass
        say(f"the checkpoint {receipt.stem} is damaged: going back behind it", logging.WARNING, sys.stdout)
    return None


def restore(state: TrainingState, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
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
    state.overfitting.sums.copy_(tensors["overfitting"])
    state.overfitting.p, state.overfitting.r = meta["p"], meta["r"]
    state.images_seen, state.rollbacks = meta["images_seen"], meta["rollbacks"]


def _below(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
