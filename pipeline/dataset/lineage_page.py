"""A lineage as a picture: boxes in a column for each kind, and lines between them."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.dataset.lineage import KINDS, Lineage, Node
from pipeline.dataset.page import HERE
from pipeline.page import rendered

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 236, 96, 64, 18, 12  # pixels
SHOWN = 40  # boxes of a kind
FACTS, CHARACTERS = 3, 34
TITLES = {"source": "Sources", "snapshot": "Dataset", "model": "Models", "batch": "Batches", "item": "Item"}


class Box(NamedTuple):
    x: int
    y: int
    node: Node
    lines: list[str]
    is_focus: bool


def lineage_page(line: Lineage) -> str:
    columns = [kind for kind in KINDS if line.of(kind)]
    boxes = {}
    for column, kind in enumerate(columns):
        for row, node in enumerate(line.of(kind)[:SHOWN]):
            x, y = MARGIN + column * (WIDTH + GAP_X), 3 * MARGIN + row * (HEIGHT + GAP_Y)
            lines = [_short(f"{name}: {value}") for name, value in list(node.facts.items())[:FACTS]]
            boxes[node.key] = Box(x, y, node, lines, node.key == line.focus)
    edges = [(boxes[a], boxes[b]) for a, b in line.edges if a in boxes and b in boxes]
    return rendered(
        HERE,
        "lineage.html",
        title=f"Lineage of {line.nodes[line.focus].title}",
        boxes=list(boxes.values()),
        paths=[_curve(a, b) for a, b in edges],
        heads=[(MARGIN + i * (WIDTH + GAP_X), TITLES[kind], len(line.of(kind))) for i, kind in enumerate(columns)],
        width=2 * MARGIN + len(columns) * (WIDTH + GAP_X) - GAP_X,
        height=4 * MARGIN + max(min(len(line.of(kind)), SHOWN) for kind in columns) * (HEIGHT + GAP_Y),
        box=(WIDTH, HEIGHT),
        nodes=[node for kind in KINDS for node in line.of(kind)],
        kinds=TITLES,
    )


def _curve(a: Box, b: Box) -> str:
    x0, y0, x1, y1 = a.x + WIDTH, a.y + HEIGHT // 2, b.x, b.y + HEIGHT // 2
    middle = (x0 + x1) // 2
    return f"M{x0} {y0} C{middle} {y0} {middle} {y1} {x1} {y1}"


def _short(text: str) -> str:
    return text if len(text) <= CHARACTERS else text[: CHARACTERS - 1] + "…"
