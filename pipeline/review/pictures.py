"""GET /images/ITEM: an item's image, at an address that this server signed."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import RedirectResponse, Response

from pipeline.review.access import address_of
from pipeline.review.addresses import Size
from pipeline.review.faults import Refusal, told
from pipeline.review.guards import content_policy
from pipeline.review.place import Place
from pipeline.review.serving import is_loopback
from pipeline.review.shelf import PRESIGNED_S
from pipeline.reviews import ITEM

Item = Annotated[str, Path(pattern=rf"^{ITEM.pattern}$", max_length=240)]
ALONE = {"Content-Security-Policy": "default-src 'none'; sandbox", "Content-Disposition": "inline"}
IMAGES: dict[str, Any] = {"image/png": {}, "image/jpeg": {}, "image/webp": {}}
GONE = Refusal(404, "no such item", "it was withdrawn, or never was")


def pictures(place: Place) -> APIRouter:
    router = APIRouter(responses=told(404))

    @router.get(
        "/images/{item}",
        response_class=Response,
        responses={200: {"content": IMAGES}, 307: {"description": "it is an object of its own, here"}},
    )
    def image(
        request: Request,
        item: Item,
        until: Annotated[int, Query(ge=0, le=2**40)],
        sig: Annotated[str, Query(max_length=100)],
        size: Size = "full",
    ) -> Response:
        place.limiter.take(place.serving.rates.images, "images", address_of(request))
        left_s = place.addresses.check(item, size, until, sig)
        if place.desk.is_hidden(item):
            raise GONE
        if size == "full" and (address := place.shelf.address(item)) and is_reachable(place, request, address):
            kept_s = min(left_s, PRESIGNED_S // 2)
            return RedirectResponse(address, 307, {"Cache-Control": f"private, max-age={kept_s}"})
        found = place.shelf.picture(item, small=size == "small")
        if found is None:
            raise GONE
        headers = {**ALONE, "Cache-Control": f"private, max-age={left_s}, immutable"}
        return Response(found.data, media_type=found.content_type, headers=headers)

    return router


def page_policy(place: Place, request: Request, batch: str) -> str:
    """The content policy of a page that shows items of a batch: images also from where they are objects."""
    address = place.shelf.origin_of(batch)
    if address is None or not is_reachable(place, request, address):
        return content_policy()
    parts = urlsplit(address)
    return content_policy((f"{parts.scheme}://{parts.netloc}",))


def is_reachable(place: Place, request: Request, address: str) -> bool:
    """Whether the browser that asks can get an object there: not this machine's own unless it is on it, and no plain
    HTTP from a page that came by HTTPS."""
    parts, at_home = urlsplit(address), is_loopback(request.headers.get("host", ""))
    secure = place.serving.secure or request.url.scheme == "https"
    if parts.scheme not in ("http", "https") or (secure and parts.scheme == "http"):
        return False
    return at_home or not is_loopback(parts.netloc)
