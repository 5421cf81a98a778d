"""The page of a model: its pictures, its scorecard beside the champion's and the floor, its classes, its curves.

One file that opens without a server or a network; laid out in report.html.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.evaluate.directions import DIRECTIONS, MEANINGS
from pipeline.values import Scorecard

CAPTIONS = {
    "samples": "Samples, beside their nearest training images and real ones",
    "walks": "Walks from one sample to another of its class",
    "failures": "Samples that are farthest from anything real",
}
COLOURS = {"loss_g": "#2f6fdf", "loss_d": "#d9662b"}


def report(
    title: str,
    card: Scorecard,
    champion: Scorecard | None,
    promoted: bool,
    why: str,
    curves: str,
    pictures: Mapping[str, bytes],
) -> str:
    """HTML. curves: the text of curves.csv; pictures: PNG bytes by the names of the album."""
    from jinja2 import Environment, FileSystemLoader

    pages = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    encoded = {name: base64.b64encode(data).decode() for name, data in pictures.items()}
    pages.filters["number"] = lambda value: "–" if value is None else f"{value:.4g}"
    return pages.get_template("report.html").render(
        title=title,
        card=card,
        champion=champion,
        promoted=promoted,
        why=why,
        better=DIRECTIONS,
        meanings=MEANINGS,
        classes=sorted(card.per_class.items(), key=lambda pair: pair[1]["coverage"]),
        pictures=[(caption, encoded[name]) for name, caption in CAPTIONS.items() if name in encoded],
        plot=_plot(curves),
    )


def _plot(curves: str, width: int = 800, height: int = 260) -> dict[str, Any] | None:
    """Points of each loss on a canvas whose axes begin at 0; None where there is no line to draw."""
    rows = list(csv.DictReader(io.StringIO(curves)))
    if len(rows) < 2:
        return None
    images = [float(row["images_seen"]) for row in rows]
    losses = {name: [float(row[name]) for row in rows] for name in COLOURS}
    left, top, right, bottom = 50, 14, width - 10, height - 34
    most_x, most_y = max(images) or 1.0, max(map(max, losses.values())) or 1.0

    def points(values: Sequence[float]) -> str:
        places = [
            (left + (right - left) * x / most_x, bottom - (bottom - top) * max(y, 0.0) / most_y)
            for x, y in zip(images, values, strict=True)
        ]
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)

    lines = [(name, COLOURS[name], points(values)) for name, values in losses.items()]
    edges = {"left": left, "top": top, "right": right, "bottom": bottom, "width": width, "height": height}
    return {"lines": lines, "most_images": most_x, "most_loss": most_y, **edges}
