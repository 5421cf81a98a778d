"""The pages of the review, from their templates."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from fastapi.responses import HTMLResponse
from jinja2 import Environment

from pipeline.page import pages_in

PAGES, STATIC = Path(__file__).parent / "pages", Path(__file__).parent / "static"


def shown(
    template: str, values: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """A page. values: for the template; text, never markup."""
    return HTMLResponse(_templates().get_template(template).render(values), status, headers)


@cache
def _templates() -> Environment:
    made = pages_in(PAGES)
    made.globals["static"] = _static
    made.filters["share"] = lambda share: "–" if share is None else f"{share:.0%}"
    made.filters["figure"] = lambda value: f"{value:.4g}"
    return made


@cache
def _static(name: str) -> str:
    """The address of a file of ours, which changes with its content: browsers may keep it for good."""
    return f"/static/{name}?{hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"
