"""What retention takes away, and why the rest stays: a decision on values alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, get_args

from pipeline.retention_params import Retention
from pipeline.values import Value

# In the order of their removal: what needs something goes before it.
Kind = Literal[
    "batches",
    "withdrawn",
    "unfinished",
    "models",
    "preferences",
    "runs",
    "snapshots",
    "remotes",
    "cache",
    "checkpoints",
    "pages",
    "temporary",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Key(NamedTuple):
    kind: Kind
    name: str


@dataclass(frozen=True)
class Thing:
    """at: when it was made, or last changed. needs: what it is of no use without. of: what it was made for: where none
    of that stays, its age does not keep it. group: within which the newest are counted. begun: its removal was."""

    key: Key
    at: datetime
    bytes: int = 0
    needs: frozenset[Key] = frozenset()
    of: frozenset[Key] = frozenset()
    group: str = ""
    begun: bool = False


@dataclass(frozen=True)
class Root:
    """What has to stay whatever its age, and why."""

    why: str
    keys: frozenset[Key]


@dataclass(frozen=True)
class Inventory:
    things: Mapping[Key, Thing] = field(default_factory=dict)
    roots: Sequence[Root] = ()


@dataclass(frozen=True)
class Plan:
    """goes: in the order in which to remove it; stays: each with its reason."""

    goes: tuple[Thing, ...]
    stays: Mapping[Key, str]


class Tally(Value):
    """Of a kind: how many go, of how many bytes, the oldest of them (ISO 8601); how many stay, and of which reasons."""

    goes: int
    bytes: int
    oldest: str
    stays: int
    stays_bytes: int
    why: dict[str, int]


def inventory_of(things: Iterable[Thing], roots: Iterable[Root]) -> Inventory:
    return Inventory({thing.key: thing for thing in things}, tuple(roots))


def plan(inventory: Inventory, policy: Retention, now: datetime) -> Plan:
    """What a root names stays, what is young or among the newest, and all that something which stays needs."""
    things, stays = inventory.things, dict[Key, str]()
    for root in inventory.roots:
        for key in sorted(root.keys & things.keys()):
            stays.setdefault(key, root.why)
    _with_needs(things, stays)
    ranks = _ranks(things.values())
    while True:  # by what is known to stay now, more of what was made for that may
        before = len(stays)
        for key, thing in things.items():
            judged = key not in stays and not thing.begun and (not thing.of or thing.of & stays.keys())
            if judged and (why := _by_age(thing, policy, now, ranks[key])):
                stays[key] = why
        _with_needs(things, stays)
        if len(stays) == before:
            break
    goes = [thing for thing in things.values() if thing.key not in stays]
    return Plan(tuple(sorted(goes, key=lambda thing: (KINDS.index(thing.key.kind), thing.at, thing.key))), stays)


def tallies(inventory: Inventory, planned: Plan) -> dict[Kind, Tally]:
    """By kind, of those that there are any of."""
    going = {thing.key for thing in planned.goes}
    found = {}
    for kind in KINDS:
        all_ = [thing for key, thing in inventory.things.items() if key.kind == kind]
        goes, stays = [t for t in all_ if t.key in going], [t for t in all_ if t.key not in going]
        if all_:
            found[kind] = Tally(
                goes=len(goes),
                bytes=sum(thing.bytes for thing in goes),
                oldest=min(thing.at for thing in goes).isoformat(timespec="seconds") if goes else "",
                stays=len(stays),
                stays_bytes=sum(thing.bytes for thing in stays),
                why=dict(Counter(planned.stays[thing.key] for thing in stays).most_common()),
            )
    return found


def needed_by(inventory: Inventory, keys: Iterable[Key]) -> set[Key]:
    """These, and all that they need."""
    found = dict.fromkeys(keys, "")
    _with_needs(inventory.things, found)
    return set(found)


def _with_needs(things: Mapping[Key, Thing], stays: dict[Key, str]) -> None:
    """Add all that is needed by what stays, directly or by way of others."""
    open_ = list(stays)
    while open_:
        key = open_.pop()
        for need in sorted(things[key].needs):
            if need in things and need not in stays:
                stays[need] = f"needed by {key.kind}"
                open_.append(need)


def _ranks(things: Iterable[Thing]) -> dict[Key, int]:
    """The place of each in its group, 0 is the newest; what is going already does not count."""
    groups, ranks = defaultdict[tuple[Kind, str], list[Thing]](list), dict[Key, int]()
    for thing in things:
        groups[thing.key.kind, thing.group].append(thing)
    for group in groups.values():
        for rank, thing in enumerate(sorted(group, key=lambda thing: (thing.begun, -thing.at.timestamp(), thing.key))):
            ranks[thing.key] = rank
    return ranks


def _by_age(thing: Thing, policy: Retention, now: datetime, rank: int) -> str:
    """Why it stays for what it is alone; empty where nothing keeps it."""
    keep = getattr(policy, thing.key.kind)
    if keep.days == 0:
        return "kept for good"
    if now - thing.at < timedelta(days=keep.days):
        return f"younger than {keep.days} days"
    return f"one of the newest {keep.newest}" if rank < keep.newest else ""
