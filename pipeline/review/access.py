"""Who is asking: by their session, by the word of a trusted server in front, or because nobody else can be."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from fastapi import Request

from pipeline.adapters.ratings import Ratings
from pipeline.adapters.ratings.people import Admitted
from pipeline.errors import ParamsError
from pipeline.review.faults import Refusal
from pipeline.review.rates import Limiter
from pipeline.review.serving import Serving, is_loopback
from pipeline.review.sessions import Session, Sessions, new_session
from pipeline.reviews import Reviewer

FRESH_S = 1.0  # so long after a reviewer was added or removed the old state may hold
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


class Asking(NamedTuple):
    reviewer: Reviewer
    session: Session
    has_session: bool


class Access:
    def __init__(self, ratings: Ratings, serving: Serving, sessions: Sessions, limiter: Limiter) -> None:
        self._ratings, self._serving, self._sessions, self._limiter = ratings, serving, sessions, limiter
        self._known: dict[str, Admitted] = {}
        self._asked_at, self._lock = -FRESH_S, threading.Lock()

    def asking(self, request: Request) -> Asking:
        """Counts the request. Raises Refusal, with 401 where they have to log in."""
        session = self._sessions.of(request)
        reviewer = self.reviewer(request, session)
        whose = ("reviewer", reviewer.name) if reviewer else ("address", address_of(request))
        self._limiter.take(self._serving.rates.session, *whose)
        if reviewer is None:
            raise Refusal(401, "nobody is logged in", "log in")
        return Asking(reviewer, session or new_session(), session is not None)

    def changing(self, request: Request) -> Asking:
        """The same, of what changes something: it has to come from a page of ours."""
        found = self.asking(request)
        self._sessions.check(request, request.headers.get("X-CSRF-Token", ""))
        return found

    def reviewer(self, request: Request, session: Session | None) -> Reviewer | None:
        known = self._reviewers()
        if named := self._told_by_proxy(request):
            if named not in known:
                raise Refusal(403, "you are no reviewer here", "who runs this page can add you: `genloop reviewer add`")
            return known[named].reviewer
        found = known.get(session.name) if session else None
        if session and found and found.since == session.stamp:
            return found.reviewer
        return self._local(request) if not known else None

    def session_of(self, reviewer: Reviewer) -> Session:
        """A new one, that lasts no longer than their token."""
        with self._lock:
            self._asked_at = -FRESH_S
        known = self._reviewers().get(reviewer.name)
        if known is None:
            raise Refusal(401, "you are no reviewer any more", "ask who runs this page")
        return new_session(reviewer.name, known.since)

    def can_leave(self, session: Session | None) -> bool:
        return session is not None and session.name != ""

    def _told_by_proxy(self, request: Request) -> str:
        proxy = self._serving.proxy
        told = request.headers.getlist(proxy.header) if proxy else []
        if proxy is None or not told:
            return ""
        if not proxy.trusts(address_of(request)) or len(told) > 1:
            raise Refusal(403, f"{proxy.header} is not taken from this address", "log in at the page's own address")
        return told[0]

    def _local(self, request: Request) -> Reviewer | None:
        """Only on this machine itself: no name that another site could give it, and nothing in front."""
        at_home = is_loopback(address_of(request)) and is_loopback(request.headers.get("host", ""))
        if not self._serving.local or not at_home or any(name in request.headers for name in FORWARDED):
            return None
        return Reviewer(name=self._serving.local, role="expert")

    def _reviewers(self) -> dict[str, Admitted]:
        with self._lock:
            if time.monotonic() - self._asked_at >= FRESH_S:
                self._known = self._ratings.admitted()
                self._asked_at = time.monotonic()
            return self._known


def address_of(request: Request) -> str:
    """Of who is connected; what headers say of others is not asked."""
    return request.client.host if request.client else ""


def check_guarded(ratings: Ratings, serving: Serving, host: str) -> None:
    """Raises ParamsError where anyone who reaches this address would get in, or nobody would."""
    if is_loopback(host) or serving.proxy or ratings.reviewers():
        return
    remedy = "add one with `genloop reviewer add NAME`, or serve on 127.0.0.1"
    raise ParamsError("no reviewer has a token, so this page stays on this machine", where=host, remedy=remedy)


def local_path(asked: str) -> str:
    """Where to go after logging in: on this server only."""
    is_ours = asked.startswith("/") and not asked.startswith(("//", "/\\")) and asked.isprintable()
    return asked if is_ours and "\\" not in asked else "/"
