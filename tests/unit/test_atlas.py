"""Atlases: every sprite is found again by what the JSON says, and no sprite touches another."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import ParamsError
from pipeline.purposes.atlas import Packing, Sheet, atlas

Pixels = NDArray[np.uint8]


def some(count: int, side: int = 16, channels: int = 4) -> dict[str, Pixels]:
    random = np.random.default_rng(0)
    return {f"walk/{n:03d}": random.integers(1, 256, (side, side, channels)).astype(np.uint8) for n in range(count)}


def unpacked(sheet: Sheet) -> dict[str, Pixels]:
    """As an engine does it."""
    found = {}
    for name, entry in sheet.json["frames"].items():
        frame, at, size = entry["frame"], entry["spriteSourceSize"], entry["sourceSize"]
        sprite = np.zeros((size["h"], size["w"], 4), np.uint8)
        pixels = sheet.piece.image[frame["y"] : frame["y"] + frame["h"], frame["x"] : frame["x"] + frame["w"]]
        sprite[at["y"] : at["y"] + at["h"], at["x"] : at["x"] + at["w"]] = pixels
        found[name] = sprite
    return found


def test_every_sprite_comes_back_as_it_was() -> None:
    sprites = some(37)
    (sheet,) = atlas("digits", sprites)
    found = unpacked(sheet)
    assert list(found) == sorted(sprites)
    assert all(np.array_equal(found[name], sprites[name]) for name in sprites)
    meta = sheet.json["meta"]
    assert meta["image"] == "digits.png" and meta["size"] == {"w": 256, "h": 128}
    assert json.loads(json.dumps(sheet.json)) == sheet.json


def test_sizes_are_powers_of_two_and_no_larger_than_need_be() -> None:
    (sheet,) = atlas("one", some(1, side=30))
    assert sheet.piece.image.shape == (32, 32, 4)
    (sheet,) = atlas("two", some(2, side=30), Packing(padding=0))
    assert sheet.piece.image.shape == (32, 64, 4)


def test_edges_are_extruded_and_padding_stays_clear() -> None:
    red, blue = np.full((4, 4, 3), (255, 0, 0), np.uint8), np.full((4, 4, 3), (0, 0, 255), np.uint8)
    (sheet,) = atlas("pair", {"a": red, "b": blue}, Packing(padding=2, extrude=1))
    image = sheet.piece.image
    frame = sheet.json["frames"]["a"]["frame"]
    x, y = frame["x"], frame["y"]
    assert image[y - 1 : y + 5, x - 1 : x + 5].tolist() == [[[255, 0, 0, 255]] * 6] * 6
    assert not image[y - 1 : y + 5, x + 5 : x + 7].any()
    assert (image[..., 3] > 0).sum() == 2 * 36


def test_an_edge_is_extruded_by_what_lies_on_it() -> None:
    sprite = np.arange(1, 49, dtype=np.uint8).reshape(4, 4, 3)
    (sheet,) = atlas("one", {"a": sprite}, Packing(padding=0, extrude=2))
    colours = sheet.piece.image[..., :3]
    assert (colours[:2, 2:6] == sprite[0]).all() and (colours[6:8, 2:6] == sprite[-1]).all()
    assert (colours[2:6, :2] == sprite[:, :1]).all() and (colours[2:6, 6:8] == sprite[:, -1:]).all()


def test_clear_borders_are_trimmed_and_put_back() -> None:
    sprite = np.zeros((20, 30, 4), np.uint8)
    sprite[5:9, 7:19] = 200
    (sheet,) = atlas("one", {"a": sprite, "clear": np.zeros((8, 8, 4), np.uint8)})
    entry = sheet.json["frames"]["a"]
    assert entry["trimmed"] and entry["spriteSourceSize"] == {"x": 7, "y": 5, "w": 12, "h": 4}
    assert entry["sourceSize"] == {"w": 30, "h": 20}
    assert sheet.json["frames"]["clear"]["frame"]["w"] == 1
    assert np.array_equal(unpacked(sheet)["a"], sprite)
    (whole,) = atlas("one", {"a": sprite}, Packing(trim=False))
    assert not whole.json["frames"]["a"]["trimmed"]


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_become_opaque(channels: int) -> None:
    sprites = some(3, channels=channels)
    (sheet,) = atlas("x", sprites)
    for name, sprite in unpacked(sheet).items():
        assert (sprite[..., 3] == 255).all()
        assert np.array_equal(sprite[..., :3], np.broadcast_to(sprites[name], (16, 16, 3)))


def test_a_full_sheet_goes_on_in_another_and_they_name_each_other() -> None:
    sprites = some(50)
    sheets = atlas("many", sprites, Packing(side=64, padding=0, extrude=0))
    assert [sheet.piece.name for sheet in sheets] == ["many-0", "many-1", "many-2", "many-3"]
    assert [sheet.piece.facts["sprites"] for sheet in sheets] == [16, 16, 16, 2]
    assert sheets[1].json["meta"]["related_multi_packs"] == ["many-0.json", "many-2.json", "many-3.json"]
    found = {name: sprite for sheet in sheets for name, sprite in unpacked(sheet).items()}
    assert all(np.array_equal(found[name], sprites[name]) for name in sprites)


def test_of_many_sizes_none_overlap() -> None:
    random = np.random.default_rng(1)
    sprites = {f"s{n}": np.full((*random.integers(1, 60, 2), 4), 1 + n % 250, np.uint8) for n in range(120)}
    for sheet in atlas("mixed", sprites, Packing(side=256, padding=1, extrude=2)):
        for name, sprite in unpacked(sheet).items():
            assert np.array_equal(sprite, sprites[name])
    assert sum(len(sheet.json["frames"]) for sheet in atlas("mixed", sprites, Packing(side=256))) == 120


def test_the_order_in_which_they_come_is_nothing() -> None:
    sprites = some(20)
    back = dict(reversed(sprites.items()))
    (one,), (other,) = atlas("x", sprites), atlas("x", back)
    assert np.array_equal(one.piece.image, other.piece.image)
    assert json.dumps(one.json) == json.dumps(other.json)


@pytest.mark.parametrize("name", ["../up", "a//b", "/a", "a\x00", "", ".hidden", "a" * 200, "a b", "ä"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ParamsError, match="no name"):
        atlas("x", {name: np.ones((4, 4, 4), np.uint8)})


def test_what_can_not_be_packed_is_refused() -> None:
    with pytest.raises(ParamsError, match="has room for 62"):
        atlas("x", {"large": np.ones((63, 8, 4), np.uint8)}, Packing(side=64))
    with pytest.raises(ParamsError, match="power of two"):
        atlas("x", some(1), Packing(side=100))
    with pytest.raises(ValueError):
        atlas("x", {"a": np.ones((4, 4, 2), np.uint8)})
    assert atlas("x", {}) == []
