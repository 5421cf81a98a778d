"""How items stand, and the classes of the next batch by that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from pipeline.feedback.mixing import adapted_mix
from pipeline.feedback.votes import Vote, votes
from pipeline.feedback_params import Adapting
from pipeline.reviews import Enrolled, Verdict

AT = datetime(2026, 5, 4, tzinfo=UTC)
CLASSES = ("a", "b", "c")


def enrolled(place: int, label: str = "a", arm: str = "", segment: str = "") -> Enrolled:
    item = f"0123456789abcdef-{place:08d}"
    told = {"item": item, "batch": item[:16], "order": "samples", "place": place, "label": label}
    return Enrolled.model_validate({**told, "segment": segment, "model": "generator", "version": 1, "arm": arm})


def said(place: int, by: str, minutes: float, **more: object) -> tuple[Enrolled, Verdict]:
    one = enrolled(place)
    at = AT + timedelta(minutes=minutes)
    return one, Verdict.model_validate({"item": one.item, "reviewer": by, "at": at, **more})


def test_an_item_stands_as_most_say_of_it_in_the_order_of_their_first_word() -> None:
    found = votes(
        [
            said(1, "ann", 5, accepted=True),
            said(2, "ann", 1, rating=2),
            said(1, "bob", 2, accepted=False),
            said(1, "cleo", 9, rating=5),
            said(3, "ann", 3, note="nothing of it"),
            said(4, "ann", 4, rating=3),
            said(5, "ann", 6, accepted=True, concern="harmful"),
        ]
    )
    told = [(vote.item.place, vote.balance, vote.accepted, vote.rejected) for vote in found]
    assert told == [(2, -1, False, True), (1, 1, True, False), (4, 0, False, False), (5, -1, False, True)]


def liked(label: str, yes: int, of: int, arm: str = "control", segment: str = "") -> list[Vote]:
    return [Vote(AT, enrolled(n, label, arm, segment), 1 if n < yes else -1) for n in range(of)]


def test_what_is_liked_is_made_more_often_and_the_control_arm_stays_as_asked() -> None:
    settings = Adapting(holdout=0.2, starve=0.25)
    asked = (0.5, 0.25, 0.25)
    told = [*liked("a", 5, 100), *liked("b", 90, 100), *liked("c", 50, 100)]
    mix, control = adapted_mix(told, CLASSES, asked, "", settings, seed=3)
    assert sum(mix) == pytest.approx(1)
    assert mix[1] > 0.4 and mix[0] < 0.3
    assert np.multiply(mix, control) == pytest.approx(0.2 * np.array(asked))


def test_items_taken_by_preference_do_not_tell_of_their_class() -> None:
    settings = Adapting()
    asked = (1 / 3, 1 / 3, 1 / 3)
    none = adapted_mix([], CLASSES, asked, "", settings, seed=3)
    assert adapted_mix(liked("a", 100, 100, "preferred"), CLASSES, asked, "", settings, seed=3) == none
    assert adapted_mix(liked("z", 100, 100), CLASSES, asked, "", settings, seed=3) == none
    assert adapted_mix(liked("a", 100, 100), CLASSES, asked, "", settings, seed=3) != none


def test_a_segment_has_a_mix_of_its_own() -> None:
    told = [*liked("a", 80, 100, segment="north"), *liked("b", 20, 100, segment="north")]
    told += [*liked("a", 20, 100, segment="south"), *liked("b", 80, 100, segment="south")]
    north, south = (adapted_mix(told, CLASSES, (0.5, 0.5, 0), name, Adapting(), 1)[0] for name in ("north", "south"))
    assert north[0] > 0.6 and south[1] > 0.6
