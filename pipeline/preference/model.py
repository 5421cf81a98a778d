"""A preference: how likely an item is to be accepted, and how sure that is. Kept without pickle, named by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import GenloopError
from pipeline.evaluate.kept import load_arrays, save_arrays
from pipeline.files import sha256_json, write_json
from pipeline.preference.basis import Basis

Floats = NDArray[np.float64]
Features = NDArray[np.float32]
Integers = NDArray[np.int64]

ARRAYS, ABOUT = "preference.safetensors", "preference.json"
FORMAT = 1
BLOCK = 4096
AGAIN = "learn it again"


@dataclass(frozen=True)
class Segment:
    """How a segment differs from the whole. mean: float64 [m]; root: float32 [m, m], of the covariance: L L^T."""

    mean: Floats
    root: NDArray[np.float32]


@dataclass(frozen=True)
class Preference:
    """mean: float64 [m + 1], of the basis's terms and of the review's intercept; root: float32 [m + 1, m + 1], of its
    covariance, L L^T. segments: by number, of those that were learned; deviation: float64 [m], the standard deviations
    of how a segment differs of which nothing is known. scales: variances of the groups of terms, then of segments'
    deviations as a share of them. verdicts: what it was learned from, in trials of the review channel.
    """

    basis: Basis
    mean: Floats
    root: NDArray[np.float32]
    segments: Mapping[int, Segment]
    deviation: Floats
    scales: tuple[float, ...]
    segment_names: tuple[str, ...]
    classes: tuple[str, ...]
    channels: Mapping[str, float]
    space: str
    verdicts: float
    trusted: bool

    @property
    def id(self) -> str:
        return sha256_json([self._about(), {name: _digest(array) for name, array in self._arrays().items()}])[:16]

    def segment(self, name: str) -> int:
        """Its number, -1 where it is not among the names."""
        return self.segment_names.index(name) if name in self.segment_names else -1

    def labels(self, names: tuple[str, ...]) -> Integers:
        """int64 [C]: the number here of each class of a model, -1 where it is not known."""
        return np.array([self.classes.index(name) if name in self.classes else -1 for name in names], np.int64)

    def predict(self, features_ND: Features, labels: Integers, segment: int = -1) -> tuple[Floats, Floats]:
        """Of N items: the chance of being accepted by a reviewer, float64 [N] in (0, 1), and the standard deviation of
        its logit. The chance is the mean over what the weights may be, by MacKay 1992 ("The evidence framework applied
        to classification networks", eq. 10). Raises GenloopError for features of another length.
        """
        if features_ND.ndim != 2 or features_ND.shape[1] != len(self.basis.mean):
            raise GenloopError(
                f"features of {features_ND.shape[-1]}, where it knows {len(self.basis.mean)}",
                where=f"preference {self.id}",
                remedy=AGAIN,
            )
        chances, doubts = np.empty(len(features_ND)), np.empty(len(features_ND))
        for start in range(0, len(features_ND), BLOCK):
            rows = slice(start, start + BLOCK)
            chances[rows], doubts[rows] = self._of(self.basis.of(features_ND[rows], labels[rows]), segment)
        return chances, doubts

    def _of(self, terms_Nm: Floats, segment: int) -> tuple[Floats, Floats]:
        from scipy.special import expit

        whole = np.hstack([terms_Nm, np.ones((len(terms_Nm), 1))])
        logit, variance = whole @ self.mean, np.square(whole @ self.root).sum(1)
        if segment in self.segments:
            own = self.segments[segment]
            logit, variance = logit + terms_Nm @ own.mean, variance + np.square(terms_Nm @ own.root).sum(1)
        elif segment >= 0:
            variance = variance + np.square(terms_Nm * self.deviation).sum(1)
        return expit(logit / np.sqrt(1 + np.pi * variance / 8)), np.sqrt(variance)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        basis = self.basis
        arrays: dict[str, NDArray[Any]] = {
            "basis.mean": basis.mean,
            "basis.axes": basis.axes,
            "basis.within": basis.within,
            "basis.classes": basis.classes,
            "mean": self.mean,
            "root": self.root,
            "deviation": self.deviation,
        }
        for number, own in sorted(self.segments.items()):
            arrays |= {f"segment.{number}.mean": own.mean, f"segment.{number}.root": own.root}
        return arrays

    def _about(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "widths": self.basis.widths,
            "classes": self.classes,
            "segment_names": self.segment_names,
            "segments": sorted(self.segments),
            "channels": dict(self.channels),
            "scales": self.scales,
            "space": self.space,
            "verdicts": self.verdicts,
            "trusted": self.trusted,
        }


def save_preference(preference: Preference, folder: Path) -> str:
    """Write it; its id."""
    folder.mkdir(parents=True, exist_ok=True)
    save_arrays(folder / ARRAYS, preference._arrays())
    write_json(folder / ABOUT, {"id": preference.id, **preference._about()})
    return preference.id


def load_preference(folder: Path) -> Preference:
    """What save_preference wrote. Raises GenloopError where it is missing, altered or of another format."""
    try:
        about = json.loads((folder / ABOUT).read_text())
        arrays, _ = load_arrays(folder / ARRAYS)
        if about["format"] != FORMAT:
            raise ValueError(f"of format {about['format']}, this version makes {FORMAT}")
        found = _made(about, arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, GenloopError) as error:
        raise GenloopError(f"no preference can be read here: {error}", where=str(folder), remedy=AGAIN) from None
    if found.id != about["id"]:
        raise GenloopError("the preference was altered", where=str(folder), remedy=AGAIN)
    return found


def _made(about: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Preference:
    basis = Basis(
        mean=arrays["basis.mean"],
        axes=arrays["basis.axes"],
        widths=tuple(about["widths"]),
        within=arrays["basis.within"],
        classes=arrays["basis.classes"],
    )
    numbers = about["segments"]
    return Preference(
        basis=basis,
        mean=arrays["mean"],
        root=arrays["root"],
        segments={n: Segment(arrays[f"segment.{n}.mean"], arrays[f"segment.{n}.root"]) for n in numbers},
        deviation=arrays["deviation"],
        scales=tuple(about["scales"]),
        segment_names=tuple(about["segment_names"]),
        classes=tuple(about["classes"]),
        channels=about["channels"],
        space=about["space"],
        verdicts=about["verdicts"],
        trusted=about["trusted"],
    )


def _digest(array: NDArray[Any]) -> str:
    whole = np.ascontiguousarray(array)
    return hashlib.sha256(f"{whole.dtype} {whole.shape};".encode() + whole.tobytes()).hexdigest()
