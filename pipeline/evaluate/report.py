"""The page of a model: its pictures, its scorecard beside the champion's and the floor, its classes, its curves.

One file that opens without a server or a network; laid out in report.html.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.evaluate.directions import DIRECTIONS, MEANINGS
from pipeline.page import pages_in
from pipeline.values import Scorecard

if TYPE_CHECKING:
    from jinja2 import Environment

CAPTIONS = {
    "samples": "Samples, beside their nearest training images and real ones",
    "walks": "Walks from one sample to another of its class",
    "failures": "Samples that are farthest from anything real",
    "progress": "The same samples while it learned, the first snapshot on top",
}
PLOTS = {
    "Losses while training": {"loss_g": "#2f6fdf", "loss_d": "#d9662b"},
    "Distance of the snapshots from held-out images that are not reported on": {"nfd": "#1b7f4b"},
    "Augmentation and overfitting": {"augment": "#8a4fbf", "overfitting": "#b8860b"},
}


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
    return (
        templates(Path(__file__).parent)
        .get_template("report.html")
        .render(
            title=title,
            card=card,
            champion=champion,
            promoted=promoted,
            why=why,
            classes=sorted(card.per_class.items(), key=lambda pair: pair[1]["coverage"]),
            pictures=inlined(pictures),
            plots=plots_of(curves),
        )
    )


def templates(folder: Path) -> Environment:
    """Those of a folder that show a scorecard, pictures and curves as the page of a model does."""
    pages = pages_in(folder)
    pages.filters["number"] = _number
    pages.filters["interval"] = lambda ends: "–" if ends is None else " to ".join(map(_number, ends))
    pages.globals |= {"better": DIRECTIONS, "meanings": MEANINGS}
    return pages


def inlined(pictures: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Captions and base64, in the album's order."""
    return [
        (caption, base64.b64encode(pictures[name]).decode()) for name, caption in CAPTIONS.items() if name in pictures
    ]


def plots_of(curves: str) -> list[tuple[str, dict[str, Any]]]:
    return [(title, plot) for title, colours in PLOTS.items() if (plot := _plot(curves, colours))]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _plot(curves: str, colours: Mapping[str, str], width: int = 800, height: int = 260) -> dict[str, Any] | None:
    """Points of each line on a canvas whose axes begin at 0; None where there is no line to draw."""
    rows = list(csv.DictReader(io.StringIO(curves)))
    lines = {name: [(float(row["images_seen"]), float(row[name])) for row in rows if row.get(name)] for name in colours}
    everything = [point for line in lines.values() for point in line]
    most_x, most_y = (max((point[axis] for point in everything), default=0.0) for axis in (0, 1))
    if len(everything) < 2 * len(lines) or most_y <= 0:
        return None
    left, top, right, bottom = 50, 14, width - 10, height - 34

    def points(line: Sequence[tuple[float, float]]) -> str:
        places = [(left + (right - left) * x / most_x, bottom - (bottom - top) * max(y, 0.0) / most_y) for x, y in line]
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)

    drawn = [(name, colours[name], points(line)) for name, line in lines.items()]
    edges = {"left": left, "top": top, "right": right, "bottom": bottom, "width": width, "height": height}
    return {"lines": drawn, "most_images": most_x, "most": most_y, **edges}
