"""The page of a model: its pictures, its scorecard beside the champion's and the floor, its classes, its curves.

One file that opens without a server or a network.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from html import escape

from pipeline.evaluate.directions import DIRECTIONS, MEANINGS
from pipeline.values import Decision, Scorecard

STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse } th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #8885 }
th:first-child, td:first-child, .text { text-align: left } .scroll { overflow-x: auto }
img { max-width: 100%; background: #fff } .faint { opacity: .7 } .passed { color: #1b7f4b } .failed { color: #c2272d }
svg { width: 100%; height: auto; max-width: 60rem } svg text { font-size: 12px; fill: currentColor }
"""
CAPTIONS = {
    "samples": "Samples, beside their nearest training images and real ones",
    "walks": "Walks from one sample to another of its class",
    "failures": "Samples that are farthest from anything real",
}
COLOURS = ("#2f6fdf", "#d9662b")


def report(
    title: str,
    card: Scorecard,
    champion: Scorecard | None,
    decision: Decision,
    curves: str,
    pictures: Mapping[str, bytes],
) -> str:
    """HTML. curves: the text of curves.csv; pictures: PNG bytes by the names of the album."""
    parts = [
        f"<h1>{escape(title)}</h1>",
        _verdict(decision),
        f"<p class=faint>Measured on {card.samples:,} samples in the space of {escape(card.space)}. Intervals are of"
        " 95%. The floor is the same number of real training images in the samples' place.</p>",
        _scores(card, champion),
        *(_picture(name, caption, pictures[name]) for name, caption in CAPTIONS.items() if name in pictures),
        _classes(card),
        _curves(curves),
    ]
    head = "<meta charset=utf-8><meta name=viewport content='width=device-width, initial-scale=1'>"
    return (
        f"<!doctype html>\n<html lang=en><head>{head}<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _verdict(decision: Decision) -> str:
    word = "Champion" if decision.promoted or decision.reason == "is the champion" else "Not promoted"
    kind = "passed" if word == "Champion" else "failed"
    return f"<p><b class={kind}>{word}</b>: {escape(decision.reason)}.</p>"


def _scores(card: Scorecard, champion: Scorecard | None) -> str:
    rival = champion if champion and champion.model != card.model else None
    heads = ["metric", "better", "this model", "95%", *(["champion"] if rival else []), "floor", "what it is"]
    rows = []
    for name, value in card.metrics.items():
        interval = card.intervals.get(name)
        cells = [name, DIRECTIONS.get(name, ""), f"{value:.4g}"]
        cells.append(f"{interval[0]:.4g} to {interval[1]:.4g}" if interval else "–")
        if rival:
            cells.append(_number(rival.metrics.get(name)))
        rows.append([*cells, _number(card.floor.get(name)), MEANINGS.get(name, "")])
    return "<h2>Scorecard</h2>" + _table(heads, rows)


def _classes(card: Scorecard) -> str:
    if not card.per_class:
        return ""
    worst = sorted(card.per_class.items(), key=lambda pair: pair[1]["coverage"])
    names = list(worst[0][1])
    rows = [[label, *(_number(values.get(name)) for name in names)] for label, values in worst]
    return "<h2>Classes, the worst covered first</h2>" + _table(["class", *names], rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    texts = {index for index, head in enumerate(heads) if head in ("better", "what it is")}

    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = [" class=text" if index in texts else "" for index in range(len(row))]
        return "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<div class=scroll><table><tr>{cells('th', heads)}</tr>{body}</table></div>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _picture(name: str, caption: str, data: bytes) -> str:
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return f"<h2>{escape(caption)}</h2><img alt='{escape(caption)}' id={name} src='{source}'>"


def _curves(text: str) -> str:
    rows = list(csv.DictReader(io.StringIO(text)))
    if len(rows) < 2:
        return ""
    images = [float(row["images_seen"]) for row in rows]
    lines = {name: [float(row[name]) for row in rows] for name in ("loss_g", "loss_d")}
    return "<h2>Losses while training</h2>" + _plot(images, lines)


def _plot(xs: Sequence[float], lines: Mapping[str, Sequence[float]], width: int = 800, height: int = 260) -> str:
    """An SVG of lines over one axis that begins at 0."""
    left, top, right, bottom = 50, 14, width - 10, height - 34
    most_x, most_y = max(xs) or 1.0, max(max(values) for values in lines.values()) or 1.0

    def place(x: float, y: float) -> str:
        return f"{left + (right - left) * x / most_x:.1f},{bottom - (bottom - top) * max(y, 0.0) / most_y:.1f}"

    parts = [f"<path d='M{left},{top} V{bottom} H{right}' fill=none stroke=currentColor opacity=.5 />"]
    parts += [f"<text x={left - 6} y={top + 4} text-anchor=end>{most_y:.3g}</text>"]
    parts += [f"<text x={left - 6} y={bottom} text-anchor=end>0</text>"]
    parts += [f"<text x={right} y={bottom + 18} text-anchor=end>{most_x:,.0f} images</text>"]
    for index, (name, values) in enumerate(lines.items()):
        points = " ".join(place(x, y) for x, y in zip(xs, values, strict=True))
        parts.append(f"<polyline points='{points}' fill=none stroke='{COLOURS[index]}' stroke-width=1.5 />")
        parts.append(f"<text x={left + 12 + 90 * index} y={bottom + 18} style='fill:{COLOURS[index]}'>{name}</text>")
    return f"<svg viewBox='0 0 {width} {height}' role=img aria-label='losses over images seen'>{''.join(parts)}</svg>"
