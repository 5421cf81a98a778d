"""Addresses of images, signed, good for a short time."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Literal
from urllib.parse import urlencode

from pipeline.review.faults import Refusal

Size = Literal["full", "small"]


class Addresses:
    def __init__(self, secret: bytes, last_s: int) -> None:
        self._key, self._step_s = hashlib.sha256(b"images" + secret).digest(), max(1, last_s // 2)

    def of(self, item: str, size: Size = "full") -> str:
        """Good for half to all of the time that they last; the same within that, so that browsers keep the image."""
        until = (int(time.time()) // self._step_s + 2) * self._step_s
        query = {"size": size, "until": until, "sig": self._signature(item, size, until)}
        return f"/images/{item}?{urlencode(query)}"

    def check(self, item: str, size: Size, until: int, signature: str) -> int:
        """Seconds that are left. Raises Refusal where it is not ours, or too old."""
        left_s = until - int(time.time())
        is_ours = hmac.compare_digest(self._signature(item, size, until).encode(), signature.encode())
        if not is_ours or left_s <= 0:
            raise Refusal(403, "this address is too old, or not ours", "load the page again")
        return left_s

    def _signature(self, item: str, size: Size, until: int) -> str:
        return hmac.new(self._key, f"{item}\n{size}\n{until}".encode(), hashlib.sha256).hexdigest()
