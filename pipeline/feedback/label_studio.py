"""Tasks of Label Studio's JSON export, with its `annotations` or, before version 1, `completions`.

Of each, results of type `choices` (what was decided, and else tags), `rating`, `textarea` (a note) and `pairwise`
count; what was drawn does not. Who skipped a task said nothing of it. The item is what `data` calls so, or the name of
a file in it; of a pair, the two that `data` calls left and right, or that are called alike but for 1 and 2, or a and b.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from pipeline.feedback.rows import Told, check_text, moment
from pipeline.reviews import ITEM, Choice, Verdict

YES = frozenset(["accept", "accepted", "approve", "approved", "good", "yes", "keep", "like", "ok"])
NO = frozenset(["reject", "rejected", "refuse", "refused", "bad", "no", "drop", "dislike"])
SUFFIX = re.compile(r"\.(png|jpe?g|webp)$", re.IGNORECASE)  # of a batch's files; an item's own name may have dots
SIDES = (("left", "right"), ("1", "2"), ("a", "b"))
KEYS = {"textarea": "text", "pairwise": "selected"}
MOST = 1000  # annotations of a task
LONGEST_URI = 4096


def is_task(cells: Mapping[str, Any]) -> bool:
    return "data" in cells and ("annotations" in cells or "completions" in cells)


def told_of_task(cells: Mapping[str, Any], now: datetime) -> Iterator[Told | ValueError]:
    """What each annotation says, or why it is not understood."""
    data, annotations = cells["data"], cells.get("annotations") or cells.get("completions") or []
    if not isinstance(data, dict) or not isinstance(annotations, list) or len(annotations) > MOST:
        yield ValueError(f"a task should have data, and a list of at most {MOST} annotations")
        return
    for annotation in annotations:
        try:
            yield from _told(data, annotation, now)
        except ValueError as error:
            yield error


def _told(data: dict[str, Any], annotation: object, now: datetime) -> list[Told]:
    results = annotation.get("result") if isinstance(annotation, dict) else None
    if not isinstance(annotation, dict) or not isinstance(results, list):
        raise ValueError("an annotation should be an object with a list of results")
    if annotation.get("was_cancelled") or annotation.get("skipped"):
        return []
    reviewer, at = _reviewer(annotation), _at(annotation, now)
    found: dict[str, list[Any]] = {}
    for result in results:
        kind = result.get("type") if isinstance(result, dict) else None
        if kind in ("choices", "rating", "textarea", "pairwise"):
            value = result.get("value")
            if not isinstance(value, dict):
                raise ValueError(f"a result of type {kind} should have an object as its value")
            said = value.get(KEYS.get(kind, kind))
            found.setdefault(kind, []).extend(said if isinstance(said, list) else [said])
    pairs = [_choice(data, side, reviewer, at) for side in found.pop("pairwise", [])]
    return [*pairs, *([_verdict(data, found, reviewer, at)] if found or not pairs else [])]


def _verdict(data: dict[str, Any], said: dict[str, list[Any]], reviewer: str, at: datetime) -> Verdict:
    words = [check_text(str(word)).strip() for word in said.get("choices", [])]
    decided = {word.lower() in YES for word in words if word.lower() in YES | NO}
    if len(decided) > 1 or len(said.get("rating", [])) > 1:
        raise ValueError("it says two things at once")
    return Verdict(
        item=_item(data),
        reviewer=reviewer,
        at=at,
        accepted=decided.pop() if decided else None,
        rating=next(iter(said.get("rating", [])), None),
        tags=tuple(word for word in words if word.lower() not in YES | NO),
        note=" ".join(check_text(str(text)) for text in said.get("textarea", [])),
    )


def _choice(data: dict[str, Any], side: object, reviewer: str, at: datetime) -> Choice:
    if side not in ("left", "right"):
        raise ValueError("of a pair, left or right should be selected")
    left, right = _pair(data)
    better, worse = (left, right) if side == "left" else (right, left)
    return Choice(better=better, worse=worse, reviewer=reviewer, at=at)


def _item(data: dict[str, Any]) -> str:
    named = data.get("item", data.get("item_id"))
    if named is not None:
        return str(named)
    found = set(_items(data).values())
    if len(found) != 1:
        raise ValueError("data should have the item's name, by key item or as the name of one file")
    return found.pop()


def _pair(data: dict[str, Any]) -> tuple[str, str]:
    items = _items(data)
    for one, other in SIDES:
        for key, item in items.items():
            if key.lower().endswith(one) and (beside := items.get(key[: -len(one)] + other)):
                return item, beside
    raise ValueError("data should have two items, by keys left and right, or such as image1 and image2")


def _items(data: dict[str, Any]) -> dict[str, str]:
    """By key: names that stand there, bare or as a file's in a path or an address."""
    found = {}
    for key, value in data.items():
        if isinstance(value, str) and len(value) <= LONGEST_URI:
            name = SUFFIX.sub("", PurePosixPath(urlsplit(value).path).name)
            if ITEM.fullmatch(name):
                found[key] = name
    return found


def _reviewer(annotation: dict[str, Any]) -> str:
    """By number where there is one: an export has it with or without the name."""
    by = annotation.get("completed_by")
    who = by.get("id", by.get("email")) if isinstance(by, dict) else by
    if who is None:
        who = annotation.get("created_username")
    if not isinstance(who, int | str) or isinstance(who, bool):
        raise ValueError("nobody is named who completed it")
    return f"label-studio-{re.sub('[^A-Za-z0-9_.-]+', '-', str(who).strip())}"


def _at(annotation: dict[str, Any], now: datetime) -> datetime:
    at = annotation.get("updated_at") or annotation.get("created_at")
    if isinstance(at, int | float) and not isinstance(at, bool) and 0 <= at < 2**40:  # seconds, before version 1
        at = datetime.fromtimestamp(min(at, 2**34), UTC)
    return moment(at, now)
