"""Rows of files and of other systems, written: what they tell, and apart from it what is none of that, with the reason.
All on an open transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, and_, delete, insert, select

from pipeline.adapters.ratings.choosing import choose
from pipeline.adapters.ratings.log import BLOCK, advance, enrolled, row_of, unsaid, upsert, utc
from pipeline.adapters.ratings.saying import record
from pipeline.adapters.ratings.tables import outcomes, quarantine, said
from pipeline.adapters.ratings.texts import cleaned
from pipeline.reviews import Choice, Outcome, Refused, Verdict

OUTCOME = "outcome"
TEXT = 2000  # characters kept of a refused row

Row = Outcome | Verdict | Choice | Refused


class Imported(NamedTuple):
    """How many rows were new, and changed; and those of items that are not enrolled, which are left out."""

    new: int
    changed: int
    strangers: Sequence[Outcome | Verdict | Choice]


def take_in(connection: Connection, file: str, some: Sequence[Row]) -> dict[str, int]:
    """How many were new, changed, the same and refused."""
    refused = [one for one in some if isinstance(one, Refused)]
    counted = tell_outcomes(connection, file, [one for one in some if isinstance(one, Outcome)])
    judged = import_verdicts(connection, [one for one in some if isinstance(one, Verdict)])
    chosen = import_choices(connection, [one for one in some if isinstance(one, Choice)])
    strangers = [
        Refused(file=file, place=-1, row=one.model_dump_json(), reason="no such item is in review")
        for one in (*counted.strangers, *judged.strangers, *chosen.strangers)
    ]
    put_aside(connection, file, [*refused, *strangers])
    new, changed, bad = counted.new + judged.new + chosen.new, counted.changed, len(refused) + len(strangers)
    return {"new": new, "changed": changed, "refused": bad, "same": len(some) - new - changed - bad}


def import_verdicts(connection: Connection, told: Sequence[Verdict]) -> Imported:
    """The same again says nothing twice."""
    known = enrolled(connection, {verdict.item for verdict in told})
    by_key = {key_of(verdict): verdict for verdict in told if verdict.item in known}
    fresh = unsaid(connection, by_key)
    record(connection, list(fresh.values()), list(fresh))
    return Imported(len(fresh), 0, [verdict for verdict in told if verdict.item not in known])


def import_choices(connection: Connection, told: Sequence[Choice]) -> Imported:
    """The same again says nothing twice."""
    known = enrolled(connection, {item for choice in told for item in (choice.better, choice.worse)})
    mine = {key_of(choice): choice for choice in told if {choice.better, choice.worse} <= known}
    fresh = unsaid(connection, mine)
    for key, choice in fresh.items():
        choose(connection, choice, key)
    return Imported(len(fresh), 0, [choice for choice in told if not {choice.better, choice.worse} <= known])


def tell_outcomes(connection: Connection, file: str, told: Sequence[Outcome]) -> Imported:
    """Of one source, item and time the last one counts; what this file told before changes nothing."""
    by_key = unsaid(connection, {_told_by(file, one): one for one in told})
    known = enrolled(connection, {one.item for one in by_key.values()})
    before = _counted(connection, {one.item for one in by_key.values()} & known)
    now, new = dict(before), list[tuple[str, Outcome]]()
    for key, one in by_key.items():
        if one.item in known and now.get(_what(one)) != one.model_dump_json():
            now[_what(one)] = one.model_dump_json()
            new.append((key, one))
    if new:
        rows = list(enumerate(new, advance(connection, len(new))))
        connection.execute(
            insert(said),
            [row_of(n, key, OUTCOME, one.item, one.source, one.at, one.model_dump_json()) for n, (key, one) in rows],
        )
        last = {_what(one): {"position": n, "body": one.model_dump_json()} for n, (_, one) in rows}
        names = ("source", "item", "at")
        upsert(connection, outcomes, [dict(zip(names, what, strict=True)) | row for what, row in last.items()])
    first = len(now) - len(before)
    return Imported(first, len(new) - first, [one for one in by_key.values() if one.item not in known])


def _what(one: Outcome) -> tuple[str, str, datetime]:
    return one.source, one.item, one.at


def _counted(connection: Connection, names: set[str]) -> dict[tuple[str, str, datetime], str]:
    found: dict[tuple[str, str, datetime], str] = {}
    ordered = sorted(names)
    for start in range(0, len(ordered), BLOCK):
        some = select(outcomes).where(outcomes.c.item.in_(ordered[start : start + BLOCK]))
        found |= {(row.source, row.item, utc(row.at)): row.body for row in connection.execute(some)}
    return found


def _told_by(file: str, one: Outcome) -> str:
    told = f"{file} {one.model_dump_json()}".encode("utf-8", "surrogatepass")
    return f"outcome-{hashlib.sha256(told).hexdigest()}"


def key_of(told: Verdict | Choice) -> str:
    return f"import-{hashlib.sha256(told.model_dump_json().encode()).hexdigest()}"


def put_aside(connection: Connection, file: str, rows: Sequence[Refused]) -> None:
    """One of no place of its own gets one by its content, so that it is kept once."""
    name = cleaned(file, 255)
    values = {
        _place(one): {
            "file": name,
            "place": _place(one),
            "row": cleaned(one.row, TEXT),
            "reason": cleaned(one.reason, TEXT),
        }
        for one in rows
    }
    if values:
        connection.execute(
            delete(quarantine).where(and_(quarantine.c.file == name, quarantine.c.place.in_(list(values))))
        )
        connection.execute(insert(quarantine), list(values.values()))


def _place(one: Refused) -> int:
    if one.place >= 0:
        return one.place
    return -1 - int(hashlib.sha256(one.row.encode("utf-8", "surrogatepass")).hexdigest()[:7], 16)


def refused(connection: Connection, file: str) -> list[Refused]:
    """Of a file, or of all."""
    asked = select(quarantine).order_by(quarantine.c.file, quarantine.c.place)
    rows = connection.execute(asked.where(quarantine.c.file == file) if file else asked)
    return [Refused(file=row.file, place=row.place, row=row.row, reason=row.reason) for row in rows]
