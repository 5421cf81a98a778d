"""POST /events: how items did, as other systems count it, in a body that they signed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from fastapi import APIRouter, Header, Request
from fastapi.concurrency import run_in_threadpool

from pipeline.adapters.ratings import Ratings
from pipeline.errors import GenloopError, ServiceError
from pipeline.feedback.events import HEADER, check, read_events
from pipeline.feedback.rows import Told
from pipeline.review.access import address_of
from pipeline.review.faults import Refusal, told
from pipeline.review.place import Place
from pipeline.reviews import Choice, Outcome, Refused, Verdict
from pipeline.values import Value

MOST_TOLD = 20
FORMS = {"application/json": {"schema": {}}, "application/jsonl": {"schema": {"type": "string"}}}
Check = Callable[[bytes, str], None]


class Taken(Value):
    """Numbers of rows: new, changed, the same as before; and those that are none, or of no item that is in review,
    which stay out. why: of the first of these.
    """

    new: int = 0
    changed: int = 0
    same: int = 0
    refused: int = 0
    why: tuple[Refused, ...] = ()


Keep = Callable[[bytes], Taken]


class Events(NamedTuple):
    """check: of a body and its header; raises GenloopError where it is not to be believed. keep: what it tells."""

    check: Check
    keep: Keep


def signed_events(ratings: Ratings, secrets: Sequence[str]) -> Events:
    """Bodies that were signed by one of the secrets, into the database."""

    def keep(body: bytes) -> Taken:
        file = f"events {hashlib.sha256(body).hexdigest()[:16]}"
        rows = (_taken_here(file, row) for row in read_events(body, datetime.now(UTC)))
        told = ratings.import_rows(file, rows)
        return Taken(**told, why=tuple(ratings.refused(file)[:MOST_TOLD]))

    return Events(lambda body, header: check(secrets, header, body, time.time()), keep)


def _taken_here(file: str, row: Told | Refused) -> Outcome | Verdict | Refused:
    if not isinstance(row, Choice):
        return row
    why = "a choice between two: `genloop feedback import` takes the file that it is in"
    return Refused(file=file, place=-1, row=row.model_dump_json(), reason=why)


def events(place: Place, wired: Events) -> APIRouter:
    router = APIRouter(responses=told())

    @router.post("/events", openapi_extra={"requestBody": {"content": FORMS, "required": True}})
    async def take(
        request: Request, signature: str = Header("", alias=HEADER, description="t=<seconds>,v1=<hex>")
    ) -> Taken:
        """Outcomes: one JSON object, one a line, or an array of them. The same again changes nothing."""
        place.limiter.take(place.serving.rates.session, "events", address_of(request))
        return await run_in_threadpool(_taken, wired, await request.body(), signature)

    return router


def _taken(wired: Events, body: bytes, signature: str) -> Taken:
    try:
        wired.check(body, signature)
    except ServiceError:
        raise
    except GenloopError as error:
        raise Refusal(403, error.what, error.remedy) from None
    try:
        return wired.keep(body)
    except ServiceError:
        raise
    except GenloopError as error:
        raise Refusal(422, error.what, error.remedy) from None
