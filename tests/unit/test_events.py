"""Signed bodies of events: only what a known secret signed just now is believed."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import SourceError
from pipeline.feedback.events import HEADER, MOST_BYTES, TOLERANCE_S, SignatureError, Why, check, read_events, sign
from pipeline.reviews import Outcome, Refused, Verdict

SECRET, OLD, BODY, NOW = "s" * 32, "o" * 32, b'{"item": "\xc3\xa9"}', 1_795_600_000
SIGNED = sign(SECRET, NOW, BODY)
CELLS = {"item": "0123456789abcdef-00000001", "source": "shop", "at": "2026-11-24T08:30:00Z", "impressions": 5}
CLOCK = datetime(2026, 11, 25, tzinfo=UTC)


def why(secrets: str | list[str], header: str, body: bytes, now: float) -> Why:
    with pytest.raises(SignatureError) as error:
        check(secrets, header, body, now)
    return error.value.why


def test_the_header_as_another_system_would_make_it() -> None:
    by_hand = hmac.new(SECRET.encode(), str(NOW).encode() + b"." + BODY, hashlib.sha256).hexdigest()
    assert f"t={NOW},v1={by_hand}" == SIGNED
    check(SECRET, SIGNED, BODY, NOW)


def test_a_known_vector() -> None:
    # RFC 4231, test case 2, has the key "Jefe"; here the time and the dot stand before its text.
    expected = hmac.new(b"Jefe", b"7.what do ya want for nothing?", "sha256").hexdigest()
    assert sign("Jefe", 7, b"what do ya want for nothing?") == f"t=7,v1={expected}"


@pytest.mark.parametrize("off", [0, TOLERANCE_S, -TOLERANCE_S, 0.5])
def test_it_holds_for_five_minutes_on_either_side(off: float) -> None:
    check([OLD, SECRET], SIGNED, BODY, NOW + off)


@pytest.mark.parametrize(
    ("secrets", "header", "body", "now", "expected"),
    [
        (SECRET, SIGNED, BODY, NOW + TOLERANCE_S + 1, Why.TOO_OLD),
        (SECRET, SIGNED, BODY, NOW - TOLERANCE_S - 1, Why.AHEAD),
        (SECRET, SIGNED, BODY + b" ", NOW, Why.WRONG),
        (SECRET, SIGNED.replace(f"t={NOW}", f"t={NOW + 1}"), BODY, NOW, Why.WRONG),
        (SECRET, SIGNED.replace(f"t={NOW}", f"t=0{NOW}"), BODY, NOW, Why.WRONG),
        (OLD, SIGNED, BODY, NOW, Why.WRONG),
        ([OLD, "x" * 16], SIGNED, BODY, NOW, Why.WRONG),
        (SECRET, sign(SECRET, NOW, b""), b"x" * (MOST_BYTES + 1), NOW, Why.TOO_LARGE),
        (SECRET, "", BODY, NOW, Why.NO_HEADER),
        (SECRET, SIGNED.upper(), BODY, NOW, Why.NO_HEADER),
        (SECRET, SIGNED[:-1], BODY, NOW, Why.NO_HEADER),
        (SECRET, SIGNED + "\n", BODY, NOW, Why.NO_HEADER),
        (SECRET, f"t={NOW}", BODY, NOW, Why.NO_HEADER),
        (SECRET, f"t={NOW},v1=", BODY, NOW, Why.NO_HEADER),
        (SECRET, f"t=-5,{SIGNED.partition(',')[2]}", BODY, NOW, Why.NO_HEADER),
        (SECRET, f"t=٥,{SIGNED.partition(',')[2]}", BODY, NOW, Why.NO_HEADER),
        (SECRET, f"t={NOW}" + ",v1=" * 10**6, BODY, NOW, Why.NO_HEADER),
        (SECRET, f"t={NOW}" + f",v1={'0' * 64}" * 9, BODY, NOW, Why.NO_HEADER),
        (SECRET, SIGNED.replace("v1", "v0"), BODY, NOW, Why.NO_HEADER),
        ("", sign("", NOW, BODY), BODY, NOW, Why.NO_SECRET),
        ([], SIGNED, BODY, NOW, Why.NO_SECRET),
        (["", "short"], sign("short", NOW, BODY), BODY, NOW, Why.NO_SECRET),
    ],
)
def test_what_is_not_to_be_believed_says_why(
    secrets: str | list[str], header: str, body: bytes, now: float, expected: Why
) -> None:
    assert why(secrets, header, body, now) is expected


def test_secrets_change_on_either_side_without_a_gap() -> None:
    both = f"{sign(OLD, NOW, BODY)},{SIGNED.partition(',')[2]}"
    for known in (SECRET, OLD, [SECRET, OLD]):
        check(known, both, BODY, NOW)
    assert why("x" * 16, both, BODY, NOW) is Why.WRONG


def test_nothing_of_a_secret_or_of_what_was_expected_is_told() -> None:
    with pytest.raises(SignatureError) as error:
        check(SECRET, sign(OLD, NOW, BODY), BODY, NOW)
    told = str(error.value)
    assert SECRET not in told
    assert SIGNED[-8:] not in told
    assert copy.copy(error.value).why is Why.WRONG
    assert HEADER in Why.NO_HEADER.value


@settings(deadline=None)
@given(st.binary(max_size=50), st.text(max_size=120), st.integers(0, 10**11))
def test_nothing_else_than_the_signature_is_one(body: bytes, header: str, now: int) -> None:
    assert why(SECRET, header, body, now) is Why.NO_HEADER
    check(SECRET, sign(SECRET, now, body), body, now)
    assert why(SECRET, sign(SECRET, now, body), body + b"\0", now) is Why.WRONG


def test_bodies_hold_the_rows_of_imports() -> None:
    verdict = {"item": CELLS["item"], "reviewer": "ann", "at": CELLS["at"], "accepted": True}
    one, other = json.dumps(CELLS), json.dumps(verdict)
    kinds = [Outcome, Verdict]
    assert [type(found) for found in read_events(f"{one}\n{other}".encode(), CLOCK)] == kinds
    assert [type(found) for found in read_events(f"[{one}, {other}]".encode(), CLOCK)] == kinds
    for single in (one, json.dumps(CELLS, indent=2), json.dumps(CELLS, indent=2).replace("\n", "\r\n")):
        (found,) = read_events(single.encode(), CLOCK)
        assert isinstance(found, Outcome)
        assert found.impressions == 5
    (found,) = read_events(json.dumps(CELLS | {"impressions": -1}).encode(), CLOCK)
    assert isinstance(found, Refused)
    assert (found.file, found.place) == ("body", 1)


@pytest.mark.parametrize("body", [b"", b"item,source,at\n", b"PAR1", b"7", b"{", b"[" * 10**6, b"\xff\xfe{", b"\0{}"])
def test_a_body_that_is_no_json_fails(body: bytes) -> None:
    with pytest.raises(SourceError):
        list(read_events(body, CLOCK))
