"""Textures: the decomposition against its defining property, the seam against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.purposes.piece import Piece, Refused
from pipeline.purposes.textures import periodic, resized, seam, texture, tileable


def ramp(height: int = 32, width: int = 32) -> NDArray[np.uint8]:
    """Grey from 0 to 248: it jumps where it meets itself."""
    return np.broadcast_to((np.arange(width) * 8).astype(np.uint8)[None, :, None], (height, width, 1)).copy()


def laplacian(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return sum(np.roll(values, step, axis) for step in (-1, 1) for axis in (0, 1)) - 4 * values


def test_the_periodic_component_has_the_image_s_own_jumps_and_across_the_edge_those_beside_it() -> None:
    values = np.random.default_rng(0).uniform(0, 255, (9, 13, 3))
    down = np.diff(values, axis=0)
    down = np.concatenate([down, (down[-1:] + down[:1]) / 2])
    right = np.diff(values, axis=1)
    right = np.concatenate([right, (right[:, -1:] + right[:, :1]) / 2], axis=1)
    inner = down - np.roll(down, 1, 0) + right - np.roll(right, 1, 1)
    found = periodic(values)
    assert laplacian(found) == pytest.approx(inner, abs=1e-9)
    assert found.mean((0, 1)) == pytest.approx(values.mean((0, 1)))


def test_what_tiles_already_is_left_as_it_is() -> None:
    wave = 127 + 60 * np.sin(2 * np.pi * np.arange(32) / 32)
    values = np.broadcast_to(wave[None, :, None], (32, 32, 1))
    assert periodic(values) == pytest.approx(values, abs=0.3)


def test_a_ramp_has_a_seam_by_hand_and_its_tile_has_none() -> None:
    assert seam(ramp()) == pytest.approx((248 + 1) / (8 + 1))
    assert seam(tileable(ramp())) <= 1.1


def test_flat_and_tiny_images_have_no_seam() -> None:
    assert seam(np.full((8, 8, 3), 77, np.uint8)) == 1
    assert seam(np.full((1, 1, 1), 77, np.uint8)) == 1


def test_a_seam_at_one_place_is_seen() -> None:
    """Its mean over the whole edge is small, at that stretch it is not."""
    image = np.random.default_rng(1).integers(100, 110, (64, 64, 1)).astype(np.uint8)
    image[:2, 20:28] = 255
    image[2:6, 20:28] = np.array([220, 190, 160, 130])[:, None, None]
    assert seam(image) > 2


def test_no_edge_is_a_seam_just_because_the_image_has_edges() -> None:
    image = np.kron(np.random.default_rng(2).integers(0, 2, (16, 16)), np.ones((2, 2)))[..., None] * 255
    assert seam(np.roll(image, 1, (0, 1)).astype(np.uint8)) < 1.3


def test_a_transparent_seam_counts_over_any_ground() -> None:
    image = np.zeros((32, 32, 4), np.uint8)
    image[..., 3] = ramp()[..., 0]
    assert seam(image) == pytest.approx((248 + 1) / (8 + 1))
    assert seam(tileable(image)) <= 1.2


def test_a_texture_is_gated_by_its_seam() -> None:
    image = np.random.default_rng(3).integers(0, 256, (3, 16, 16)).astype(np.uint8)
    found = texture("moss", image, 64)
    assert isinstance(found, Piece)
    assert found.image.shape == (64, 64, 3)
    assert found.facts["enlarged"] == 4 and isinstance(found.facts["seam"], float)
    refused = texture("moss", image, 64, at_most=0.1)
    assert isinstance(refused, Refused) and "seam" in refused.reason


@pytest.mark.parametrize("side", [8, 20, 64, 100])
def test_resizing_knows_the_other_end(side: int) -> None:
    """A tile that is rolled by half before and after is the same tile."""
    tile = tileable(np.random.default_rng(4).integers(0, 256, (32, 32, 3)).astype(np.uint8))
    rolled = np.roll(resized(np.roll(tile, 16, (0, 1)), side), -side // 2, (0, 1))
    assert np.abs(rolled.astype(int) - resized(tile, side)).max() <= 1


@pytest.mark.parametrize("side", [0, -1, 10_000])
def test_a_side_that_can_not_be_is_refused(side: int) -> None:
    with pytest.raises(ValueError):
        texture("x", np.zeros((1, 16, 16), np.uint8), side)


def test_only_images_of_bytes() -> None:
    with pytest.raises(ValueError):
        texture("x", np.zeros((2, 16, 16), np.uint8), 16)
    with pytest.raises(ValueError):
        texture("x", np.zeros((3, 16, 16), np.float32), 16)  # type: ignore[arg-type]
