"""Prefect's own API over HTTP, where importing Prefect would cost seconds or bind to another server."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flows.records import Service
from pipeline.errors import ServiceError

if TYPE_CHECKING:
    from httpx import Client

BUSY, PAUSES_S = 503, (0.5, 1.0, 2.0, 4.0, 8.0)


@contextmanager
def prefect_api(prefect: Service) -> Iterator[Client]:
    """Raises ServiceError for an answer that is none; a server whose database is busy is asked again."""
    import httpx

    class Patient(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            for pause_s in PAUSES_S:
                answer = super().handle_request(request)
                if answer.status_code != BUSY:
                    return answer
                answer.close()
                time.sleep(pause_s)
            return super().handle_request(request)

    def check(response: httpx.Response) -> None:
        if response.is_error:
            response.read()
            told = (
                f"{response.request.method} {response.request.url.path}: {response.status_code} {response.text[:500]}"
            )
            raise ServiceError(f"Prefect said {told}", where=prefect.url)

    try:
        with httpx.Client(
            base_url=f"{prefect.url}/api",
            transport=Patient(),
            trust_env=False,
            timeout=60,
            auth=login(),
            event_hooks={"response": [check]},
        ) as client:
            yield client
    except httpx.HTTPError as error:
        raise ServiceError(f"Prefect did not answer: {error}", where=prefect.url, remedy="`genloop up`") from None


def login() -> tuple[str, str] | None:
    """As Prefect's own clients give it."""
    name, found, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    return (name, password) if found else None
