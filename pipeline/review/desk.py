"""What lies on a reviewer's desk: batches and how far they are, items to judge, pairs to choose from."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Literal

from pydantic import Field

from pipeline.adapters.ratings import Ratings
from pipeline.adapters.ratings.reading import Progress as Counted
from pipeline.adapters.ratings.standing import Standing
from pipeline.feedback_params import Review
from pipeline.review import told
from pipeline.review.addresses import Addresses
from pipeline.review.faults import Refusal
from pipeline.reviews import Enrolled, Reviewer, Verdict
from pipeline.values import Value

PAGE, MOST = 60, 5000  # items in one answer; that a page may have already
POOL, TURNS, PAIRS = 300, 12, 20  # items that pairs are made of; how often each; pairs in one answer
QUICK_S, REST = (
    0.05,
    20,
)  # counting that is quicker is done anew after each verdict; else it may take 1 / REST of the time
NOBODY = Standing(0, 0, 0, False)
SHOWS = (("todo", "what is to be judged"), ("quarrels", "what two disagree on"), ("mine", "what I said"))
PICKS = (
    ("", "what the model is least sure of, and some at random"),
    ("unsure", "only what it is unsure of"),
    ("random", "only what is drawn at random"),
)
DOUBTS = (("0", "any"), ("0.5", "0.5 and more"), ("1", "1 and more"), ("2", "2 and more"))


class Filters(Value):
    """label: a class, or all; pick: why an item is shown; doubt: the model's, at least, in logits."""

    show: Literal["todo", "quarrels", "mine"] = "todo"
    label: Annotated[str, Field(max_length=500)] = ""
    pick: Literal["", "unsure", "random"] = ""
    doubt: Annotated[float, Field(ge=0, le=100)] = 0.0

    @property
    def count(self) -> int:
        """That let not everything through."""
        return sum((self.show != "todo", bool(self.label), bool(self.pick), self.doubt > 0))


class Asked(Filters):
    """have: items that the page has and that are not judged yet: so many more are needed to find others."""

    have: Annotated[int, Field(ge=0, le=MOST)] = 0


class Choosing(Value):
    """A filter as the page shows it: values and what they mean."""

    name: str
    title: str
    value: str
    choices: tuple[tuple[str, str], ...]


class Listed(Value):
    """A batch as the list shows it. needs: what is still to be done, in words."""

    id: str
    order: str
    model: str
    segments: str
    items: int
    judged: int
    wanted: int
    accepted: int
    quarrels: int
    mine: int
    needs: str
    is_done: bool

    @property
    def share(self) -> float | None:
        return self.accepted / self.judged if self.judged else None


class Desk:
    def __init__(self, ratings: Ratings, review: Review, addresses: Addresses) -> None:
        self._ratings, self._review, self._addresses = ratings, review, addresses
        self._counted: dict[str, list[Counted]] = {}
        self._good_until, self._took_s, self._lock = 0.0, 0.0, threading.Lock()

    def batches(self, me: Reviewer, segment: str | None = None) -> list[Listed]:
        """Those that need somebody first. segment: only of it; empty: of none."""
        mine, found = self._ratings.counts(me.name), self._progress().items()
        some = [(batch, rows) for batch, rows in found if segment is None or any(r.segment == segment for r in rows)]
        listed = [self._listed(batch, rows, mine.get(batch, 0)) for batch, rows in some]
        return sorted(listed, key=lambda one: (one.is_done, one.order, one.id))

    def segments(self) -> list[str]:
        """That batches are for; empty is for nobody in particular."""
        return sorted({one.segment for rows in self._progress().values() for one in rows})

    def batch(self, name: str, me: Reviewer) -> Listed:
        """Raises Refusal where it is not in review."""
        rows = self._progress().get(name)
        if not rows:
            raise Refusal(404, "no such batch is in review", "see the list of batches")
        return self._listed(name, rows, self._ratings.counts(me.name).get(name, 0))

    def changed(self) -> None:
        """Something was said: count anew, where that is no trouble."""
        with self._lock:
            if self._took_s < QUICK_S:
                self._good_until = 0.0

    def progress(self, batch: str) -> told.Progress:
        rows = self._progress().get(batch, [])
        return told.Progress(judged=_sum(rows, "judged"), wanted=self._wanted(rows), quarrels=_sum(rows, "quarrels"))

    def fields(self, batch: str, chosen: Filters) -> list[Choosing]:
        labels = (("", "every class"), *((label, label) for label in self._ratings.labels(batch)))
        doubt = f"{chosen.doubt:g}"
        return [
            Choosing(name="show", title="Show", value=chosen.show, choices=SHOWS),
            Choosing(name="label", title="Class", value=chosen.label, choices=labels),
            Choosing(name="pick", title="Chosen because", value=chosen.pick, choices=PICKS),
            Choosing(name="doubt", title="How unsure the model is", value=doubt, choices=DOUBTS),
        ]

    def is_hidden(self, item: str) -> bool:
        return self._ratings.is_withdrawn(item)

    def queue(self, batch: str, me: Reviewer, asked: Asked) -> told.Queue:
        limit = PAGE + asked.have
        if asked.show == "mine":
            found = self._said(batch, me, limit)
        elif asked.show == "quarrels":
            names = self._ratings.disputed(batch, me.name, limit)
            enrolled = self._ratings.enrolled(names)
            found = [enrolled[name] for name in names]
        else:
            found = self._waiting(batch, me, asked, limit)
        is_all = len(found) < limit
        if asked.show != "todo" and asked.label:
            found = [one for one in found if one.label == asked.label]
        return told.Queue(items=self.shown(found, batch, me), more=not is_all, progress=self.progress(batch))

    def item(self, item: str, me: Reviewer) -> told.Shown | None:
        found = self._ratings.item(item)
        shown = self.shown([found], found.batch, me) if found else ()
        return shown[0] if shown else None

    def pairs(self, batch: str, me: Reviewer, have: int) -> told.Pairs:
        """Of one class each, as far as there are two of it; none that this reviewer chose from before."""
        pool = self._ratings.queue(batch, me.name, 10**6, POOL)
        if len(pool) < POOL:
            pool = [*pool, *self._said(batch, me, POOL - len(pool))]
        before = {frozenset((one.better, one.worse)) for one in self._ratings.chosen() if one.reviewer == me.name}
        shown = {one.item: one for one in self.shown(pool, batch, me)}
        couples = _couples(list(shown.values()), f"{batch} {me.name}")
        fresh = (pair for pair in couples if frozenset(pair) not in before)
        some = islice(fresh, PAIRS + have)
        return told.Pairs(pairs=tuple(told.Pair(left=shown[a], right=shown[b]) for a, b in some))

    def shown(self, found: Sequence[Enrolled], batch: str, me: Reviewer) -> tuple[told.Shown, ...]:
        """As the page shows them, without those that are withdrawn."""
        said = {one.item: _said(one) for one in self._ratings.mine(me.name, batch)}
        stands = self._ratings.standing([one.item for one in found])
        return tuple(
            self._one(one, stands.get(one.item, NOBODY), said.get(one.item))
            for one in found
            if not stands.get(one.item, NOBODY).withdrawn
        )

    def _one(self, one: Enrolled, stands: Standing, mine: told.Said | None) -> told.Shown:
        return told.Shown(
            item=one.item,
            label=one.label,
            segment=one.segment,
            image=self._addresses.of(one.item),
            small=self._addresses.of(one.item, "small"),
            chance=one.chance,
            opinions=stands.verdicts - (mine is not None),
            quarrel=stands.is_disputed,
            mine=mine,
        )

    def _waiting(self, batch: str, me: Reviewer, asked: Asked, limit: int) -> list[Enrolled]:
        sampled = {"": None, "unsure": False, "random": True}[asked.pick]
        opinions, label = self._review.opinions, asked.label or None
        return self._ratings.queue(batch, me.name, opinions, limit, label, sampled, asked.doubt)

    def _said(self, batch: str, me: Reviewer, limit: int) -> list[Enrolled]:
        names = [one.item for one in self._ratings.mine(me.name, batch)[:limit]]
        enrolled = self._ratings.enrolled(names)
        return [enrolled[name] for name in names]

    def _progress(self) -> dict[str, list[Counted]]:
        """By batch."""
        with self._lock:
            began = time.monotonic()
            if began >= self._good_until:
                self._counted = {}
                for one in self._ratings.batches(self._review.opinions):
                    self._counted.setdefault(one.batch, []).append(one)
                now = time.monotonic()
                self._took_s = now - began
                self._good_until = now + REST * self._took_s
            return self._counted

    def _wanted(self, rows: Sequence[Counted]) -> int:
        return min(self._review.quorum, _sum(rows, "items"))

    def _listed(self, batch: str, rows: Sequence[Counted], mine: int) -> Listed:
        judged, wanted, quarrels = _sum(rows, "judged"), self._wanted(rows), _sum(rows, "quarrels")
        return Listed(
            id=batch,
            order=rows[0].order,
            model=", ".join(sorted({f"{one.model} v{one.version}" for one in rows})),
            segments=", ".join(sorted({one.segment for one in rows if one.segment})),
            items=_sum(rows, "items"),
            judged=judged,
            wanted=wanted,
            accepted=_sum(rows, "accepted"),
            quarrels=quarrels,
            mine=mine,
            needs=needs_of(wanted - judged, quarrels, self._review.opinions),
            is_done=judged >= wanted and not quarrels,
        )


def needs_of(left: int, quarrels: int, opinions: int) -> str:
    """What is still to be done, in words."""
    by = "" if opinions == 1 else f", each by {opinions} people"
    clauses = [f"{left:,} more to judge{by}"] if left > 0 else []
    if quarrels:
        are = "1 item is" if quarrels == 1 else f"{quarrels:,} items are"
        clauses.append(f"{are} in dispute: somebody who has not judged them yet is needed")
    return ". ".join(clauses) + "." if clauses else "Enough is judged; more does no harm."


def _couples(items: Sequence[told.Shown], seed: str) -> list[tuple[str, str]]:
    """Each item beside some others of its class, or, where a class has one only, of any."""
    drawn = random.Random(hashlib.sha256(seed.encode()).hexdigest())
    by_label: dict[str | None, list[str]] = {}
    for one in sorted(items, key=lambda item: item.item):
        by_label.setdefault(one.label, []).append(one.item)
    lonely = [names[0] for names in by_label.values() if len(names) == 1]
    groups = [names for names in (*by_label.values(), lonely) if len(names) > 1]
    for names in groups:
        drawn.shuffle(names)
    couples: list[tuple[str, str]] = []
    for step in range(1, TURNS):
        some = [pair for names in groups for pair in _beside(names, step)]
        drawn.shuffle(some)
        couples += some
    return couples


def _beside(names: Sequence[str], step: int) -> list[tuple[str, str]]:
    """Each with the one so many places on, in a ring, no two twice."""
    count = len(names) if 2 * step < len(names) else len(names) // 2 if 2 * step == len(names) else 0
    return [(names[i], names[(i + step) % len(names)]) for i in range(count)]


def _said(verdict: Verdict) -> told.Said:
    return told.Said(accepted=verdict.accepted, rating=verdict.rating, tags=verdict.tags, note=verdict.note)


def _sum(rows: Sequence[Counted], name: str) -> int:
    return sum(int(getattr(row, name) or 0) for row in rows)
