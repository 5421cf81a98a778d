"""What the next training is to listen to, made of the feedback: rejected items, how much each training image is liked,
and the champion's networks."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flows import wiring
from flows.beside import SCREEN, start_of
from flows.learning import Learned, learned
from pipeline import stages
from pipeline.errors import GenloopError
from pipeline.lessons import Lessons
from pipeline.progress import bar
from pipeline.settings import Params
from pipeline.shards import ShardsReader, open_shards
from pipeline.values import ModelVersion

if TYPE_CHECKING:
    from pipeline.adapters.ratings import Ratings
    from pipeline.adapters.registry import Registry

MOST = 20_000  # rejected items, the last ones
BLOCK = 1000

Images = NDArray[np.uint8]
Integers = NDArray[np.int64]


def lessons_of(workspace: Path, params: Params) -> Lessons:
    """As the settings ask for; none where there is no champion, or nothing was said yet."""
    registry = wiring.registry(workspace)
    champion = registry.champion(params.promote.name)
    if champion is None or not params.train.listens:
        return Lessons()
    shards, asked = open_shards(workspace / stages.SHARDS), params.train.feedback
    told = Lessons(
        shards=shards.meta.id,
        classes=shards.meta.classes,
        champion=start_of(registry, champion) if params.train.start == "champion" else None,
    )
    with wiring.ratings_if_any(workspace) as ratings:
        if ratings is None:
            return told
        told = replace(told, position=ratings.identity())
        if asked.negatives:
            images, labels = _rejected(registry, ratings, shards)
            told = replace(told, rejected=images, labels=labels) if len(images) else told
        if asked.steer:
            with learned(workspace, params, registry, champion, ratings) as known:
                chances = _chances(registry, champion, known, shards) if known else None
                if known and chances:
                    told = replace(told, preference=known.key, train_chances=chances[0], holdout_chances=chances[1])
        return told


def _rejected(registry: Registry, ratings: Ratings, shards: ShardsReader) -> tuple[Images, Integers]:
    """uint8 [R, C, S, S] and their labels, int64 [R], of items that more say no to than yes; those of another size, or
    of a class that the shards do not have, are left out."""
    sums, label_of, batch_of = Counter[str](), dict[str, str | None](), dict[str, str]()
    for one, verdict in ratings.judged():
        if verdict.liking is not None:
            sums[one.item] += 1 if verdict.liking > 0.5 else -1
            label_of[one.item], batch_of[one.item] = one.label, one.batch
    place = {name: row for row, name in enumerate(shards.meta.classes)}
    several = len(place) > 1
    names = [name for name, total in sums.items() if total < 0 and (not several or label_of[name] in place)][-MOST:]
    by_batch: dict[str, set[str]] = defaultdict(set)
    for name in names:
        by_batch[batch_of[name]].add(name)
    found: dict[str, Images] = {}
    for batch, items in sorted(by_batch.items()):
        found |= _images(registry, batch, items, shards)
    kept = sorted(found)
    shape = (0, shards.meta.channels, shards.meta.size, shards.meta.size)
    images = np.stack([found[name] for name in kept]) if kept else np.empty(shape, np.uint8)
    return images, np.array([place.get(label_of[name] or "", 0) for name in kept], np.int64)


def _images(registry: Registry, name: str, items: set[str], shards: ShardsReader) -> dict[str, Images]:
    from pipeline.generate.batches import find_batch
    from pipeline.generate.enrolling import images_of
    from pipeline.model.bundle import load_bundle

    try:
        batch = find_batch(wiring.stores, name)
    except GenloopError:
        return {}
    model = registry.version(batch.model, batch.version)
    if model is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        bundle = load_bundle(registry.download_bundle(model, Path(folder)))
        names, images = images_of(wiring.stores(batch.bucket), batch, items, bundle)
    same = images.shape[1:] == (shards.meta.channels, shards.meta.size, shards.meta.size)
    return dict(zip(names, images, strict=True)) if same else {}


def _chances(
    registry: Registry, champion: ModelVersion, known: Learned, shards: ShardsReader
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """float32 [N] and [H], of each image of the shards, in the space of the champion's screen, that the preference was
    learned in."""
    from pipeline.evaluate.features import load_classifier
    from pipeline.generate.screen import CLASSIFIER
    from pipeline.preference.model import load_preference

    with tempfile.TemporaryDirectory() as folder:
        screen = registry.download(champion, SCREEN, Path(folder))
        if screen is None:
            return None
        net, preference = load_classifier(screen / CLASSIFIER), load_preference(known.folder)

    def of(images: Images, labels: Integers) -> NDArray[np.float32]:
        from pipeline.alike import SIDE
        from pipeline.evaluate.features import features
        from pipeline.media.measures import looks
        from pipeline.preference.sights import seen

        rows, chances = preference.labels(shards.meta.classes or ("",)), np.empty(len(images), np.float32)
        with bar("liked", "images") as show:
            for start in range(0, len(images), BLOCK):
                some = np.ascontiguousarray(images[start : start + BLOCK])
                told = seen(features(net, some), looks(some, SIDE))
                chances[start : start + BLOCK] = preference.predict(told, rows[labels[start : start + BLOCK]])[0]
                show(min(start + BLOCK, len(images)), len(images), "")
        return chances

    return of(shards.train_images, shards.train_labels), of(shards.holdout_images, shards.holdout_labels)
