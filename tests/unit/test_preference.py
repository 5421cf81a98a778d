"""A preference: right where the truth is known, sane where little or nothing is, the same from the same evidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import GenloopError
from pipeline.feedback_params import Learning
from pipeline.preference.basis import make_basis
from pipeline.preference.evidence import Evidence, settled
from pipeline.preference.laplace import Rows, mode
from pipeline.preference.learn import learn
from pipeline.preference.model import ABOUT, ARRAYS, load_preference, save_preference
from pipeline.preference.scorecard import auc, calibration, scorecard

RANDOM = np.random.default_rng(0)
WIDE = (RANDOM.standard_normal((1200, 6)) * [5, 3, 2, 1, 1, 0.5] + 7).astype(np.float32)
LABELS = RANDOM.integers(0, 3, 1200)
LOGIT = WIDE[:, 1] - 7 + 1.5 * (LABELS - 1)
LIKED = (RANDOM.random(1200) < 1 / (1 + np.exp(-LOGIT))).astype(np.float64)
CLASSES = ("a", "b", "c")
SETTINGS = Learning()
AFTER = slice(600, 1200)


def trials(rows: NDArray[np.int64], liked: NDArray[np.float64], segment: int = -1) -> Evidence:
    return Evidence(
        features=WIDE,
        labels=LABELS,
        rows=rows,
        successes=liked,
        weights=np.ones(len(rows)),
        channels=np.zeros(len(rows), np.int64),
        segments=np.full(len(rows), segment),
        segment_names=("north", "south"),
        classes=CLASSES,
    )


def first(count: int) -> Evidence:
    return trials(np.arange(count), LIKED[:count])


def test_the_mode_and_its_spread_by_hand() -> None:
    # One weight, prior precision 1, 3 of 4 trials: the slope is 3 - 4 s(w) - w = 0 at 0.5674; H = 4 s (1 - s) + 1.
    found = mode(Rows(np.ones((1, 1)), np.array([3.0]), np.array([4.0]), np.zeros(1)), np.ones(1))
    w = float(found.mean[0])
    s = 1 / (1 + np.exp(-w))
    assert 3 - 4 * s - w == pytest.approx(0, abs=1e-4)
    assert found.precision[0, 0] == pytest.approx(4 * s * (1 - s) + 1, abs=1e-6)
    by_hand = 3 * np.log(s) + np.log(1 - s) - w * w / 2 - np.log(found.precision[0, 0]) / 2
    assert found.evidence == pytest.approx(by_hand, abs=1e-6)


def test_terms_do_not_know_the_unit_of_features() -> None:
    places = [make_basis(some, (4, 2), np.arange(3)).of(some, LABELS) for some in (WIDE, WIDE * 1000)]
    assert np.allclose(np.abs(places[0]), np.abs(places[1]), atol=1e-3)
    blocks = make_basis(WIDE, (4, 2), np.arange(3)).groups[:2]
    assert [np.square(places[0][:, block]).sum(1).mean() for block in blocks] == pytest.approx([1, 1], abs=0.01)


def test_it_finds_what_is_liked_and_is_calibrated() -> None:
    few, many = (learn(first(count), WIDE, SETTINGS) for count in (30, 600))
    truth = 1 / (1 + np.exp(-LOGIT[AFTER]))
    (few_chances, few_doubts), (chances, doubts) = (one.predict(WIDE[AFTER], LABELS[AFTER]) for one in (few, many))
    assert auc(truth > 0.5, few_chances)[0] > 0.7  # type: ignore[index]
    assert np.abs(chances - truth).mean() < 0.06
    assert np.abs(chances - truth).mean() < np.abs(few_chances - truth).mean()
    assert doubts.mean() < few_doubts.mean() / 2
    assert (few.trusted, learn(first(29), WIDE, SETTINGS).trusted) == (True, False)


def test_doubt_covers_the_truth_and_grows_outside() -> None:
    model = learn(first(200), WIDE, SETTINGS)
    chances, doubts = model.predict(WIDE[AFTER], LABELS[AFTER])
    logits = np.log(chances / (1 - chances)) * np.sqrt(1 + np.pi * doubts**2 / 8)
    assert 0.85 < np.mean(np.abs(logits - LOGIT[AFTER]) < 2 * doubts) <= 1
    far = model.predict(7 + 4 * (WIDE[AFTER] - 7), LABELS[AFTER])[1]
    assert far.mean() > 1.5 * doubts.mean()


def test_counts_are_as_many_trials() -> None:
    one = replace(first(300), successes=3 * LIKED[:300], weights=np.full(300, 3.0))
    rows = np.arange(300).repeat(3)
    thrice = trials(rows, LIKED[rows])
    assert learn(one, WIDE, SETTINGS).id == learn(thrice, WIDE, SETTINGS).id


def test_pairs_alone_teach_an_order() -> None:
    a, b = RANDOM.integers(0, 600, (2, 500))
    a, b = a[a != b], b[a != b]
    swap = LOGIT[a] < LOGIT[b]
    pairs = replace(
        trials(np.zeros(0, np.int64), np.zeros(0)),
        better=np.where(swap, b, a),
        worse=np.where(swap, a, b),
        pair_segments=np.full(len(a), -1),
        pair_weights=np.ones(len(a)),
    )
    chances, _ = learn(pairs, WIDE, SETTINGS).predict(WIDE[AFTER], LABELS[AFTER])
    assert np.corrcoef(chances, LOGIT[AFTER])[0, 1] > 0.85


def test_channels_share_taste_and_not_their_level() -> None:
    clicked = (RANDOM.random(600) < 1 / (1 + np.exp(4 - LOGIT[:600]))) * 1.0
    verdicts, every = trials(np.arange(600, 640), LIKED[600:640]), np.arange(640)
    both = replace(
        verdicts,
        rows=every,
        successes=np.concatenate([clicked, LIKED[600:640]]),
        weights=np.ones(640),
        channels=(every < 600).astype(np.int64),
        segments=np.full(640, -1),
        channel_names=("review", "click"),
    )
    alone, joined = (learn(one, WIDE, SETTINGS) for one in (verdicts, both))
    scores = [auc(LIKED[800:] > 0, one.predict(WIDE[800:], LABELS[800:])[0])[0] for one in (alone, joined)]  # type: ignore[index]
    assert scores[1] > scores[0]
    assert joined.predict(WIDE[800:], LABELS[800:])[0].mean() == pytest.approx(LIKED[800:].mean(), abs=0.12)
    assert joined.channels["click"] < joined.channels["review"] - 1
    assert joined.verdicts == 40


def test_segments_differ_where_they_are_known_and_else_are_the_whole() -> None:
    half = np.arange(1000)
    south = half % 2
    liked = np.where(south == 1, WIDE[:1000, 1] < 7, WIDE[:1000, 1] > 7).astype(np.float64)
    model = learn(replace(trials(half, liked), segments=south), WIDE, SETTINGS)
    for number, sign in ((model.segment("north"), 1), (model.segment("south"), -1)):
        chances, _ = model.predict(WIDE[1000:], LABELS[1000:], number)
        assert sign * np.corrcoef(chances, WIDE[1000:, 1])[0, 1] > 0.8
    few = replace(first(400), segments=np.where(np.arange(400) < 5, 1, -1))
    model = learn(few, WIDE, SETTINGS)
    whole, thin = (model.predict(WIDE[AFTER], LABELS[AFTER], number) for number in (-1, 1))
    assert model.segments == {}
    assert np.corrcoef(whole[0], thin[0])[0, 1] > 0.99
    assert (thin[1] > whole[1]).all()
    assert model.segment("nowhere") == -1


DEGENERATE = {
    "nothing": first(0),
    "all accepted": trials(np.arange(100), np.ones(100)),
    "all rejected": trials(np.arange(100), np.zeros(100)),
    "one verdict": first(1),
    "one class": replace(first(100), labels=np.zeros(1200, np.int64), classes=("a",)),
    "no class": replace(first(100), labels=np.full(1200, -1), classes=()),
    "many classes": replace(first(100), classes=tuple(map(str, range(2000)))),
    "constant": replace(first(100), features=np.ones((1200, 6), np.float32)),
    "not finite": replace(first(100), features=np.where(RANDOM.random((1200, 6)) < 0.3, np.nan, WIDE)),
    "infinite": replace(first(100), features=np.full((1200, 6), np.inf, np.float32)),
    "huge": replace(first(100), features=WIDE * np.float32(1e37)),
    "weights": replace(first(100), weights=np.tile([np.nan, np.inf, -1.0, 0.0, 1e12], 20)),
    "successes": replace(first(100), successes=np.tile([np.nan, np.inf, -7.0, 9.0, 1.0], 20)),
    "no review": replace(first(100), channel_names=("click",)),
    "a pair with itself": replace(
        first(50),
        better=np.zeros(1, np.int64),
        worse=np.zeros(1, np.int64),
        pair_segments=np.zeros(1, np.int64),
        pair_weights=np.ones(1),
    ),
}


@pytest.mark.parametrize("evidence", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("background", [WIDE, np.zeros((0, 6), np.float32)], ids=["background", "none"])
def test_odd_evidence_gives_sane_chances(evidence: Evidence, background: NDArray[np.float32], tmp_path: Path) -> None:
    model = learn(evidence, background, SETTINGS)
    asked = np.vstack([WIDE[:5], np.full((1, 6), np.nan), np.full((1, 6), 3e38)]).astype(np.float32)
    chances, doubts = model.predict(asked, np.array([0, 1, 2, -1, 99999, 0, 0]))
    assert ((chances > 0) & (chances < 1)).all()
    assert (np.isfinite(doubts) & (doubts >= 0)).all()
    save_preference(model, tmp_path)
    assert load_preference(tmp_path).id == model.id


def test_all_of_one_kind_are_told_as_such() -> None:
    accepted, rejected, nothing = (
        learn(DEGENERATE[name], WIDE, SETTINGS).predict(WIDE, LABELS)
        for name in ("all accepted", "all rejected", "nothing")
    )
    assert accepted[0].min() > 0.75
    assert rejected[0].max() < 0.25
    assert nothing[0] == pytest.approx(0.5)
    assert nothing[1].mean() > accepted[1].mean()


def test_same_evidence_same_preference_and_kept(tmp_path: Path) -> None:
    evidence = replace(first(300), segments=np.arange(300) % 2)
    one, two = (learn(evidence, WIDE, SETTINGS) for _ in range(2))
    other = learn(
        replace(evidence, successes=np.r_[1 - evidence.successes[:1], evidence.successes[1:]]), WIDE, SETTINGS
    )
    assert one.id == two.id != other.id
    shuffled = RANDOM.permutation(300)
    again = replace(
        evidence,
        rows=evidence.rows[shuffled],
        successes=evidence.successes[shuffled],
        segments=evidence.segments[shuffled],
    )
    assert learn(again, WIDE, SETTINGS).id == one.id
    assert save_preference(one, tmp_path / "kept") == one.id
    kept = load_preference(tmp_path / "kept")
    for segment in (-1, 0, 1):
        for ours, theirs in zip(one.predict(WIDE, LABELS, segment), kept.predict(WIDE, LABELS, segment), strict=True):
            assert (ours == theirs).all()
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [ABOUT, ARRAYS]


def test_what_is_damaged_is_refused(tmp_path: Path) -> None:
    save_preference(learn(first(50), WIDE, SETTINGS), tmp_path)
    arrays, about = (tmp_path / ARRAYS).read_bytes(), (tmp_path / ABOUT).read_text()
    for name, damaged in (
        (ARRAYS, arrays[:-1] + bytes([arrays[-1] ^ 1])),
        (ABOUT, about.replace('"trusted": true', '"trusted": false').encode()),
        (ABOUT, b"[]"),
        (ABOUT, b"{"),
        (ABOUT, b"{}"),
    ):
        (tmp_path / ARRAYS).write_bytes(arrays)
        (tmp_path / ABOUT).write_text(about)
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(GenloopError, match=r"preference.*learn it again"):
            load_preference(tmp_path)
    with pytest.raises(GenloopError, match="no preference can be read here"):
        load_preference(tmp_path / "nowhere")


def test_other_features_are_refused() -> None:
    with pytest.raises(GenloopError, match=r"features of 5, where it knows 6.*learn it again"):
        learn(first(50), WIDE, SETTINGS).predict(WIDE[:, :5], LABELS)


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no row outside"):
        trials(np.array([1200]), np.ones(1))
    with pytest.raises(ValueError, match="no name after"):
        replace(first(5), segments=np.full(5, 2))
    with pytest.raises(ValueError, match="all should be told"):
        replace(first(5), weights=np.ones(4))
    with pytest.raises(ValueError, match="make up"):
        replace(first(5), blocks=(5, 5))


def test_trials_are_settled() -> None:
    found = settled(trials(np.array([4, 2, 4, 4]), np.array([1.0, 2.0, 0.0, np.nan])))
    assert found.rows.tolist() == [2, 4]
    assert found.weights.tolist() == [1, 2]
    assert found.successes.tolist() == [1, 1]


def test_the_auc_and_the_calibration_by_hand() -> None:
    liked, chances = np.array([True, True, False, False, True]), np.array([0.9, 0.4, 0.4, 0.1, 0.8])
    value, (low, high) = auc(liked, chances)  # type: ignore[misc]
    assert value == pytest.approx(5.5 / 6)
    assert 0 < low < value < high < 1
    assert auc(np.ones(5, bool), chances) is None
    off, bins = calibration(np.tile([0.0, 1.0], 20), np.repeat([0.3, 0.6], 20))
    assert (off, bins) == (pytest.approx(0.15), 2)


def test_a_scorecard_by_what_was_held_out() -> None:
    card = scorecard(replace(first(400), segments=np.arange(400) // 345), WIDE, SETTINGS)
    best = auc(LIKED > 0, LOGIT)[0]  # type: ignore[index]
    low, high = card.intervals["auc"]
    assert low < best and high - low < 0.12
    assert card.metrics["log_loss"] < card.metrics["log_loss_base"] - 0.1
    assert card.metrics["calibration"] < 0.1
    assert (card.items, card.accepted, card.bins) == (400, int(LIKED[:400].sum()), 10)
    assert set(card.segments) == {"north", "south"}
    assert card.segments["south"].items == 55


def test_a_scorecard_of_noise_claims_nothing() -> None:
    noise = np.random.default_rng(1).integers(0, 2, 400).astype(np.float64)
    card = scorecard(trials(np.arange(400), noise), WIDE, SETTINGS)
    low, high = card.intervals["auc"]
    assert low < 0.5 < high or abs(card.metrics["auc"] - 0.5) < 0.06
    assert card.metrics["log_loss"] > card.metrics["log_loss_base"] - 0.02


@pytest.mark.parametrize("name", ["nothing", "all accepted", "all rejected", "one verdict", "no review", "weights"])
def test_a_scorecard_of_odd_evidence(name: str) -> None:
    card = scorecard(DEGENERATE[name], WIDE, SETTINGS)
    assert "auc" not in card.metrics or name == "weights"
    assert all(np.isfinite(value) for value in card.metrics.values())
