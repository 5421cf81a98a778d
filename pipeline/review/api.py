"""What the page's script asks for and sends, as JSON."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from pipeline.review import told
from pipeline.review.access import Asking
from pipeline.review.desk import MOST, Asked
from pipeline.review.faults import Refusal
from pipeline.review.faults import told as told_faults
from pipeline.review.pages import Batch
from pipeline.review.pictures import GONE, Item
from pipeline.review.place import Place

Have = Annotated[int, Query(ge=0, le=MOST)]


def api(place: Place) -> APIRouter:
    router = APIRouter(prefix="/api", responses=told_faults(404))
    asks, changes = Depends(place.access.asking), Depends(place.access.changing)
    desk, keeping = place.desk, place.keeping

    @router.get("/me")
    def me(request: Request, response: Response, asking: Asking = asks) -> told.Me:
        place.sessions.keep(request, response, asking.session)
        one = asking.reviewer
        return told.Me(name=one.name, role=one.role, csrf=place.sessions.csrf(asking.session))

    @router.get("/batches/{batch}/progress")
    def progress(batch: Batch, asking: Asking = asks) -> told.Progress:
        desk.batch(batch, asking.reviewer)
        return desk.progress(batch)

    @router.get("/batches/{batch}/queue")
    def queue(batch: Batch, asked: Annotated[Asked, Query()], asking: Asking = asks) -> told.Queue:
        """What is to be judged, in order: first what the preference model is least sure of, some at random."""
        desk.batch(batch, asking.reviewer)
        return desk.queue(batch, asking.reviewer, asked)

    @router.get("/batches/{batch}/pairs")
    def pairs(batch: Batch, have: Have = 0, asking: Asking = asks) -> told.Pairs:
        """Two items each; `have`: pairs that the page has, and of which nothing was said yet."""
        desk.batch(batch, asking.reviewer)
        return desk.pairs(batch, asking.reviewer, have)

    @router.get("/items/{item}")
    def item(item: Item, asking: Asking = asks) -> told.Shown:
        found = desk.item(item, asking.reviewer)
        if found is None:
            raise GONE
        return found

    @router.get("/items/{item}/history")
    def history(item: Item, asking: Asking = asks) -> told.History:
        """Who said what of it, the last first."""
        return keeping.history(item)

    @router.post("/verdicts")
    def verdicts(sent: told.Verdicts, asking: Asking = changes) -> told.Kept:
        return keeping.verdicts(sent, asking.reviewer)

    @router.post("/undo")
    def undo(sent: told.Undone, asking: Asking = changes) -> told.Kept:
        return keeping.undo(sent, asking.reviewer)

    @router.post("/choices")
    def choices(sent: told.Choices, asking: Asking = changes) -> told.Kept:
        return keeping.choices(sent, asking.reviewer)

    @router.post("/concerns")
    def concern(sent: told.ConcernOf, asking: Asking = changes) -> told.Withdrawn:
        """The item is hidden at once, and withdrawn from its batch; experts only."""
        if asking.reviewer.role != "expert":
            raise Refusal(403, "only an expert can withdraw an item", "ask one")
        return place.withdrawals.raised(keeping.concern(sent, asking.reviewer))

    return router
