"""A small classifier of the dataset itself: its last hidden layer is the space that metrics are taken in.

Labelled data: it learns the classes. Unlabelled (one class): it learns which of four rotations an image has
(RotNet, Gidaris et al. 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.errors import GenloopError
from pipeline.evaluate.kept import load_arrays, save_arrays
from pipeline.files import sha256_json
from pipeline.settings import Evaluate

BATCH = 128
DIMENSIONS = 128
INNER_SIDE = 32  # larger images are averaged down to this inside the network
PEAK_LR = 3e-3
ROTATIONS = 4
PROTOCOL = 3  # raise it when a change changes features, or what a metric is

Array = NDArray[Any]


class Classifier(nn.Module):
    """uint8 [N,C,S,S], any S from 16 to 256 -> logits [N,K]; `embed` gives the [N,128] before them."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.channels, self.classes = channels, classes
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.conv3 = nn.Conv2d(64, 128, 3, padding=1)
        self.hidden = nn.Linear(128 * 9, DIMENSIONS)
        self.head = nn.Linear(DIMENSIONS, classes)

    def embed(self, images: Tensor) -> Tensor:
        x = images.float() / 127.5 - 1
        if x.shape[-1] > INNER_SIDE:
            x = F.adaptive_avg_pool2d(x, INNER_SIDE)
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = F.adaptive_avg_pool2d(F.relu(self.conv3(x)), 3)
        return F.relu(self.hidden(x.flatten(1)))

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.embed(images)))


def classifier_id(shards: str, settings: Evaluate) -> str:
    """The hash of all that decides the classifier's weights."""
    return sha256_json(
        {
            "shards": shards,
            "steps": settings.classifier_steps,
            "seed": settings.seed,
            "protocol": PROTOCOL,
        }
    )


def steps_for(items: int) -> int:
    """25 passes over the training images, 100 to 600 batches: a small set needs no more."""
    return min(600, max(100, 25 * items // BATCH))


def train_classifier(
    images: Array,
    labels: Array,
    classes: int,
    steps: int,
    seed: int,
    on_step: Callable[[int], None] | None = None,
) -> Classifier:
    """Train on uint8 [N,C,S,S] for `steps` batches of 128, one cycle of Adam. Same seed, same weights."""
    by_rotation = classes < 2
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Classifier(images.shape[1], ROTATIONS if by_rotation else classes)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(net.parameters(), lr=PEAK_LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_LR, total_steps=steps + 1)
    net.train()
    for step in range(steps):
        rows = torch.randint(len(images), (BATCH,), generator=generator).numpy()
        batch = torch.from_numpy(np.ascontiguousarray(images[rows]))
        if by_rotation:
            turns = torch.arange(len(batch)) % ROTATIONS
            batch, target = _turned(batch), turns
        else:
            target = torch.from_numpy(np.asarray(labels[rows], np.int64))
        loss = F.cross_entropy(net(batch), target)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if on_step:
            on_step(step + 1)
    return net.eval()


@torch.inference_mode()
def features(net: Classifier, images: Array) -> NDArray[np.float32]:
    """The last hidden layer of uint8 [N,C,S,S]: float32 [N,128]."""
    return np.concatenate([net.embed(batch).numpy() for batch in _batches(images)])


@torch.inference_mode()
def told(net: Classifier, features_ND: NDArray[np.float32]) -> NDArray[np.int64]:
    """int64 [N]: the class that the classifier sees in each item, by its features."""
    found: NDArray[np.int64] = net.head(torch.from_numpy(np.ascontiguousarray(features_ND))).argmax(1).numpy()
    return found


def save_classifier(net: Classifier, path: Path) -> None:
    about = {"channels": str(net.channels), "classes": str(net.classes)}
    save_arrays(path, {name: tensor.numpy() for name, tensor in net.state_dict().items()}, about)


def load_classifier(path: Path) -> Classifier:
    """Read what save_classifier wrote. Raises GenloopError where there is no such file or it is damaged."""
    try:
        arrays, about = load_arrays(path)
    except FileNotFoundError:
        raise GenloopError("no classifier here", where=str(path), remedy="evaluate again") from None
    net = Classifier(int(about["channels"]), int(about["classes"]))
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net.eval()


def _turned(batch: Tensor) -> Tensor:
    """Image i turned by i quarter turns."""
    turned = torch.empty_like(batch)
    for turn in range(ROTATIONS):
        turned[turn::ROTATIONS] = batch[turn::ROTATIONS].rot90(turn, (2, 3))
    return turned


def _batches(images: Array, size: int = 500) -> Iterator[Tensor]:
    for start in range(0, len(images), size):
        yield torch.from_numpy(np.array(images[start : start + size], order="C"))  # a copy: torch warns of read-only
