"""Bodies of `POST /events`, signed by who sends them: HMAC-SHA256 over the time of sending and the body.

The header is `t=<seconds since 1970>,v1=<64 hex digits>`; the digits are of the HMAC, by the shared secret, over
`<seconds>.` and the body's bytes as they are sent. A sender that changes its secret may send a v1 by each of two; a
receiver may know several. What is sent again within the tolerance is told again, which changes nothing: an outcome of
the same source, item and time, and a verdict of the same reviewer, item and time, count once.
"""

from __future__ import annotations

import hmac
import io
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum

from pipeline.errors import GenloopError, SourceError
from pipeline.feedback.imports import read_feedback
from pipeline.feedback.json_rows import parsed
from pipeline.feedback.rows import BOM, Told
from pipeline.reviews import Refused

HEADER = "Genloop-Signature"
TOLERANCE_S = 300
MOST_BYTES = 2**20
SECRET_SIGNS = 16  # at least; 32 random bytes in hex are 64
FORM = re.compile(r"t=(\d{1,12})((?:,v1=[0-9a-f]{64}){1,8})", re.ASCII)


class Why(Enum):
    """What is wrong; its value may be told to who sent it."""

    TOO_LARGE = f"the body has more than {MOST_BYTES} bytes"
    NO_HEADER = f"{HEADER} should be t=<seconds>,v1=<hex>"
    TOO_OLD = f"signed more than {TOLERANCE_S} s ago"
    AHEAD = f"signed more than {TOLERANCE_S} s ahead of this clock"
    WRONG = "not signed by a secret that is known here"
    NO_SECRET = "no secret is set here, so nothing is taken"


class SignatureError(GenloopError):
    """A body that is not to be believed."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.value, remedy="see the README on events")
        self.why = why

    def __reduce__(self) -> tuple[type[SignatureError], tuple[Why]]:
        return type(self), (self.why,)


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """The header for a body that is sent at this time, in seconds since 1970."""
    return f"t={timestamp},v1={_digest(secret, str(timestamp), body)}"


def check(secrets: str | Sequence[str], header: str, body: bytes, now: float) -> None:
    """Raises SignatureError unless one of the secrets signed this body less than TOLERANCE_S from now, in seconds since
    1970. Takes as long whichever secret fits and however much of a signature does. Secrets that are too short to be
    any are passed over."""
    known = [secret for secret in ([secrets] if isinstance(secrets, str) else secrets) if len(secret) >= SECRET_SIGNS]
    if not known:
        raise SignatureError(Why.NO_SECRET)
    if len(body) > MOST_BYTES:
        raise SignatureError(Why.TOO_LARGE)
    form = FORM.fullmatch(header)
    if not form:
        raise SignatureError(Why.NO_HEADER)
    told = [part.removeprefix("v1=") for part in form[2].split(",")[1:]]
    ours = [_digest(secret, form[1], body) for secret in known]
    if not sum(hmac.compare_digest(one, other) for one in ours for other in told):  # `any` would stop at the first
        raise SignatureError(Why.WRONG)
    if abs(now - int(form[1])) > TOLERANCE_S:
        raise SignatureError(Why.TOO_OLD if now > int(form[1]) else Why.AHEAD)


def read_events(body: bytes, now: datetime) -> Iterator[Told | Refused]:
    """Of a body of one JSON object, of one a line, or of an array of them. Raises SourceError where it is no JSON."""
    if body.removeprefix(BOM).lstrip()[:1] not in (b"{", b"["):
        raise SourceError("neither a JSON object, nor one a line, nor a list", where="body")
    return read_feedback(io.BytesIO(_on_one_line(body)), "body", now)


def _on_one_line(body: bytes) -> bytes:
    """One object may be spread over lines, as people and some libraries write it."""
    try:
        single = isinstance(parsed(body.decode("utf-8-sig")), dict)
    except ValueError:
        return body
    return b" ".join(body.split(b"\n")) if single else body


def _digest(secret: str, timestamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, "sha256").hexdigest()
