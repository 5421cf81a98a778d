"""The review page as an app, and its server."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, FastAPI

from pipeline.adapters.ratings import Ratings
from pipeline.errors import GenloopError
from pipeline.generate.batches import Stores
from pipeline.review.access import Access, check_guarded
from pipeline.review.addresses import Addresses
from pipeline.review.api import api
from pipeline.review.desk import Desk
from pipeline.review.events import Events, events
from pipeline.review.faults import tell_faults, told
from pipeline.review.guards import Guards
from pipeline.review.keeping import Keeping
from pipeline.review.models import Models
from pipeline.review.pages import page_of, pages, static
from pipeline.review.pictures import pictures
from pipeline.review.place import Place
from pipeline.review.promotions import promotions
from pipeline.review.rates import Limiter
from pipeline.review.serving import Serving
from pipeline.review.sessions import Sessions
from pipeline.review.shelf import Shelf
from pipeline.review.told import Health
from pipeline.review.withdrawals import Withdraw, Withdrawals

STOP_S = 5


class Tls(NamedTuple):
    """PEM files, to serve HTTPS."""

    certificate: Path
    key: Path


def make_app(
    ratings: Ratings,
    stores: Stores,
    serving: Serving,
    withdraw: Withdraw,
    outcomes: Events | None = None,
    models: Models | None = None,
) -> FastAPI:
    """withdraw: takes an item out of its batch, see pipeline/review/withdrawals.py. outcomes: what becomes of bodies
    that other systems send to /events; models: that may wait for a person. Without them there is no such address.
    """
    secret = serving.secret.get_secret_value()
    sessions, limiter, shelf = Sessions(serving), Limiter(), Shelf(stores, serving.cache_bytes)
    addresses, access = Addresses(secret, serving.image_s), Access(ratings, serving, sessions, limiter)
    desk, withdrawals = Desk(ratings, serving.review, addresses), Withdrawals(ratings, withdraw, shelf.forget)
    keeping = Keeping(ratings, desk)
    place = Place(ratings, serving, sessions, access, limiter, addresses, shelf, desk, keeping, withdrawals)
    page = page_of(place, has_models=models is not None)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        withdrawals.start()
        try:
            yield
        finally:
            withdrawals.stop()

    app = FastAPI(title="genloop review", version="1", docs_url=None, redoc_url=None, lifespan=life)
    app.state.check = lambda host: check_guarded(ratings, serving, host)
    app.add_middleware(Guards, most=serving.body_bytes, secure=serving.secure)
    tell_faults(app)
    for router in (
        _health(ratings),
        pages(place, page),
        *([promotions(place, models, page)] if models else []),
        api(place),
        pictures(place),
        *([events(place, outcomes)] if outcomes else []),
    ):
        app.include_router(router)
    app.mount("/static", static(), "static")
    return app


def serve(app: FastAPI, host: str, port: int, tls: Tls | None = None) -> None:
    """Until it is told to stop. Raises ParamsError where it would let anyone in, GenloopError where it can't listen."""
    import uvicorn

    app.state.check(host)
    config = uvicorn.Config(
        app,
        host,
        port,
        log_config=None,
        access_log=False,  # it would tell signed addresses
        proxy_headers=False,  # who is connected is asked, not who they say
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    with _listening(host, port) as listening:
        uvicorn.Server(config).run([listening])


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        what = f"can't listen: {error.strerror or error}"
        raise GenloopError(what, where=f"{host}:{port}", remedy="choose another --port") from None
    with listening:
        yield listening


def _health(ratings: Ratings) -> APIRouter:
    router = APIRouter(responses=told())

    @router.get("/healthz")
    def healthz() -> Health:
        """Whether the database answers."""
        ratings.position()
        return Health()

    return router
