"""Items as pictures on one page, which opens without a server or a network; laid out in page.html."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from pipeline.dataset.diff import Difference, Item
from pipeline.dataset.history import Version
from pipeline.dataset.profile import BINS
from pipeline.manifest import read_rows
from pipeline.media.image import PLUGINS, thumbnail
from pipeline.page import rendered
from pipeline.parallel import each
from pipeline.workers import Limits

SHOWN = 60  # pictures of each kind, evenly over the paths
SIDE = 64
LIMITS = Limits(timeout_s=10, memory_bytes=3 * 2**30)  # among the quarantined is what a decoder died of
HERE = Path(__file__).parent
TITLES = {"added": "Added", "removed": "Removed", "relabelled": "Under another label"}


class Picture(NamedTuple):
    """data: PNG in base64, or empty where the item is no image."""

    data: str
    caption: str
    title: str


class Bars(NamedTuple):
    """A distribution in both versions: of each step its name, and its share before and after in percent of the most."""

    title: str
    steps: list[tuple[str, float, float]]


def difference_page(before: Version, after: Version, found: Difference) -> str:
    names = ("id", "at", "by", "why", "items", "accepted", "rejected")
    return rendered(
        HERE,
        "page.html",
        title=f"Dataset version {before.number} → {after.number}",
        heads=[f"version {version.number}" for version in (before, after)],
        facts=[(name, [getattr(version, name) for version in (before, after)]) for name in names],
        kinds=[(TITLES[name], len(items), _pictures(items)) for name, items in found.kinds.items()],
        labels=found.labels,
        bars=_bars(before, after),
    )


def quarantine_page(kinds: Mapping[str, Sequence[Item]]) -> str:
    """kinds: rejected items by reason."""
    shown = sorted(kinds.items(), key=lambda pair: -len(pair[1]))
    return rendered(
        HERE, "page.html", title="Quarantine", kinds=[(why, len(items), _pictures(items)) for why, items in shown]
    )


def _pictures(items: Sequence[Item]) -> list[Picture]:
    count = min(len(items), SHOWN)
    shown = sorted(
        (items[index * len(items) // count] for index in range(count)), key=lambda item: (str(item.file), item.row)
    )
    contents = list[bytes]()
    for file, group in groupby(shown, key=lambda item: item.file):
        contents += read_rows(file, [item.row for item in group])
    pictures = []
    for item, png in zip(shown, each(_thumbnail, contents, PLUGINS, LIMITS, lambda *_: b""), strict=True):
        label = item.label or "no label"
        caption = label if item.was is None else f"{item.was} → {label}"
        title = f"{item.path}\n{item.sha256}"
        pictures.append(Picture(base64.b64encode(png).decode(), caption, title))
    return sorted(pictures, key=lambda picture: picture.title)


def _thumbnail(data: bytes) -> bytes:
    return thumbnail(data, SIDE)


def _bars(before: Version, after: Version) -> list[Bars]:
    old, new = before.profile, after.profile
    names = sorted(old.labels.keys() | new.labels.keys(), key=lambda name: -new.labels.get(name, 0))[:40]
    width = 256 // BINS
    sides = [index for index, counts in enumerate(zip(old.sides, new.sides, strict=True)) if any(counts)]
    labels = ([found.labels.get(name, 0) for name in names] for found in (old, new))
    longer = ([found.sides[index] for index in sides] for found in (old, new))
    return [
        Bars("Labels", _steps(names, *labels)),
        Bars("Brightness", _steps([str(index * width) for index in range(BINS)], old.brightness, new.brightness)),
        Bars("Longer side, pixels", _steps([f"{2**index}–{2 ** (index + 1) - 1}" for index in sides], *longer)),
    ]


def _steps(names: Sequence[str], old: Sequence[int], new: Sequence[int]) -> list[tuple[str, float, float]]:
    shares = [[count / max(1, sum(counts)) for count in counts] for counts in (old, new)]
    most = max([*shares[0], *shares[1], 1e-9])
    return [(n or "no label", 100 * a / most, 100 * b / most) for n, a, b in zip(names, *shares, strict=True)]
