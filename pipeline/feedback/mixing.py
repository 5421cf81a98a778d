"""The classes of the next batch, by what was said of the last ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.feedback.votes import Vote
from pipeline.feedback_params import Adapting
from pipeline.preference.mix import Tallies, beside_control, tallies_of, thompson

FREE = ("", "control")  # arms of items that were taken without preference


def adapted_mix(
    votes: Sequence[Vote], classes: Sequence[str], asked: Sequence[float], segment: str, settings: Adapting, seed: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Shares of the classes in the batch, and in each class the share of its places that the control arm has, in which
    the classes are as they were asked. votes: on items that were shown at random."""
    of_segment = _tallies(votes, classes, segment) if segment else None
    wanted = np.array(asked, np.float64)
    mix = thompson(wanted, _tallies(votes, classes, None), settings.starve, seed, of_segment)
    shares, control = beside_control(wanted, mix, settings.holdout)
    return tuple(shares.tolist()), tuple(control.tolist())


def _tallies(votes: Sequence[Vote], classes: Sequence[str], segment: str | None) -> Tallies:
    place = {name: label for label, name in enumerate(classes)}
    told = [
        (place[vote.item.label], vote.accepted)
        for vote in votes
        if vote.item.label in place and vote.item.arm in FREE and segment in (None, vote.item.segment)
    ]
    labels, accepted = np.array([label for label, _ in told], np.int64), np.array([yes for _, yes in told], np.float64)
    return tallies_of(labels, accepted, len(classes))
