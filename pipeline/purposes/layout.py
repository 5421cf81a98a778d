"""Where image and words stand on a format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pipeline.purposes.formats import Format

Layout = Literal["auto", "beside", "above", "behind"]

WIDE = 1.5  # width by height from which the image stands beside the words
LOW = 3.5  # of the place for words, from which the button stands beside them too
UPPER, LOWER = 0.55, 0.58  # most of the height that an image above the words fills; of words before an image


@dataclass(frozen=True)
class Box:
    """Whole pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    def within(self, other: Box) -> bool:
        return (
            other.left <= self.left
            and other.top <= self.top
            and self.right <= other.right
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True)
class Plan:
    """image: what it fills; words: what they may not leave; behind: they stand on the image; low: in one row."""

    image: Box
    words: Box
    behind: bool
    low: bool

    @property
    def name(self) -> str:
        if self.behind:
            return "behind"
        return "above" if self.image.bottom <= self.words.top else "beside"


def safe_area(format: Format) -> Box:
    top, right, bottom, left = format.safe
    return Box(left, top, format.width - left - right, format.height - top - bottom)


def plan(format: Format, layout: Layout, mirrored: bool) -> Plan:
    """mirrored: for words that run to the left, the image stands on the right."""
    safe, whole = safe_area(format), Box(0, 0, format.width, format.height)
    kind = _kind(format) if layout == "auto" else layout
    if kind == "behind":
        down = round(safe.height * LOWER)
        words = Box(safe.left, safe.bottom - down, safe.width, down)
        return Plan(whole, words, behind=True, low=False)
    if kind == "beside":
        across = min(format.height, round(format.width * 0.52))
        left = format.width - across if mirrored else 0
        start = safe.left if mirrored else max(safe.left, across + format.safe[1])
        end = left - format.safe[3] if mirrored else safe.right
        words = Box(start, safe.top, end - start, safe.height)
        return Plan(Box(left, 0, across, format.height), words, False, words.width >= LOW * words.height)
    down = min(format.width, round(format.height * UPPER))
    top = max(safe.top, down + min(format.safe[1], format.safe[0]))
    return Plan(Box(0, 0, format.width, down), Box(safe.left, top, safe.width, safe.bottom - top), False, False)


def _kind(format: Format) -> Literal["beside", "above", "behind"]:
    """A square image is cropped least: beside on wide formats, above on upright ones, whole behind what is near square.

    A story is covered by its image, since the bands above and below it are the platform's.
    """
    shape = format.width / format.height
    if shape >= WIDE:
        return "beside"
    banded = format.safe[0] + format.safe[2] > format.height / 4
    return "behind" if banded or 0.9 <= shape < WIDE else "above"


def with_logo(plan: Plan, format: Format, shape: float, mirrored: bool) -> tuple[Plan, Box]:
    """The plan with less place for words, and where a logo stands, whose width is `shape` times its height."""
    words, safe = plan.words, safe_area(format)
    if plan.low:
        logo = _fitted(shape, words.width * 0.22, words.height * 0.8)
        gap = logo.width + words.height // 5
        left = words.right - logo.width if mirrored else words.left
        place = Box(words.left if mirrored else words.left + gap, words.top, words.width - gap, words.height)
        return replace(plan, words=place), replace(logo, left=left, top=words.top + (words.height - logo.height) // 2)
    room = safe if plan.behind else words
    logo = _fitted(shape, room.width * 0.45, min(0.16 * room.height, 0.14 * room.width + 8))
    logo = replace(logo, left=room.right - logo.width if mirrored else room.left, top=room.top)
    if plan.behind:
        return plan, logo
    down = logo.height + max(4, logo.height // 3)
    return replace(plan, words=Box(words.left, words.top + down, words.width, words.height - down)), logo


def _fitted(shape: float, width: float, height: float) -> Box:
    across = min(width, height * shape)
    return Box(0, 0, max(1, round(across)), max(1, round(across / shape)))
