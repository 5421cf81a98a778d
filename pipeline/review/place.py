"""What the routes of the page have at hand."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.adapters.ratings import Ratings
from pipeline.review.access import Access
from pipeline.review.addresses import Addresses
from pipeline.review.desk import Desk
from pipeline.review.keeping import Keeping
from pipeline.review.rates import Limiter
from pipeline.review.serving import Serving
from pipeline.review.sessions import Sessions
from pipeline.review.shelf import Shelf
from pipeline.review.withdrawals import Withdrawals


@dataclass(frozen=True)
class Place:
    ratings: Ratings
    serving: Serving
    sessions: Sessions
    access: Access
    limiter: Limiter
    addresses: Addresses
    shelf: Shelf
    desk: Desk
    keeping: Keeping
    withdrawals: Withdrawals
