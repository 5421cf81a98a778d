"""What a training listens to: a folder of safetensors and JSON that is made of the feedback, outside DVC's view.

An empty one is always the same bytes. All that is read was written so, or it is one error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline.files import replacing_folder, sha256_file, sha256_json, write_json
from pipeline.start import Start, damaged, load_hashed, read_start, save_hashed, write_start
from pipeline.values import Value

TOLD, ARRAYS, CHAMPION = "lessons.json", "lessons.safetensors", "champion"
LEAST = 0.05  # an image is served at least so often as the one that is served most
KINDS = {"rejected": np.uint8, "labels": np.int64, "train_chances": np.float32, "holdout_chances": np.float32}


NOTHING: dict[str, NDArray[Any]] = {
    name: np.zeros((0, 1, 1, 1) if name == "rejected" else 0, kind) for name, kind in KINDS.items()
}


@dataclass(frozen=True)
class Lessons:
    """rejected: uint8 [R, C, S, S], items that people rejected, as the model made them; labels: int64 [R], rows of
    `classes`, or 0 where there are none. train_chances, holdout_chances: float32 [N] and [H] in [0, 1], the preference
    model's chance that each image of these shards is accepted; empty where it has none. champion: to begin from.

    preference, position: the preference model, and how far the feedback was read. id: of the folder it was read from.
    """

    shards: str = ""
    classes: tuple[str, ...] = ()
    preference: str = ""
    position: str = ""
    rejected: NDArray[np.uint8] = field(default_factory=lambda: NOTHING["rejected"])
    labels: NDArray[np.int64] = field(default_factory=lambda: NOTHING["labels"])
    train_chances: NDArray[np.float32] = field(default_factory=lambda: NOTHING["train_chances"])
    holdout_chances: NDArray[np.float32] = field(default_factory=lambda: NOTHING["holdout_chances"])
    champion: Start | None = None
    id: str = ""
    folder: Path | None = None

    @property
    def empty(self) -> bool:
        return not (len(self.rejected) or len(self.train_chances) or self.champion)

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        return {name: getattr(self, name) for name in KINDS}


class _Told(Value):
    """lessons.json."""

    format: Literal[1] = 1
    shards: str = ""
    classes: tuple[str, ...] = ()
    preference: str = ""
    position: str = ""
    arrays_sha256: str = ""
    champion_sha256: str = ""


def write_lessons(folder: Path, lessons: Lessons) -> str:
    """Put them in place of what is in `folder`; their id. Raises GenloopError where they are not as they must be."""
    _check(lessons, folder)
    told = _Told()
    with replacing_folder(folder) as made:
        if not lessons.empty:
            names = {name: getattr(lessons, name) for name in ("shards", "classes", "preference", "position")}
            champion = write_start(made / CHAMPION, lessons.champion) if lessons.champion else ""
            hashed = save_hashed(made / ARRAYS, lessons.arrays)
            told = _Told(**names, arrays_sha256=hashed, champion_sha256=champion)
        write_json(made / TOLD, told.model_dump())
    return _id(told)


def read_lessons(folder: Path) -> Lessons:
    """Nothing to listen to where there is no such folder. Raises GenloopError where it is damaged or inconsistent."""
    if not folder.exists():
        return Lessons()
    try:
        told = _Told.model_validate_json((folder / TOLD).read_text())
    except (OSError, ValueError, ValidationError):
        raise damaged(folder / TOLD, "it is not what lessons.json must be") from None
    if not told.arrays_sha256:
        return Lessons(id=_id(told), folder=folder.absolute())
    arrays = load_hashed(folder / ARRAYS, told.arrays_sha256)
    if arrays.keys() != KINDS.keys():
        raise damaged(folder / ARRAYS, f"it holds {', '.join(sorted(arrays)) or 'nothing'}")
    champion = read_start(folder / CHAMPION, told.champion_sha256) if told.champion_sha256 else None
    found = Lessons(
        shards=told.shards,
        classes=told.classes,
        preference=told.preference,
        position=told.position,
        rejected=arrays["rejected"],
        labels=arrays["labels"],
        train_chances=arrays["train_chances"],
        holdout_chances=arrays["holdout_chances"],
        champion=champion,
        id=_id(told),
        folder=folder.absolute(),
    )
    _check(found, folder)
    return found


def stands(folder: Path) -> str:
    """The hash of the lessons that stand there, or nothing."""
    return sha256_file(folder / TOLD) if (folder / TOLD).exists() else ""


def weights_of(chances_N: NDArray[np.float32], steer: float) -> NDArray[np.float64]:
    """float64 [N] in [LEAST, 1]: how often each image is served, beside the one that is served most.

    (chance / greatest chance) ** steer, and no less than LEAST: none is ever left out, none served 20 times as often
    as another.
    """
    most = max(float(chances_N.max(initial=0.0)), 1e-6)
    return np.maximum((chances_N.astype(np.float64) / most) ** steer, LEAST)


def drawn(ideal_N: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.int64]:
    """int64: each row as often as `ideal` says, rounded down or up, and as a whole as often as their sum says.

    Systematic sampling (Madow 1949): on average over draws exactly the ideal, and rows that stand together are
    together as often as their sum, rounded.
    """
    total = round(float(ideal_N.sum()))
    edges = np.floor(np.cumsum(ideal_N) + random.random()).astype(np.int64)
    edges = np.minimum(edges, total)
    edges[-1:] = total
    return np.repeat(np.arange(len(ideal_N)), np.diff(edges, prepend=0))


def _id(told: _Told) -> str:
    return sha256_json(told.model_dump())[:16]


def _check(lessons: Lessons, where: Path) -> None:
    """Raises GenloopError where shapes, kinds or values are not those that the class tells."""
    for name, kind in KINDS.items():
        array = getattr(lessons, name)
        ranks = 4 if name == "rejected" else 1
        if array.dtype != kind or array.ndim != ranks:
            raise damaged(where, f"{name} is {array.dtype} {list(array.shape)}")
    rejected, labels = lessons.rejected, lessons.labels
    if len(rejected) != len(labels) or rejected.shape[2] != rejected.shape[3] or 0 in rejected.shape[1:]:
        raise damaged(where, f"rejected is {list(rejected.shape)} with {len(labels)} labels")
    if len(labels) and not 0 <= labels.min() <= labels.max() < max(len(lessons.classes), 1):
        raise damaged(where, f"labels go from {labels.min()} to {labels.max()} of {len(lessons.classes)} classes")
    for name in ("train_chances", "holdout_chances"):
        chances = getattr(lessons, name)
        if not (np.isfinite(chances).all() and (chances >= 0).all() and (chances <= 1).all()):
            raise damaged(where, f"{name} are not all from 0 to 1")
    if bool(len(lessons.train_chances)) != bool(len(lessons.holdout_chances)):
        raise damaged(where, "chances are told of one split only")
