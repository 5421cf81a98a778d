"""Sessions, in a signed cookie: nothing is kept of them on the server."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import NamedTuple

from fastapi import Request, Response
from itsdangerous import BadData, URLSafeTimedSerializer

from pipeline.review.faults import Refusal
from pipeline.review.serving import Serving

PLAIN, GUARDED = "genloop", "__Host-genloop"  # a browser takes the second over HTTPS only, and from this host only


class Session(NamedTuple):
    """name: who logged in, or empty; stamp: since when they have their token."""

    id: str
    name: str = ""
    stamp: str = ""


class Sessions:
    def __init__(self, serving: Serving) -> None:
        self._serving, self._key = serving, serving.secret.get_secret_value()
        self._signer = URLSafeTimedSerializer(self._key, "session", signer_kwargs={"digest_method": hashlib.sha256})

    def of(self, request: Request) -> Session | None:
        """What the cookie tells; None where it is missing, forged or too old."""
        kept = request.cookies.get(GUARDED if self._is_secure(request) else PLAIN)
        try:
            told = self._signer.loads(kept or "", max_age=self._serving.session_s)
        except BadData:
            return None
        return Session(*told) if isinstance(told, list) and len(told) == 3 else None

    def csrf(self, session: Session) -> str:
        """What a page of this session has to send with all that changes something."""
        return hmac.new(self._key, f"csrf {session.id}".encode(), hashlib.sha256).hexdigest()

    def check(self, request: Request, sent: str) -> Session:
        """Raises Refusal unless `sent` is the session's own."""
        session = self.of(request)
        if session is None or not hmac.compare_digest(self.csrf(session).encode(), sent.encode()):
            raise Refusal(403, "this page is too old, or not ours", "load it again")
        return session

    def keep(self, request: Request, response: Response, session: Session) -> None:
        """Let the browser send it from now on."""
        secure = self._is_secure(request)
        response.set_cookie(
            GUARDED if secure else PLAIN,
            str(self._signer.dumps(session)),
            max_age=self._serving.session_s,
            httponly=True,
            secure=secure,
            samesite="strict",
        )

    def end(self, request: Request, response: Response) -> None:
        secure = self._is_secure(request)
        name = GUARDED if secure else PLAIN
        response.delete_cookie(name, httponly=True, secure=secure, samesite="strict")

    def _is_secure(self, request: Request) -> bool:
        return self._serving.secure or request.url.scheme == "https"


def new_session(name: str = "", stamp: str = "") -> Session:
    return Session(secrets.token_urlsafe(16), name, stamp)
