"""Prefect's own API over HTTP, where importing Prefect would cost seconds or bind to another server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flows.records import Service
from pipeline.errors import ServiceError

if TYPE_CHECKING:
    from httpx import Client


@contextmanager
def prefect_api(prefect: Service) -> Iterator[Client]:
    """Raises ServiceError for an answer that is none."""
    import httpx

    def check(response: httpx.Response) -> None:
        if response.is_error:
            response.read()
            told = (
                f"{response.request.method} {response.request.url.path}: {response.status_code} {response.text[:500]}"
            )
            raise ServiceError(f"Prefect said {told}", where=prefect.url)

    try:
        with httpx.Client(
            base_url=f"{prefect.url}/api", trust_env=False, timeout=60, event_hooks={"response": [check]}
        ) as client:
            yield client
    except httpx.HTTPError as error:
        raise ServiceError(f"Prefect did not answer: {error}", where=prefect.url, remedy="`genloop up`") from None
