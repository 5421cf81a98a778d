"""One row of feedback, as a file or a request tells it: an outcome, a verdict, or the reason why it is neither.

Names of columns and keys, in any case: those of `Outcome` and `Verdict`, and `ALIASES`. What a row says nothing of is
empty, null or left out. Tags are a list, or one text with `;`, `,` or `|` between them. Times are ISO 8601; without a
time zone, as spreadsheets have them, they are UTC. A formula is a text as any other: nothing here computes one, and
who writes texts to a spreadsheet has to mind them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.errors import SourceError
from pipeline.reviews import Choice, Outcome, Refused, Verdict

Told = Outcome | Verdict | Choice

ALIASES = {
    "item_id": "item",
    "date": "at",
    "time": "at",
    "timestamp": "at",
    "views": "impressions",
    "user": "reviewer",
    "comment": "note",
}
SHARED, COUNTED = ("item", "at"), ("impressions", "clicks", "conversions", "revenue")
SAID = ("accepted", "rating", "tags", "note")
KNOWN = frozenset((*SHARED, "source", "reviewer", *COUNTED, *SAID))
ACCEPTED = {"accept": True, "accepted": True, "reject": False, "rejected": False}
EARLIEST, AHEAD = datetime(2000, 1, 1, tzinfo=UTC), timedelta(days=1)  # of clocks that are wrong
MOST_REVENUE = 1e12  # sums of it stay finite
SHOWN, TIME_SIGNS = 500, 40
BOM = b"\xef\xbb\xbf"


class Raw(NamedTuple):
    """A row as it was found. place: from 1; text: of it, to show; fault: why it is none."""

    place: int
    cells: Mapping[str, Any]
    text: str
    fault: str = ""


def told(raw: Raw, now: datetime) -> Outcome | Verdict:
    """Raises ValueError, with the reason, where the row is no outcome and no verdict."""
    if raw.fault:
        raise ValueError(raw.fault)
    given = {key: _stripped(value) for key, value in raw.cells.items()}
    return _made({key: value for key, value in given.items() if value is not None and value != ""}, now)


def refused(raw: Raw, name: str, error: ValueError) -> Refused:
    return Refused(file=name, place=raw.place, row=shown(raw.text), reason=shown(_reason(error)))


def columns_of(names: Iterable[object], where: str) -> list[str]:
    """The columns of a table by our names. Raises SourceError where it can't be one of outcomes or of verdicts."""
    found = [_ours(str(name)) for name in names]
    fault = _unknown(found) or _missing(found)
    if fault:
        remedy = f"a table of outcomes has {_list(('source', *COUNTED))}, one of verdicts {_list(('reviewer', *SAID))}"
        raise SourceError(fault, where=where, remedy=f"{remedy}, both {_list(SHARED)}")
    return found


def keys_of(cells: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object's cells by our names. Raises ValueError where a key is unknown or there twice."""
    names, fault = _names(tuple(cells))
    if fault:
        raise ValueError(fault)
    return dict(zip(names, cells.values(), strict=True))


@lru_cache(64)  # row after row has the same
def _names(keys: tuple[str, ...]) -> tuple[list[str], str]:
    names = list(map(_ours, keys))
    return names, _unknown(names)


def moment(value: object, now: datetime) -> datetime:
    """In UTC. Raises ValueError where it is none, or before 2000 or more than a day ahead: such a one would stay the
    last word for ever."""
    if isinstance(value, str) and len(value) <= TIME_SIGNS:
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise ValueError("at: should be a time in ISO 8601, such as 2026-11-25T08:30:00Z")
    value = value if value.tzinfo else value.replace(tzinfo=UTC)
    if not EARLIEST <= value <= now + AHEAD:
        raise ValueError("at: should be after 1999 and not in the future")
    return value.astimezone(UTC)


def shown(text: str) -> str:
    """Cut, and nothing in it that a terminal, a page or a database could stumble over."""
    cut = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in cut)


def check_text(text: str) -> str:
    """Raises ValueError where a database would not take it."""
    if "\0" in text:
        raise ValueError("a NUL in it")
    if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
        raise ValueError("not UTF-8: save the file as UTF-8")
    return text


def _made(cells: dict[str, Any], now: datetime) -> Outcome | Verdict:
    if ("source" in cells) == ("reviewer" in cells):
        raise ValueError("should have a source, as outcomes have, or a reviewer, as verdicts have")
    for key in (*COUNTED, "rating"):
        if isinstance(cells.get(key), bool):
            raise ValueError(f"{key}: should be a number")
    cells["at"] = moment(cells.get("at"), now)
    if "reviewer" in cells:
        return _verdict(cells)
    if not any(key in cells for key in COUNTED):
        raise ValueError(f"should have one of {_list(COUNTED)}")
    found = Outcome(**cells)
    if abs(found.revenue) > MOST_REVENUE:
        raise ValueError(f"revenue: should be at most {MOST_REVENUE:g}")
    return found


def _verdict(cells: dict[str, Any]) -> Verdict:
    tags, accepted = cells.get("tags"), cells.get("accepted")
    if isinstance(tags, str):
        cells["tags"] = tuple(filter(None, map(str.strip, re.split("[;,|]", tags))))
    elif isinstance(tags, list):
        cells["tags"] = tuple(map(_stripped, tags))
    if isinstance(accepted, str):
        cells["accepted"] = ACCEPTED.get(accepted.lower(), accepted)
    return Verdict(**cells)


def _stripped(value: object) -> object:
    return check_text(value).strip() if isinstance(value, str) else value


def _ours(name: str) -> str:
    name = name.strip().lower()
    return ALIASES.get(name, name)


def _unknown(names: list[str]) -> str:
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        return f"{_list(doubled)}: there more than once"
    if strange := sorted(set(names) - KNOWN):
        return f"{_list(strange)}: not known"
    return ""


def _missing(names: list[str]) -> str:
    if left_out := [name for name in SHARED if name not in names]:
        return f"{_list(left_out)}: not there"
    return "" if ("source" in names) != ("reviewer" in names) else "source or reviewer: one of them should be there"


def _list(names: Iterable[str]) -> str:
    return ", ".join(shown(name)[:40] or "a column without a name" for name in list(names)[:12])


def _reason(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(_clause(fault) for fault in error.errors(include_url=False))


def _clause(fault: ErrorDetails) -> str:
    key, message = ".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")
    if key == "item" and fault["type"] == "string_pattern_mismatch":
        message = "is no item's name, such as 0123456789abcdef-00000042"
    return f"{key}: {message}" if key else message
