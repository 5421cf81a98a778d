"""The page of a model, and the walks that it shows."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import numpy as np
import torch
from PIL import Image

from pipeline.evaluate.pictures import sheet_of
from pipeline.evaluate.report import report
from pipeline.model.bundle import Bundle
from pipeline.model.networks import Generator, Shape
from pipeline.model.noise import between, item_seeds
from pipeline.model.recipe import walk
from pipeline.values import Scorecard

CARD = Scorecard(
    model="abc",
    shards="s",
    space="classifier-128 of shards s",
    samples=1234,
    metrics={"nfd": 0.25, "coverage": 0.9},
    floor={"nfd": 0.1, "coverage": 0.95},
    intervals={"nfd": (0.2, 0.3)},
    per_class={"fine": {"items": 5, "coverage": 0.9}, "<script>": {"items": 5, "coverage": 0.5}},
)
CHAMPION = CARD.model_copy(update={"model": "old", "metrics": {"nfd": 0.75}, "intervals": {"nfd": (0.3, 0.9)}})
CURVES = "images_seen,loss_g,loss_d,rate_per_s\n100,1.5,0.5,10\n200,1.0,0.6,10\n"


class Cells(HTMLParser):
    """The text of every table cell, every tag, and every attribute."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.in_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.in_cell = tag in ("td", "th")

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = False

    def handle_data(self, data: str) -> None:
        if self.in_cell:
            self.texts.append(data)


def page(champion: Scorecard | None = CHAMPION) -> str:
    out = io.BytesIO()
    Image.new("L", (4, 4)).save(out, "PNG")
    why = "nfd is 0.25, must be at most 0.2"
    return report("generator v2", CARD, champion, False, why, CURVES, {"samples": out.getvalue()})


def test_the_page_has_the_numbers_beside_champion_and_floor() -> None:
    cells = Cells(page()).texts
    row = cells[cells.index("nfd") :][:7]
    assert row == ["nfd", "low", "0.25", "0.2 to 0.3", "0.75", "0.3 to 0.9", "0.1"]
    assert cells.index("<script>") < cells.index("fine")  # the worst covered first
    alone = Cells(page(champion=None)).texts
    assert alone[alone.index("nfd") :][:5] == ["nfd", "low", "0.25", "0.2 to 0.3", "0.1"]


def test_the_page_needs_no_network_and_takes_no_class_name_for_markup() -> None:
    text = page()
    assert "script" not in Cells(text).tags
    assert re.findall(r"(?:src|href)=['\"](?!data:image/png)", text) == []
    assert "must be at most 0.2" in text and text.count("<polyline") == 2


def test_a_walk_begins_and_ends_at_its_samples() -> None:
    torch.manual_seed(0)
    bundle = Bundle(Generator(Shape(16, 1, 2, 8, 4)), ("a", "b"), "x")
    labels, seeds = np.array([0, 1]), item_seeds(0, np.arange(4))
    images = bundle.make(walk(labels, seeds[:2], seeds[2:], 5))
    assert images.shape == (10, 1, 16, 16)
    walks = images.reshape(2, 5, 1, 16, 16)
    assert np.array_equal(walks[:, 0], bundle.sample(labels, seeds[:2]))
    assert np.array_equal(walks[:, -1], bundle.sample(labels, seeds[2:]))
    middle = between(np.array([[2.0, 0.0]], np.float32), np.array([[0.0, 2.0]], np.float32), 0.5)
    assert np.allclose(middle, 2**0.5)  # still as long as both


def test_a_sheet_has_a_row_a_strip() -> None:
    strip = np.zeros((3, 1, 16, 16), np.uint8)
    assert sheet_of([strip, strip]).size == (3 * 52 - 4, 2 * 52 - 4)
    assert sheet_of([strip, strip], ["a", "b"]).height == 2 * (52 + 26) - 4
