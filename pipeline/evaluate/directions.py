"""Which way each metric is better, and what it is in a few words; light to import."""

from __future__ import annotations

from typing import Literal

DIRECTIONS: dict[str, Literal["low", "high"]] = {
    "fd": "low",
    "nfd": "low",
    "nfd_inf": "low",
    "kd": "low",
    "precision": "high",
    "recall": "high",
    "density": "high",
    "coverage": "high",
    "memorised": "low",
    "copying": "high",
    "authenticity": "high",
    "label_accuracy": "high",
    "tstr": "high",
    "gain": "high",
}

MEANINGS = {
    "fd": "Fréchet distance of features",
    "nfd": "Fréchet distance as a percentage of the real features' variance",
    "nfd_inf": "nfd of infinitely many samples, without its bias by their number",
    "kd": "kernel distance of features",
    "precision": "share of samples among real images",
    "recall": "share of held-out images among samples",
    "density": "how many real neighbourhoods a sample lies in, 1 as real ones do",
    "coverage": "share of held-out images with a sample near",
    "memorised": "share of samples as near to a training image as 1% of held-out ones are",
    "copying": "z-score C_T: far below 0 where training images are copied",
    "authenticity": "share of samples that are not their training image's nearest neighbour",
    "label_accuracy": "share of samples in which a classifier sees the class asked for",
    "tstr": "accuracy on held-out images of a classifier trained on samples alone",
    "gain": "accuracy that samples add to a classifier of real images",
}
