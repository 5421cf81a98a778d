"""The mix: more of what is accepted more often, nothing starved, the same from the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.preference.mix import Tallies, beliefs, beside_control, tallies_of, thompson

ASKED = np.array([2.0, 1.0, 1.0, 0.0])
NONE = Tallies(np.zeros(4), np.zeros(4))


def test_tallies_by_class() -> None:
    found = tallies_of(np.array([0, 0, 2, -1, 7, 2]), np.array([1, 0, 0.5, 1, 1, np.nan]), 3)
    assert (found.accepted.tolist(), found.judged.tolist()) == ([1, 0, 0.5], [2, 0, 1])


def draws(tallies: Tallies, segment: Tallies | None = None, starve: float = 0.25) -> np.ndarray:
    return np.stack([thompson(ASKED, tallies, starve, seed, segment) for seed in range(400)])


def test_beliefs_by_hand() -> None:
    yes, no = beliefs(Tallies(np.array([9.0, 0.0]), np.array([10.0, 0.0])))
    centre = 10 / 12
    assert yes == pytest.approx([9 + centre, centre])
    assert no == pytest.approx([2 - centre, 1 - centre])


def test_without_verdicts_it_is_what_was_asked_on_average() -> None:
    found = draws(NONE)
    assert found.sum(1) == pytest.approx(1)
    assert found.mean(0) == pytest.approx([0.5, 0.25, 0.25, 0], abs=0.05)
    assert found.std(0)[:3].min() > 0.03


def test_more_of_what_is_liked_and_nothing_starved() -> None:
    found = draws(Tallies(np.array([5.0, 190.0, 100.0, 0.0]), np.full(4, 200.0)))
    assert (found[:, :3] >= 0.25 * np.array([0.5, 0.25, 0.25]) - 1e-12).all()
    assert (found[:, 3] == 0).all()
    assert found.mean(0)[:3] == pytest.approx([0.125, 0.56, 0.31], abs=0.03)
    assert found.std(0).max() < 0.03


def test_a_segment_is_shrunk_to_all_of_them() -> None:
    everywhere = Tallies(np.array([100.0, 20.0, 100.0, 0.0]), np.full(4, 200.0))
    unknown = draws(everywhere, NONE)
    known = draws(everywhere, Tallies(np.array([0.0, 100.0, 50.0, 0.0]), np.full(4, 100.0)))
    assert unknown[:, 1].mean() < 0.15 < 0.4 < known[:, 1].mean()


@pytest.mark.parametrize("starve", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("value", [np.nan, np.inf, -5.0, 1e12])
def test_odd_tallies(value: float, starve: float) -> None:
    found = thompson(ASKED, Tallies(np.full(4, value), np.array([value, 3.0, 0.0, value])), starve, 0)
    assert found.sum() == pytest.approx(1)
    assert (found >= starve * ASKED / 4 - 1e-9).all()
    if starve == 1:
        assert found == pytest.approx(ASKED / 4)


def test_the_control_arm_keeps_what_was_asked() -> None:
    whole, without = beside_control(ASKED, np.array([0.1, 0.1, 0.8, 0.0]), 0.2)
    assert whole == pytest.approx([0.18, 0.13, 0.69, 0])
    assert whole * without == pytest.approx([0.1, 0.05, 0.05, 0])


def test_pure_and_seeded() -> None:
    assert (thompson(ASKED, NONE, 0.1, 7) == thompson(ASKED, NONE, 0.1, 7)).all()
    assert (thompson(ASKED, NONE, 0.1, 7) != thompson(ASKED, NONE, 0.1, 8)).any()
    with pytest.raises(ValueError, match="something should be asked"):
        thompson(np.zeros(4), NONE, 0.1, 0)
