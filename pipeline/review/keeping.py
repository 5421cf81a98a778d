"""What reviewers say, kept: it is on the disk before they are told so, and what is said again under its key is not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.adapters.ratings import Ratings
from pipeline.review import told
from pipeline.review.desk import Desk
from pipeline.review.faults import Refusal
from pipeline.reviews import ITEM, Choice, Reviewer, Verdict

GONE = "no such item is in review: it may be withdrawn"
MOST_UNDONE = 1000  # verdicts of one reviewer on one item


class Keeping:
    def __init__(self, ratings: Ratings, desk: Desk) -> None:
        self._ratings, self._desk = ratings, desk

    def verdicts(self, sent: told.Verdicts, me: Reviewer) -> told.Kept:
        there, now = self._there([act.item for act in sent.acts]), datetime.now(UTC)
        good = [act for act in sent.acts if act.item in there]
        self._ratings.record([_verdict(act, me, now) for act in good], [_key(me, act.key) for act in good])
        refused = [told.NotKept(key=a.key, item=a.item, error=GONE) for a in sent.acts if a.item not in there]
        return self._kept(good, refused, [act.item for act in sent.acts])

    def choices(self, sent: told.Choices, me: Reviewer) -> told.Kept:
        there, now = self._there([item for act in sent.acts for item in (act.left, act.right)]), datetime.now(UTC)
        good = [act for act in sent.acts if {act.left, act.right} <= there]
        for act in good:
            for number, (better, worse) in enumerate(_ways(act)):
                choice = Choice(better=better, worse=worse, reviewer=me.name, at=now)
                self._ratings.choose(choice, _key(me, act.key, number))
        refused = [told.NotKept(key=a.key, item=a.left, error=GONE) for a in sent.acts if a not in good]
        return self._kept(good, refused, [act.left for act in sent.acts])

    def undo(self, sent: told.Undone, me: Reviewer) -> told.Kept:
        """What was never said is no fault: nothing stands then either."""
        there = self._there([act.item for act in sent.acts if act.item])
        good = [act for act in sent.acts if act.item is None or act.item in there]
        for act in good:
            if act.of is not None:
                for number in (0, 1):
                    self._ratings.unchoose(me.name, _key(me, act.of, number), _key(me, act.key, number))
            elif act.item is not None:
                self._take_back(act.item, me, act)
        refused = [told.NotKept(key=a.key, item=a.item or "", error=GONE) for a in sent.acts if a not in good]
        return self._kept(good, refused, [act.item for act in sent.acts if act.item])

    def concern(self, sent: told.ConcernOf, me: Reviewer) -> Verdict:
        """Kept; from now on the item is hidden. Raises Refusal where it is not in review."""
        made = Verdict(
            item=sent.item,
            reviewer=me.name,
            at=datetime.now(UTC),
            accepted=False,
            concern=sent.concern,
            note=sent.note,
        )
        if sent.item not in self._ratings.standing([sent.item]):
            raise Refusal(404, GONE)
        self._ratings.record([made], [_key(me, sent.key)])
        return made

    def history(self, item: str) -> told.History:
        """The last first. Those that were taken back, or said anew, are told as such."""
        if item not in self._ratings.standing([item]):
            raise Refusal(404, GONE)
        said: list[tuple[Verdict, bool]] = []
        standing: dict[str, list[int]] = {}
        for one in self._ratings.history(item):
            if one.kind == "verdict":
                standing.setdefault(one.by, []).append(len(said))
                said.append((Verdict.model_validate_json(one.body), False))
            elif one.kind == "undone" and standing.get(one.by):
                standing[one.by].pop()
        last = {places[-1] for places in standing.values() if places}
        past = tuple(_past(verdict, place in last) for place, (verdict, _) in enumerate(said))
        return told.History(item=item, said=past[::-1])

    def _take_back(self, item: str, me: Reviewer, act: told.UndoOf) -> None:
        for number in range(MOST_UNDONE if act.all else 1):
            if self._ratings.undo(me.name, item, _key(me, act.key, number)) is None:
                return

    def _there(self, names: Sequence[str]) -> set[str]:
        return {name for name, one in self._ratings.standing(names).items() if not one.withdrawn}

    def _kept(
        self,
        good: Sequence[told.SaidOf | told.ChoiceOf | told.UndoOf],
        refused: Sequence[told.NotKept],
        items: Sequence[str],
    ) -> told.Kept:
        self._desk.changed()
        batches = {found[1] for found in map(ITEM.fullmatch, items) if found}
        progress = self._desk.progress(batches.pop()) if len(batches) == 1 else None
        keys = tuple(act.key for act in good)
        return told.Kept(kept=keys, refused=tuple(refused), progress=progress)


def _verdict(act: told.SaidOf, me: Reviewer, now: datetime) -> Verdict:
    return Verdict(
        item=act.item,
        reviewer=me.name,
        at=now,
        accepted=act.accepted,
        rating=act.rating,
        tags=act.tags,
        note=act.note,
    )


def _ways(act: told.ChoiceOf) -> list[tuple[str, str]]:
    """Better and worse. Both alike is once each way, which in a Bradley-Terry model is no news of which is better."""
    ways = [(act.left, act.right), (act.right, act.left)]
    return {"left": ways[:1], "right": ways[1:], "equal": ways}[act.better]


def _key(me: Reviewer, key: str, number: int = 0) -> str:
    """Nobody says, or hides, a thing under another's key."""
    return hashlib.sha256(f"{me.name} {key} {number}".encode()).hexdigest()


def _past(verdict: Verdict, counts: bool) -> told.Past:
    return told.Past(
        reviewer=verdict.reviewer,
        at=verdict.at,
        accepted=verdict.accepted,
        rating=verdict.rating,
        tags=verdict.tags,
        note=verdict.note,
        concern=verdict.concern,
        counts=counts,
    )
