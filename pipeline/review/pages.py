"""The pages: logging in, the batches, judging and comparing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi import Path as InPath
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from pipeline.review.access import Asking, address_of, local_path
from pipeline.review.desk import Filters
from pipeline.review.faults import Fault, told_pages
from pipeline.review.looks import STATIC, shown
from pipeline.review.pictures import page_policy
from pipeline.review.place import Place
from pipeline.review.sessions import new_session

Shown = Callable[..., HTMLResponse]
Batch = Annotated[str, InPath(pattern=r"^[0-9a-f]{16}$")]
JUDGING = (
    ("A", "accept"),
    ("R", "reject"),
    ("1 2 3 4 5", "rate"),
    ("← →", "the item before, the next one"),
    ("U Ctrl+Z", "undo"),
    ("T", "tag; Enter adds it, Esc leaves"),
    ("N", "note; Ctrl+Enter keeps it"),
    ("H", "who said what"),
    ("F", "filter"),
    ("C", "compare two"),
    ("?", "this help"),
)
CONCERN = ("X", "raise a concern: the item is withdrawn")
COMPARING = (("←", "the left one"), ("→", "the right one"), ("= ↓", "both alike"), ("U Ctrl+Z", "undo"))
COMPARING_MORE = (("C", "one by one"), ("?", "this help"))
SUGGESTED = ("blurred", "off class", "cut off", "odd colours", "favourite")
WRONG = Fault(error="no reviewer has this name and token")


def page_of(place: Place, has_models: bool) -> Shown:
    """Makes a page of a template for who is asking. has_models: there is a page of those that wait for a person."""

    def page(request: Request, asking: Asking, template: str, **values: object) -> HTMLResponse:
        can_leave, csrf = place.access.can_leave(asking.session), place.sessions.csrf(asking.session)
        told = {"me": asking.reviewer, "csrf": csrf, "can_leave": can_leave, "has_models": has_models, **values}
        made = shown(template, told)
        place.sessions.keep(request, made, asking.session)
        return made

    return page


def pages(place: Place, page: Shown) -> APIRouter:
    router = APIRouter(default_response_class=HTMLResponse, responses=told_pages(303, 404))
    _add_login(router, place)

    @router.get("/")
    def batches(
        request: Request,
        segment: Annotated[str | None, Query(max_length=500)] = None,
        asking: Asking = Depends(place.access.asking),
    ) -> Response:
        """segment: batches for it only; empty: those that are for nobody in particular."""
        listed, segments = place.desk.batches(asking.reviewer, segment), place.desk.segments()
        told = {"title": "Batches to review", "batches": listed, "segments": segments, "segment": segment}
        return page(request, asking, "batches.html", **told)

    @router.get("/batches/{batch}")
    def judge(
        request: Request,
        batch: Batch,
        chosen: Annotated[Filters, Query()],
        asking: Asking = Depends(place.access.asking),
    ) -> Response:
        found = place.desk.batch(batch, asking.reviewer)
        made = page(
            request,
            asking,
            "judge.html",
            kind="judge",
            title=f"{found.order}: judge",
            batch=found,
            progress=place.desk.progress(batch),
            filters=place.desk.fields(batch, chosen),
            filtered=chosen.count,
            tags=SUGGESTED,
            keys=(*JUDGING, CONCERN) if asking.reviewer.role == "expert" else JUDGING,
        )
        made.headers["Content-Security-Policy"] = page_policy(place, request, batch)
        return made

    @router.get("/batches/{batch}/compare")
    def compare(request: Request, batch: Batch, asking: Asking = Depends(place.access.asking)) -> Response:
        found = place.desk.batch(batch, asking.reviewer)
        made = page(
            request,
            asking,
            "compare.html",
            kind="judge",
            title=f"{found.order}: which is better?",
            batch=found,
            progress=place.desk.progress(batch),
            keys=(*COMPARING, *COMPARING_MORE),
        )
        made.headers["Content-Security-Policy"] = page_policy(place, request, batch)
        return made

    return router


def _add_login(router: APIRouter, place: Place) -> None:
    rates = place.serving.rates

    def form(request: Request, target: str, name: str = "", fault: Fault | None = None) -> HTMLResponse:
        session = place.sessions.of(request) or new_session()
        csrf = place.sessions.csrf(session)
        told = {"title": "Log in", "csrf": csrf, "next": target, "name": name, "fault": fault}
        made = shown("login.html", told, 401 if fault else 200)
        place.sessions.keep(request, made, session)
        return made

    @router.get("/login")
    def login(request: Request, next: Annotated[str, Query(max_length=2000)] = "/") -> Response:
        place.limiter.take(rates.session, "address", address_of(request))
        if place.access.reviewer(request, place.sessions.of(request)):
            return RedirectResponse(local_path(next), 303)
        return form(request, local_path(next))

    @router.post("/login", responses=told_pages(401))
    def log_in(
        request: Request,
        name: Annotated[str, Form(max_length=64)],
        token: Annotated[str, Form(max_length=200)],
        csrf: Annotated[str, Form(max_length=100)],
        next: Annotated[str, Form(max_length=2000)] = "/",
    ) -> Response:
        place.sessions.check(request, csrf)
        whose = (rates.login, "login", address_of(request)), (rates.name, "name", name)
        for rate in whose:
            place.limiter.look(*rate)
        found = place.ratings.reviewer_of(token)
        if found is None or found.name != name:
            for rate in whose:
                place.limiter.take(*rate)
            return form(request, local_path(next), name, WRONG)
        made = RedirectResponse(local_path(next), 303)
        place.sessions.keep(request, made, place.access.session_of(found))
        return made

    @router.post("/logout")
    def log_out(request: Request, csrf: Annotated[str, Form(max_length=100)]) -> Response:
        place.sessions.check(request, csrf)
        made = RedirectResponse("/login", 303)
        place.sessions.end(request, made)
        return made

    @router.get("/welcome")
    def welcome(request: Request, asking: Asking = Depends(place.access.asking)) -> Response:
        made = shown("welcome.html", {"title": "Welcome back", "me": asking.reviewer})
        place.sessions.keep(request, made, asking.session)
        return made


def static() -> StaticFiles:
    return _Kept(directory=Path(STATIC))


class _Kept(StaticFiles):
    """Addresses of our files change with their content."""

    async def get_response(self, path: str, scope) -> Response:  # type: ignore[no-untyped-def]
        answer = await super().get_response(path, scope)
        if answer.status_code == 200 and scope.get("query_string"):
            answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer
