"""The page on which an expert says whether a model that passed its gates becomes champion."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pipeline.review.access import Asking
from pipeline.review.faults import Refusal, told_pages
from pipeline.review.models import Models
from pipeline.review.pages import Shown
from pipeline.review.place import Place

Version = Annotated[int, Path(ge=1, le=10**9)]
REPORT = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"


def promotions(place: Place, models: Models, page: Shown) -> APIRouter:
    """page: makes one of a template, see pages.py."""
    router = APIRouter(prefix="/models", default_response_class=HTMLResponse, responses=told_pages(303, 404))

    @router.get("")
    def candidates(request: Request, asking: Asking = Depends(place.access.asking)) -> Response:
        listed = models.candidates()
        return page(request, asking, "models.html", title="Models", models=listed)

    @router.get("/{version}/report")
    def report(version: Version, asking: Asking = Depends(place.access.asking)) -> Response:
        """As it was made beside the run; what is in it runs nothing and asks for nothing."""
        found = models.report(version)
        if found is None:
            raise Refusal(404, "this version has no page", "`genloop run` makes one for each that it trains")
        return HTMLResponse(found, headers={"Content-Security-Policy": REPORT})

    @router.post("/{version}")
    def answer(
        request: Request,
        version: Version,
        say: Annotated[Literal["promote", "reject"], Form()],
        csrf: Annotated[str, Form(max_length=100)],
        why: Annotated[str, Form(max_length=2000)] = "",
        asking: Asking = Depends(place.access.asking),
    ) -> Response:
        place.sessions.check(request, csrf)
        if asking.reviewer.role != "expert":
            raise Refusal(403, "only an expert can say so", "ask one")
        if all(one.version != version or not one.waits for one in models.candidates()):
            raise Refusal(404, "no such model waits for an answer", "see the list of models")
        if say == "reject" and not why.strip():
            raise Refusal(422, "a rejection needs its reason", "go back and say it in a few words")
        models.answer(version, asking.reviewer.name, " ".join(why.split()), say == "promote")
        return RedirectResponse("/models", 303)

    return router
