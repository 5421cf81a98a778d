"""What people like, learned from all that was said so far, in the feature space of a model's own screen."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flows.beside import SCREEN
from flows.remade import by_batch, remade
from pipeline.files import sha256_file, sha256_json, write_json
from pipeline.settings import Params
from pipeline.values import ModelVersion

if TYPE_CHECKING:
    from pipeline.adapters.ratings import Ratings
    from pipeline.adapters.registry import Registry
    from pipeline.feedback.gathering import Said

FEATURES = Path("runs/feedback")  # of items that something was said of, by the classifier that they are of


@dataclass(frozen=True)
class Learned:
    """folder: of the preference model; version: in the registry; key: of all that decides it."""

    key: str
    version: int
    folder: Path
    metrics: dict[str, float]


@contextmanager
def learned(
    workspace: Path, params: Params, registry: Registry, model: ModelVersion, ratings: Ratings
) -> Iterator[Learned | None]:
    """The preference model of all feedback so far, made anew only where that is new. None where there is too little,
    or nothing to see items with."""
    with tempfile.TemporaryDirectory() as temporary:
        yield _learned(workspace, params, registry, model, ratings, Path(temporary))


def _learned(
    workspace: Path, params: Params, registry: Registry, model: ModelVersion, ratings: Ratings, folder: Path
) -> Learned | None:
    from pipeline.adapters.preferences import Preferences
    from pipeline.feedback.gathering import evidence_of
    from pipeline.generate.screen import CLASSIFIER
    from pipeline.preference.learn import learn
    from pipeline.preference.model import FORMAT, save_preference
    from pipeline.preference.scorecard import scorecard

    settings = params.feedback.learning
    if sum(tally.judged for tally in ratings.tallies().values()) < settings.least:
        return None
    screen = registry.download(model, SCREEN, folder)
    if screen is None:
        return None
    space, now = sha256_file(screen / CLASSIFIER)[:16], datetime.now(UTC)
    today = now.date().isoformat() if settings.half_life_days else ""
    said_until = ratings.identity()
    told = {"said": said_until, "space": space, "learning": settings.model_dump(), "day": today, "format": FORMAT}
    key, kept = sha256_json(told)[:16], Preferences(registry, params.promote.name)
    if known := kept.find(key):
        return Learned(key, known[0], kept.download(known[1], folder), kept.metrics(known[1]))
    said = said_by_all(ratings)
    features = features_of(workspace, registry, said, screen, space)
    classes = sorted({one.label for one in said.items.values() if one.label is not None})
    background, blocks = _background(screen)
    evidence = evidence_of(said, features, blocks, classes, settings, now, space)
    preference = learn(evidence, background, settings)
    if not preference.trusted:
        return None
    made, card = folder / "preference", scorecard(evidence, background, settings)
    save_preference(preference, made)
    write_json(made / "scorecard.json", card.model_dump())
    tags = {"said": said_until, "space": space, "generator": f"{model.name}/{model.version}"}
    version = kept.keep(key, made, card.metrics, tags)
    return Learned(key, version, made, dict(card.metrics))


def said_by_all(ratings: Ratings) -> Said:
    from pipeline.feedback.gathering import Said

    judged, chosen, counted = list(ratings.judged()), ratings.chosen(), list(ratings.counted())
    of_choices = sorted({item for choice in chosen for item in (choice.better, choice.worse)})
    items = {one.item: one for one, _ in (*judged, *counted)} | ratings.enrolled(of_choices)
    return Said(judged, chosen, counted, items)


def features_of(
    workspace: Path, registry: Registry, said: Said, screen: Path, space: str
) -> dict[str, NDArray[np.float32]]:
    """float32 [D] of each item, as a preference sees it: kept from before, or of its image made again, by the model
    that made it. An item whose batch or model is gone has none."""
    from pipeline.evaluate.kept import load_arrays, save_arrays

    found: dict[str, NDArray[np.float32]] = {}
    for batch, names in by_batch(said.items[name] for name in said.names):
        path = workspace / FEATURES / space / f"{batch}.safetensors"
        try:
            known: dict[str, NDArray[np.float32]] = dict(load_arrays(path)[0])
        except FileNotFoundError:
            known = {}
        if missing := names - set(known):
            known |= _made(registry, batch, missing, screen)
            save_arrays(path, known)
        found |= {name: known[name] for name in names if name in known}
    return found


def _made(registry: Registry, batch: str, items: set[str], screen: Path) -> dict[str, NDArray[np.float32]]:
    from pipeline.alike import SIDE
    from pipeline.evaluate.features import features, load_classifier
    from pipeline.generate.screen import CLASSIFIER
    from pipeline.media.measures import looks
    from pipeline.preference.sights import seen

    found = remade(registry, batch, items)
    if not found:
        return {}
    images = np.stack(list(found.values()))
    told = seen(features(load_classifier(screen / CLASSIFIER), images), looks(images, SIDE))
    return dict(zip(found, told, strict=True))


def _background(screen: Path) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """float32 [K, D]: of some training images what a preference sees of them; and how many of each kind that is."""
    from pipeline.evaluate.kept import load_arrays
    from pipeline.generate.screen import SOME, TRAINING, some_of
    from pipeline.preference.sights import blocks_of, seen

    arrays, _ = load_arrays(screen / TRAINING)
    features, areas = some_of(arrays["features"]), arrays["areas"][:: max(1, len(arrays["areas"]) // SOME)]
    return seen(features, areas), blocks_of(features, areas)
