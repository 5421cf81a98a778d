"""A reviewer with a taste that the code under test can't see, at the real page's addresses over HTTP."""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Callable

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Taste = Callable[[NDArray[np.uint8]], bool]


class Judge:
    """taste: whether an image, uint8 [H, W] or [H, W, C], is liked."""

    def __init__(self, url: str, taste: Taste) -> None:
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self._taste = taste
        me = self._client.get("/api/me").raise_for_status().json()
        self.name, self._csrf = me["name"], me["csrf"]

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def review(self, batch: str, count: int) -> list[bool]:
        """What was said of so many items of the queue, or of all that are left."""
        said: list[bool] = []
        while len(said) < count:
            found = self._client.get(f"/api/batches/{batch}/queue").raise_for_status().json()["items"]
            found = found[: count - len(said)]
            if not found:
                break
            verdicts = [self._taste(self._image(one["image"])) for one in found]
            self._say(found, verdicts)
            said += verdicts
        return said

    def look(self, batch: str, count: int) -> list[bool]:
        """What would be said of the first ones, of which nothing is."""
        found = self._client.get(f"/api/batches/{batch}/queue").raise_for_status().json()["items"]
        return [self._taste(self._image(one["image"])) for one in found[:count]]

    def wait_for(self, batch: str, timeout_s: float = 120) -> None:
        """Until it is in review."""
        deadline = time.monotonic() + timeout_s
        while self._client.get(f"/api/batches/{batch}/queue").status_code != 200:
            assert time.monotonic() < deadline, f"batch {batch} did not come into review"
            time.sleep(0.5)

    def _say(self, found: list[dict[str, str]], verdicts: list[bool]) -> None:
        acts = [
            {"key": uuid.uuid4().hex, "item": one["item"], "accepted": liked}
            for one, liked in zip(found, verdicts, strict=True)
        ]
        answer = self._client.post("/api/verdicts", json={"acts": acts}, headers={"X-CSRF-Token": self._csrf})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["kept"]) == len(acts)

    def _image(self, address: str) -> NDArray[np.uint8]:
        data = self._client.get(address, follow_redirects=True).raise_for_status().content
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)
