"""Which way each metric is better; light to import."""

from __future__ import annotations

from typing import Literal

DIRECTIONS: dict[str, Literal["low", "high"]] = {
    "fd": "low",
    "nfd": "low",
    "kd": "low",
    "precision": "high",
    "recall": "high",
    "density": "high",
    "coverage": "high",
    "memorised": "low",
    "tstr": "high",
}
