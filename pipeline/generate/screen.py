"""What candidates are held against: the training images of the model's data, in the features of its own classifier.

Kept beside the model's run, so that a batch can be made where the data is not. Small greys of the training images
stand in it: an erasure deletes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.alike import SIDE, Looks
from pipeline.evaluate.features import Classifier, classifier_id, features, load_classifier
from pipeline.evaluate.kept import load_arrays, save_arrays
from pipeline.evaluate.metrics import nearest
from pipeline.evaluate.space import HOLDOUT, ShardsReader, kept_classifier, kept_features
from pipeline.files import replacing_folder, sha256_file, sha256_json
from pipeline.media.measures import looks
from pipeline.settings import Evaluate

CLASSIFIER, TRAINING = "classifier.safetensors", "training.safetensors"
BLOCK = 1000
AT_ONCE = 250  # images: the first layer of more does not stay in a core's cache, and takes 1.6 times as long
SPREAD = 1e-3
SOME, FITTED, AXES = 4096, 10_000, 12
NEAREST, ROUNDING = 32, 1.0001

Floats = NDArray[np.float32]
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Judged:
    """Of each of N images: its features; whether it lies too near to a training image; how far it lies, between
    whitened features, from the nearest of some of these; the share of the class that was asked for in the classifier's
    answer (1 without classes); and whether a training image looks the same."""

    features: Floats
    too_near: NDArray[np.bool_]
    distances: Floats
    confidences: Floats
    copies: NDArray[np.bool_]


@dataclass(frozen=True)
class Screen:
    """training: float32 [M, 128], the features of the training images; whiten: [128, 128], what makes their covariance
    one, so that a difference counts where training images hardly differ: on digits, noise, inverted and blank images
    all lie farther out than 99% of held-out ones by it, and half of the noise does without.

    held_out: float32 [K], ascending: how far held-out images are from the nearest training image; white_held_out: the
    same of whitened features, from the nearest of some. looks: of the training images.
    """

    net: Classifier
    training: Floats
    whiten: Floats
    held_out: Floats
    white_held_out: Floats
    looks: Looks
    labelled: bool

    def judge(self, images_NCHW: NDArray[np.uint8], labels: NDArray[np.int64], copies: float) -> Judged:
        """copies: the quantile of held-out images' distances below which an image is too near; 0 lets all pass."""
        rows = range(0, len(images_NCHW), AT_ONCE)
        found = np.concatenate([features(self.net, images_NCHW[i : i + AT_ONCE]) for i in rows])
        return Judged(
            features=found,
            too_near=self._within(found, float(np.quantile(self.held_out, copies)) if copies > 0 else 0.0),
            distances=nearest(found @ self.whiten, self._white)[0],
            confidences=self._confidences(found, labels),
            copies=self.looks.alike(looks(images_NCHW, SIDE)) >= 0,
        )

    def farthest(self, odd: float) -> float:
        """The distance that is this quantile of the held-out images'; of 1, none."""
        return float(np.quantile(self.white_held_out, odd)) if odd < 1 else np.inf

    def _within(self, found: Floats, radius: float) -> NDArray[np.bool_]:
        """bool [N]: whether a training image lies nearer than that. On few axes none is farther than it is in full."""
        if radius <= 0:
            return np.zeros(len(found), bool)
        near, (tree, axes) = np.zeros(len(found), bool), self._tree
        for start in range(0, len(found), BLOCK):
            some = found[start : start + BLOCK]
            _, rows = tree.query(some @ axes, NEAREST, distance_upper_bound=radius * ROUNDING)
            there = rows < len(self.training)
            apart = np.linalg.norm(self.training[np.where(there, rows, 0)] - some[:, None], axis=2)
            near[start : start + BLOCK] = (there & (apart < radius)).any(1)
        return near

    @cached_property
    def _tree(self) -> tuple[Any, Floats]:
        from scipy.spatial import cKDTree

        spread = np.cov(self.training[:: -(-len(self.training) // FITTED)], rowvar=False)
        axes = np.linalg.eigh(spread)[1][:, -AXES:].astype(np.float32)
        return cKDTree(self.training @ axes), axes

    @cached_property
    def _white(self) -> Floats:
        return some_of(self.training) @ self.whiten

    @torch.inference_mode()
    def _confidences(self, features_ND: Floats, labels: NDArray[np.int64]) -> Floats:
        if not self.labelled:
            return np.ones(len(features_ND), np.float32)
        shares = self.net.head(torch.from_numpy(features_ND)).softmax(1)
        found: Floats = shares.gather(1, torch.from_numpy(labels)[:, None])[:, 0].numpy()
        return found


def make_screen(settings: Evaluate, shards: ShardsReader, evaluators: Path, folder: Path, tell: Tell) -> str:
    """Write it to `folder` from what the evaluation kept; its id. Made anew only where that is not there."""
    kept = evaluators / classifier_id(shards.meta.id, settings)
    net = kept_classifier(settings, shards, evaluators, tell)
    encode = partial(features, net)
    training = kept_features(encode, shards.train_images, kept / "train.safetensors", partial(tell, "features"))
    holdout = kept_features(encode, shards.holdout_images, kept / HOLDOUT, partial(tell, "features"))
    areas = [looks(shards.train_images[i : i + BLOCK], SIDE) for i in range(0, len(training), BLOCK)]
    small = training.astype(np.float16)
    kept_training, whiten = small.astype(np.float32), _whitening(small.astype(np.float64))
    arrays: dict[str, NDArray[Any]] = {
        "features": small,
        "areas": np.concatenate(areas),
        "whiten": whiten,
        "held_out": np.sort(nearest(holdout, kept_training)[0]),
        "white_held_out": np.sort(nearest(holdout @ whiten, some_of(kept_training) @ whiten)[0]),
    }
    with replacing_folder(folder) as temporary:
        shutil.copyfile(kept / CLASSIFIER, temporary / CLASSIFIER)
        save_arrays(temporary / TRAINING, arrays, {"labelled": str(int(len(shards.meta.classes) > 1))})
    return screen_id(folder)


def some_of(training_MD: Floats) -> Floats:
    """A few thousand of the training images, evenly: enough to tell what is like none of them."""
    return np.ascontiguousarray(training_MD[:: max(1, len(training_MD) // SOME)])


def screen_id(folder: Path) -> str:
    return sha256_json([sha256_file(folder / name) for name in (CLASSIFIER, TRAINING)])[:16]


def load_screen(folder: Path) -> Screen:
    """Raises GenloopError where a file is missing or damaged."""
    arrays, about = load_arrays(folder / TRAINING)
    return Screen(
        net=load_classifier(folder / CLASSIFIER),
        training=arrays["features"].astype(np.float32),
        whiten=arrays["whiten"],
        held_out=arrays["held_out"],
        white_held_out=arrays["white_held_out"],
        looks=Looks(arrays["areas"]),
        labelled=about["labelled"] == "1",
    )


def _whitening(features_ND: NDArray[np.float64]) -> Floats:
    """float32 [D, D]. A thousandth of the mean variance is added on every axis: features that never fire have none."""
    covariance = np.cov(features_ND, rowvar=False)
    values, vectors = np.linalg.eigh(
        covariance + SPREAD * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    )
    found: Floats = (vectors / np.sqrt(np.maximum(values, 1e-12))).astype(np.float32)
    return found
