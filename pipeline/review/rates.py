"""How often something may be asked, counted in this process."""

from __future__ import annotations

import math
import time

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from pipeline.review.faults import Refusal


class Limiter:
    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def take(self, rate: str, *whose: str) -> None:
        """Count one. Raises Refusal where that is one too many."""
        if not self._limiter.hit(parse(rate), *whose):
            raise self._refusal(rate, whose)

    def look(self, rate: str, *whose: str) -> None:
        """Raises Refusal where one more would be too many; counts nothing."""
        if not self._limiter.test(parse(rate), *whose):
            raise self._refusal(rate, whose)

    def _refusal(self, rate: str, whose: tuple[str, ...]) -> Refusal:
        again_at = self._limiter.get_window_stats(parse(rate), *whose).reset_time
        wait_s = max(1, math.ceil(again_at - time.time()))
        return Refusal(429, "too many requests", f"wait {wait_s} s", {"Retry-After": str(wait_s)})
