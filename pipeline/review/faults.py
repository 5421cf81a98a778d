"""What goes wrong with a request, as JSON {error, remedy} or as a page; never a traceback."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from pipeline.errors import GenloopError, ServiceError
from pipeline.review.looks import shown
from pipeline.values import Value

LOG = logging.getLogger("genloop.review")
MACHINES = ("/api/", "/images/", "/events", "/healthz", "/openapi.json")  # their faults are JSON
AGAIN = "try again; if it goes on, what the server printed tells more"


class Fault(Value):
    error: str
    remedy: str = ""


class Refusal(Exception):
    """A request that is not answered as it was meant. headers: of the answer."""

    def __init__(self, status: int, error: str, remedy: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(error)
        self.status, self.fault, self.headers = status, Fault(error=error, remedy=remedy), headers or {}


def told(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: the faults that an endpoint may answer, beside those that each may."""
    each = (400, 401, 403, 413, 422, 429, 500, 503)
    return {status: {"model": Fault, "description": HTTPStatus(status).phrase} for status in sorted({*each, *statuses})}


def told_pages(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The same of pages."""
    each = (400, 403, 413, 422, 429, 500, 503)
    page = {"content": {"text/html": {"schema": {"type": "string"}}}}
    return {
        status: {"description": HTTPStatus(status).phrase, **({} if status == 303 else page)}
        for status in sorted({*each, *statuses})
    }


def login_address(request: Request) -> str:
    """It leads back to the page that was asked for."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return "/login" if request.method != "GET" else f"/login?next={quote(asked, safe='')}"


def tell_faults(app: FastAPI) -> None:
    """Every fault of the app by one of these."""

    @app.exception_handler(Refusal)
    def refused(request: Request, fault: Refusal) -> Response:
        return answer(request, fault.status, fault.fault, fault.headers)

    @app.exception_handler(RequestValidationError)
    def misread(request: Request, fault: RequestValidationError) -> Response:
        return answer(request, 422, Fault(error=_clauses(fault), remedy="/openapi.json tells what is taken"))

    @app.exception_handler(HTTPException)
    def usual(request: Request, fault: HTTPException) -> Response:
        return answer(request, fault.status_code, Fault(error=str(fault.detail)), dict(fault.headers or {}))

    @app.exception_handler(GenloopError)
    def failed(request: Request, fault: GenloopError) -> Response:
        status = 503 if isinstance(fault, ServiceError) else 404
        LOG.warning("%s %s: %s", request.method, request.url.path, fault)
        return answer(request, status, Fault(error=fault.what, remedy=fault.remedy))

    @app.exception_handler(Exception)
    def broken(request: Request, fault: Exception) -> Response:
        return answer(request, 500, Fault(error="something here is broken", remedy=AGAIN))


def answer(request: Request, status: int, fault: Fault, headers: dict[str, str] | None = None) -> Response:
    if request.url.path.startswith(MACHINES):
        return JSONResponse(fault.model_dump(), status, headers)
    if status == 401:
        return RedirectResponse(login_address(request), 303)
    title = f"{status} {HTTPStatus(status).phrase}"
    return shown("fault.html", {"title": title, "fault": fault}, status, headers)


def _clauses(fault: RequestValidationError) -> str:
    """Which values are wrong and why, without what was sent: it may be a token."""
    clauses = [f"{'.'.join(str(part) for part in one['loc'][1:]) or 'body'}: {one['msg']}" for one in fault.errors()]
    return "; ".join(clauses[:5]).replace("Value error, ", "")
