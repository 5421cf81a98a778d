"""The standard formats of ads: how large, where nothing may stand that is to be read, and what fits on them.

Display sizes: IAB New Ad Portfolio, fixed sizes. Social: the sizes that the platforms recommend for feed and story; the
bands above and below a story are where their own controls lie (250 and 340 of 1920 pixels, 6% at the sides).
"""

from __future__ import annotations

from typing import Literal

from pipeline.values import Value

Words = Literal["headline", "text", "call_to_action"]
ALL: tuple[Words, ...] = ("headline", "text", "call_to_action")
SHORT: tuple[Words, ...] = ("headline", "call_to_action")


class Format(Value):
    """safe: pixels kept free at top, right, bottom and left. density: pixels for one CSS px, in which legible sizes are
    told. carries: the words that are shown on it; logo: whether one is. framed: with an edge of one pixel, which
    publishers ask for where an ad could run into the page.
    """

    name: str
    width: int
    height: int
    safe: tuple[int, int, int, int]
    density: float = 1.0
    carries: tuple[Words, ...] = ALL
    logo: bool = True
    framed: bool = False


def _display(name: str, width: int, height: int, margin: int, carries: tuple[Words, ...] = ALL) -> Format:
    logo = height > 50  # where there is place for a legible one beside legible words
    safe = (margin,) * 4
    return Format(name=name, width=width, height=height, safe=safe, carries=carries, logo=logo, framed=True)


def _social(name: str, width: int, height: int, safe: tuple[int, int, int, int]) -> Format:
    return Format(name=name, width=width, height=height, safe=safe, density=3.0)  # a phone is about 360 CSS px wide


FORMATS: dict[str, Format] = {
    format.name: format
    for format in (
        _display("medium-rectangle", 300, 250, 14),
        _display("leaderboard", 728, 90, 10),
        _display("wide-skyscraper", 160, 600, 12),
        _display("half-page", 300, 600, 18),
        _display("billboard", 970, 250, 20),
        _display("mobile-banner", 320, 50, 6, SHORT),
        _display("large-mobile-banner", 320, 100, 10, SHORT),
        _social("square", 1080, 1080, (64, 64, 64, 64)),
        _social("portrait", 1080, 1350, (64, 64, 64, 64)),
        _social("story", 1080, 1920, (250, 65, 340, 65)),
        _social("landscape", 1200, 628, (48, 48, 48, 48)),
    )
}
