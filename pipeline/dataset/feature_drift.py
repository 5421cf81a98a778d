"""How far two versions lie apart in the feature space of the scorecard's own classifier."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline import stages
from pipeline.facts import digests
from pipeline.manifest import read_rows
from pipeline.settings import Params

SAMPLE = 2048
"""Of each version the images with the lowest hashes: what both have is in both samples, and adds no noise. Two samples
of MNIST without a common image are 0.2 to 0.4 apart, with 5% of one inverted 1.0, with a class gone 3.7."""
MODES = {1: "L", 3: "RGB", 4: "RGBA"}

Files = Mapping[str, Path]  # of a snapshot's parts, by name


class _Place(NamedTuple):
    """An image in a part's file."""

    begin: int  # of its hash: 8 bytes
    file: Path
    row: int


def feature_drift(workspace: Path, params: Params, before: Files, after: Files) -> float | None:
    """The Fréchet distance of both samples' features over the spread of the first, as the scorecard's nFD is.

    None where no classifier of this dataset is kept, as before its first training.
    """
    from pipeline.evaluate.features import classifier_id

    shards = workspace / stages.SHARDS / "shards.json"
    if not shards.exists():
        return None
    form = json.loads(shards.read_text())
    path = workspace / stages.EVALUATORS / classifier_id(form["id"], params.evaluate) / "classifier.safetensors"
    samples = [_sample(files) for files in (before, after)]
    if not path.exists() or not all(len(sample) > 1 for sample in samples):
        return None
    from pipeline.evaluate.features import features, load_classifier
    from pipeline.evaluate.metrics import frechet, gaussian, spread
    from pipeline.media.image import normalise_all

    net, known = load_classifier(path), dict[int, NDArray[np.float32]]()
    for file, places in _by_file({place.begin: place for sample in samples for place in sample}.values()):
        contents = read_rows(file, [place.row for place in places])
        images = normalise_all(contents, form["size"], MODES[form["channels"]], params.preprocess.fit)
        known |= zip([place.begin for place in places], features(net, images), strict=True)
    one, other = (gaussian(np.stack([known[place.begin] for place in sample])) for sample in samples)
    return round(100 * frechet(one, other) / spread(one), 4)


def _sample(files: Files) -> list[_Place]:
    """At most SAMPLE images, by their hashes; copies of one count once."""
    lowest: list[_Place] = []
    for path in files.values():
        lowest = sorted({place.begin: place for place in [*lowest, *_lowest(path)]}.values())[:SAMPLE]
    return lowest


def _lowest(path: Path) -> list[_Place]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        table = file.read(["sha256", "problem"])
    images = np.flatnonzero(table["problem"].is_null().to_numpy(zero_copy_only=False))
    begins = np.ascontiguousarray(digests(table["sha256"])[images, :8]).view(">u8")[:, 0].astype(np.uint64)
    order = np.argsort(begins)[:SAMPLE]
    return [_Place(int(begins[place]), path, int(images[place])) for place in order]


def _by_file(places: Iterable[_Place]) -> list[tuple[Path, list[_Place]]]:
    found: dict[Path, list[_Place]] = {}
    for place in sorted(places):
        found.setdefault(place.file, []).append(place)
    return list(found.items())
