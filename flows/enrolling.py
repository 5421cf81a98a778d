"""Batches taken into review: those that are committed and not there yet, and withdrawn ones out of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from flows import wiring
from pipeline.errors import GenloopError
from pipeline.progress import bar
from pipeline.settings import Params

if TYPE_CHECKING:
    from pipeline.adapters.ratings import Ratings


EVERY_S = 10


@contextmanager
def kept_enrolled(params: Params, ratings: Ratings) -> Iterator[None]:
    """New batches come into review while this is entered, within EVERY_S."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(EVERY_S):
            with suppress(GenloopError):  # the S3 or the database is away: next time
                enroll_new(params, ratings, quiet=True)

    thread = threading.Thread(target=go_on, name="enrolling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def enroll_new(params: Params, ratings: Ratings, quiet: bool = False) -> int:
    """How many items are new in review."""
    from pipeline.generate.batches import batches
    from pipeline.generate.enrolling import items_of

    known, count = ratings.known(), 0
    new = list(batches(wiring.stores, but=known))
    if not new:
        return 0
    with nullcontext(_unseen) if quiet else bar("enroll", "items") as show:
        for batch in new:
            count += ratings.enroll(batch.id, items_of(wiring.stores(batch.bucket), batch), params.review.random)
            show(count, None, batch.order)
    return count


def _unseen(done: int, total: int | None, note: str) -> None:
    """A bar that nobody sees."""
