"""Variations: which recipes stand in which cell, and that the sheet shows them there."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.model.noise import between, item_seeds, latents
from pipeline.model.recipe import Turn, joined
from pipeline.purposes.variation_sheet import draw_sheet
from pipeline.purposes.variations import classes, mostly, perturbations, sheet, walk


def test_perturbations_go_the_same_ways_at_each_strength() -> None:
    found = perturbations(3, 11, (0.1, 0.5), 4, batch_seed=7)
    assert found.shares.tolist() == pytest.approx([0.1] * 4 + [0.5] * 4)
    assert found.toward_seeds.tolist() == item_seeds(7, np.arange(4)).tolist() * 2
    assert set(found.labels) == set(found.toward_labels) == {3}
    assert set(found.seeds) == {11} and set(found.label_shares) == {0}


def test_another_batch_seed_gives_other_ways() -> None:
    one, other = (perturbations(3, 11, (0.5,), 8, batch_seed=seed).toward_seeds for seed in (0, 1))
    assert not set(one.tolist()) & set(other.tolist())


def test_a_walk_has_both_ends_and_even_steps() -> None:
    found = walk(3, 11, 12, 5)
    assert found.shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert found.seeds.tolist() == [11] * 5 and found.toward_seeds.tolist() == [12] * 5
    assert len(walk(3, 11, 12, 0)) == 0


def test_classes_end_in_the_other_class_with_the_same_latent() -> None:
    found = classes(3, 11, (1, 8), 2)
    assert found.toward_labels.tolist() == [1, 1, 8, 8]
    assert found.label_shares.tolist() == [0.5, 1, 0.5, 1]
    assert found.labels[3] == 3 and found.seeds[3] == found.toward_seeds[3] == 11
    assert found.shares[3] == 0 and found.toward_labels[3] == 8


def test_recipes_are_int64_and_float32() -> None:
    found = sheet(3, 11, 7, (1,)).recipes
    assert {getattr(found, name).dtype for name in ("labels", "seeds", "toward_labels", "toward_seeds")} == {
        np.dtype(np.int64)
    }
    assert found.shares.dtype == found.label_shares.dtype == np.float32


def one(seed: int) -> np.ndarray:  # type: ignore[type-arg]
    return latents(np.array([seed], np.int64), 16)


def test_a_variation_of_a_variation_goes_on_from_where_that_stands() -> None:
    first = sheet(3, 11, 7, (1,), columns=4)
    cell = first.index_of("B3")
    label, seed, way = first.recipes.onward(cell)
    assert (label, seed, len(way)) == (3, 11, 1)
    second = sheet(label, seed, 7, (1,), columns=4, way=way)
    assert (second.recipes.latents(16)[0] == first.recipes.latents(16)[cell]).all()
    near = second.index_of("A2")
    stands = between(one(11), one(int(first.recipes.toward_seeds[cell])), 0.35)
    expected = between(stands, one(int(second.recipes.toward_seeds[near])), 0.15)
    assert np.allclose(second.recipes.latents(16)[near], expected[0], atol=1e-6)
    third = sheet(*second.recipes.onward(near)[:2], 7, columns=4, way=second.recipes.onward(near)[2])
    assert len(third.recipes.way) == 2
    assert (third.recipes.latents(16)[0] == second.recipes.latents(16)[near]).all()


def test_each_sheet_of_a_row_of_them_goes_other_ways() -> None:
    sheets = [sheet(3, 11, 7, columns=32, way=(Turn(3, 5, 0.2, 0),) * turns) for turns in range(3)]
    seeds = [set(one.recipes.toward_seeds.tolist()) - {11} for one in sheets]
    assert all(len(some) == 33 for some in seeds) and len(set.union(*seeds)) == 99


def test_no_direction_leads_to_the_chosen_item_itself() -> None:
    for number in range(9):  # an item of a batch by the same seed
        found = sheet(3, int(item_seeds(7, np.array([number]))[0]), 7, columns=8).recipes
        assert not (found.toward_seeds[1:] == found.seeds[1:]).any()
        assert np.linalg.norm(found.latents(64), axis=1).min() > 4


def test_the_chosen_one_of_a_sheet_takes_no_turn_more() -> None:
    way = (Turn(3, 5, 0.25, 0.0),)
    assert sheet(3, 11, 7, way=way).recipes.onward(0) == (3, 11, way)
    assert sheet(3, 11, 7).recipes.onward(0) == (3, 11, ())


def test_what_went_all_the_way_to_a_class_is_of_that_class() -> None:
    found = classes(3, 11, (8,), 4)
    assert found.onward(3) == (8, 11, (Turn(8, 11, 0.0, 0.0),))
    assert found.onward(2) == (3, 11, (Turn(8, 11, 0.0, 0.75),))
    assert [mostly(3, found.onward(row)[2]) for row in range(3)] == [3, 8, 8]


def test_recipes_by_different_ways_are_not_joined() -> None:
    with pytest.raises(ValueError, match="2 different ways"):
        joined(sheet(3, 11, 7).recipes, sheet(3, 11, 7, way=(Turn(3, 5, 0.2, 0),)).recipes)


def test_a_cell_is_found_by_its_name() -> None:
    plan = sheet(3, 11, 7, (1, 8), [f"digit {n}" for n in range(10)], columns=4)
    assert plan.captions == ("near", "farther", "far", "on the way to another", "toward digit 1", "toward digit 8")
    assert len(plan.recipes) == 1 + 6 * 4
    assert plan.index_of("B3") == plan.index_of("b3") == 1 + 4 + 2
    assert plan.recipes.shares[plan.index_of("B3")] == pytest.approx(0.35)
    assert plan.recipes.toward_labels[plan.index_of("F4")] == 8
    assert plan.recipes.shares[plan.index_of("D4")] == 1
    for wrong in ("", "B", "3", "G1", "B5", "B0", "B-1", "B٣٣٣٣", "BB"):
        with pytest.raises(ValueError):
            plan.index_of(wrong)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_share_beyond_the_way_is_refused(strength: float) -> None:
    with pytest.raises(ValueError):
        perturbations(0, 0, (strength,), 2, 0)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_image_is_drawn_once_in_its_cell(channels: int) -> None:
    plan = sheet(0, 1, 2, (1,), columns=3)
    images = np.full((len(plan.recipes), channels, 16, 16), 255, np.uint8)
    images[:, 0] = (10 + 12 * np.arange(len(images)))[:, None, None]
    red = np.asarray(draw_sheet(images, plan))[..., 0]
    counts = [int((red == 10 + 12 * index).sum()) for index in range(len(images))]
    assert counts[0] >= 320 * 320
    assert all(count >= 96 * 96 for count in counts[1:])
    assert sum(counts) < 1.02 * (320 * 320 + 96 * 96 * (len(images) - 1))


def test_a_class_name_that_can_not_be_drawn_does_not_become_boxes() -> None:
    plain = sheet(0, 1, 2, (1,), ["a", "row E"], columns=2)
    hostile = sheet(0, 1, 2, (1,), ["a", "猫\u202e\x00"], columns=2)
    images = np.zeros((len(plain.recipes), 1, 16, 16), np.uint8)
    drawn = np.asarray(draw_sheet(images, hostile))
    assert (drawn != np.asarray(draw_sheet(images, plain))).any()  # "toward row E" and "row E"
    endless = sheet(0, 1, 2, (1,), ["a", "x" * 100_000], columns=8)
    images = np.zeros((len(endless.recipes), 1, 16, 16), np.uint8)
    assert draw_sheet(images, endless).width == draw_sheet(images, sheet(0, 1, 2, (1,), ["a", "b"])).width


def test_as_many_images_as_recipes() -> None:
    with pytest.raises(ValueError, match="3 images"):
        draw_sheet(np.zeros((3, 1, 16, 16), np.uint8), sheet(0, 1, 2))
