"""Of reviews: how long the queue is, what was said, and how much of it is accepted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.core import Metric

from flows import wiring
from flows.metrics.families import counter, gauge, gauges

if TYPE_CHECKING:
    from pipeline.adapters.ratings import Ratings

LEAST = 20  # judged items of a batch, from which on a share of them says something


class Reviews:
    """Asked again only once something was said. opinions: verdicts that an item takes."""

    def __init__(self, workspace: Path, opinions: int) -> None:
        self._workspace, self._opinions = workspace, opinions
        self._ratings: Ratings | None = None
        self._known: tuple[tuple[int, int], list[Metric]] | None = None

    def __call__(self) -> list[Metric]:
        if self._ratings is None:
            self._ratings = wiring.ratings_if_there(self._workspace)
        if self._ratings is None:
            return []
        stamp = self._ratings.position(), len(self._ratings.known())
        if self._known is None or self._known[0] != stamp:
            self._known = stamp, list(self._read(self._ratings))
        return self._known[1]

    def _read(self, ratings: Ratings) -> Iterator[Metric]:
        batches = ratings.batches(self._opinions)
        queue, quarrels = sum(max(0, one.items - one.judged) for one in batches), sum(one.quarrels for one in batches)
        yield from gauge("review_queue_items", "Items in review that still want a verdict.", queue)
        yield from gauge("review_quarrel_items", "Items on which reviewers disagree.", quarrels)
        gone = sum(one.withdrawn for one in batches)
        yield from gauge("review_withdrawn_items", "Items in review that were withdrawn.", gone)
        concerns = len(ratings.open_concerns())
        yield from gauge("review_open_concerns", "Experts' concerns that nobody dealt with yet.", concerns)
        yield from counter("review_said", "Verdicts, choices and outcomes that were taken in.", ratings.position())
        yield from gauge("review_verdicts", "Verdicts that count now.", ratings.verdicts_after(None))
        every = ratings.tallies()
        tally = next(iter(every.values()), None)
        if tally:
            counts = {"judged": float(tally.judged), "accepted": float(tally.accepted)}
            yield from gauges("review_items", "Items that were judged, and those accepted.", ("state",), counts)
        shares = {one.order: one.accepted / one.judged for one in batches if one.judged >= LEAST}  # the newest last
        told = f"Accepted share of each order's newest batch of which {LEAST} items were judged."
        yield from gauges("review_accepted_ratio", told, ("order",), shares)
