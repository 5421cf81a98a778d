"""What was said of items, as evidence of what people like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.feedback_params import Learning
from pipeline.preference.evidence import REVIEW, Evidence
from pipeline.reviews import Choice, Enrolled, Outcome, Verdict

CHANNELS = (REVIEW, "click", "conversion")


class Said(NamedTuple):
    """All that counts now, and what is to be known of the items of choices."""

    judged: Sequence[tuple[Enrolled, Verdict]]
    chosen: Sequence[Choice]
    counted: Sequence[tuple[Enrolled, Outcome]]
    items: Mapping[str, Enrolled]

    @property
    def names(self) -> list[str]:
        """Of the items that anything is said of, in one order."""
        told = {one.item for one, _ in (*self.judged, *self.counted)}
        return sorted(told | {item for choice in self.chosen for item in (choice.better, choice.worse)})


class _Trial(NamedTuple):
    item: str
    successes: float
    weight: float
    channel: str
    segment: str


def evidence_of(
    said: Said,
    features: Mapping[str, NDArray[np.float32]],
    blocks: tuple[int, ...],
    classes: Sequence[str],
    settings: Learning,
    now: datetime,
    space: str,
) -> Evidence:
    """features: float32 [D] of each item, of so many of each kind as `blocks` says; what is said of others is left out.
    now: that ages are told from.

    An item's clicks and conversions are shares of its impressions, however many, and weigh at most as much as
    `settings.outcomes` verdicts.
    """
    names = [name for name in said.names if name in features]
    rows, label = {name: row for row, name in enumerate(names)}, {c: i for i, c in enumerate(classes)}
    trials = [trial for trial in _trials(said, settings, now) if trial.item in rows]
    pairs = [one for one in said.chosen if one.better in rows and one.worse in rows]
    segments = sorted({trial.segment for trial in trials if trial.segment})
    place = {name: row for row, name in enumerate(segments)}
    return Evidence(
        features=np.stack([features[name] for name in names]) if names else np.empty((0, sum(blocks)), np.float32),
        labels=_integers(label.get(said.items[name].label or "", -1) for name in names),
        rows=_integers(rows[trial.item] for trial in trials),
        successes=np.array([trial.successes for trial in trials], np.float64),
        weights=np.array([trial.weight for trial in trials], np.float64),
        channels=_integers(CHANNELS.index(trial.channel) for trial in trials),
        segments=_integers(place.get(trial.segment, -1) for trial in trials),
        better=_integers(rows[one.better] for one in pairs),
        worse=_integers(rows[one.worse] for one in pairs),
        pair_segments=_integers(place.get(said.items[one.better].segment, -1) for one in pairs),
        pair_weights=np.array([_weight(one.at, settings, now) for one in pairs], np.float64),
        channel_names=CHANNELS,
        segment_names=tuple(segments),
        classes=tuple(classes),
        space=space,
        blocks=blocks,
    )


def _trials(said: Said, settings: Learning, now: datetime) -> Iterable[_Trial]:
    for one, verdict in said.judged:
        if verdict.liking is not None:
            weight = _weight(verdict.at, settings, now)
            yield _Trial(one.item, weight * verdict.liking, weight, REVIEW, one.segment)
    for one, outcome in said.counted:
        if outcome.impressions and settings.outcomes:
            weight = min(outcome.impressions, settings.outcomes) * _weight(outcome.at, settings, now)
            for channel, count in (("click", outcome.clicks), ("conversion", outcome.conversions)):
                yield _Trial(one.item, weight * count / outcome.impressions, weight, channel, one.segment)


def _weight(at: datetime, settings: Learning, now: datetime) -> float:
    """Halved by each half-life; what is told of the future is of now."""
    if not settings.half_life_days:
        return 1.0
    return float(0.5 ** (max(0.0, (now - at).total_seconds() / 86400) / settings.half_life_days))


def _integers(values: Iterable[int]) -> NDArray[np.int64]:
    return np.array(list(values), np.int64)
