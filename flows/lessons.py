"""What the next training is to listen to, made of the feedback: rejected items, how much each training image is liked,
and the champion's networks."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flows import wiring
from flows.beside import SCREEN, start_of
from flows.learning import Learned, learned
from flows.remade import Images, by_batch, remade
from pipeline import stages
from pipeline.dataset.forget import TAG
from pipeline.feedback.votes import votes
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

Integers = NDArray[np.int64]


def lessons_of(workspace: Path, params: Params) -> Lessons:
    """As the settings ask for; none where there is no champion. Nothing begins from the networks of one that had items
    which were erased since."""
    registry = wiring.registry(workspace)
    champion = registry.champion(params.promote.name)
    if champion is None or not params.train.listens:
        return Lessons()
    forgot = any(name.startswith(TAG) for name in registry.tags(champion))
    shards, asked = open_shards(workspace / stages.SHARDS), params.train.feedback
    told = Lessons(
        shards=shards.meta.id,
        classes=shards.meta.classes,
        champion=start_of(registry, champion) if params.train.start == "champion" and not forgot else None,
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
    place = {name: row for row, name in enumerate(shards.meta.classes)}
    known = place.keys() if len(place) > 1 else None
    refused = [vote.item for vote in votes(ratings.judged()) if vote.rejected]
    refused = [one for one in refused if known is None or one.label in known][-MOST:]
    found: dict[str, Images] = {}
    for batch, items in by_batch(refused):
        found |= remade(registry, batch, items)
    shape = (shards.meta.channels, shards.meta.size, shards.meta.size)
    kept = [one for one in refused if one.item in found and found[one.item].shape == shape]
    images = np.stack([found[one.item] for one in kept]) if kept else np.empty((0, *shape), np.uint8)
    return images, np.array([place.get(one.label or "", 0) for one in kept], np.int64)


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
