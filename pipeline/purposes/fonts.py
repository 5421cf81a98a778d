"""Fonts: which glyphs one has, and whether a text can be drawn in it as it is to be read."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ParamsError

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

JOINERS = "\u200c\u200d"
MOST_MARKS = 3  # accents on one letter; Vietnamese has two
FONT_BYTES = 40_000_000
BLANKS = re.compile(r"[ \t\r\n]+")  # not the no-break spaces


def default_font(bold: bool) -> str:
    """DejaVu Sans, as matplotlib carries it: Latin, Greek, Cyrillic, Arabic and others, but no CJK."""
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf")


def tidy(text: str) -> str:
    """One form of what looks the same, with single blanks."""
    return BLANKS.sub(" ", unicodedata.normalize("NFC", text)).strip(" ")


def undrawable(text: str, path: str) -> str:
    """Why this text can't be drawn in this font, or nothing; else boxes would be, or letters in a wrong order."""
    missing, marks = [], 0
    for sign in text:
        kind = unicodedata.category(sign)
        if kind in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp") or (kind == "Cf" and sign not in JOINERS):
            return f"the invisible character U+{ord(sign):04X} can't be drawn"
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        if marks > MOST_MARKS:
            return f"more than {MOST_MARKS} accents on one letter"
        if ord(sign) not in _glyphs(path) and sign not in JOINERS:
            missing.append(sign)
    if missing:
        shown = " ".join(dict.fromkeys(missing[:8]))
        return f"the font {Path(path).name} has no glyph for {shown} ({_script(missing[0])})"
    if not _shapes() and any(unicodedata.bidirectional(s) in ("R", "AL") or unicodedata.combining(s) for s in text):
        return f"{_script(text[0])} needs Pillow with libraqm, which is not here"
    return ""


def right_to_left(text: str) -> bool:
    """Whether its first letter with a direction runs to the left (Unicode Bidirectional Algorithm, rule P2)."""
    strong = (unicodedata.bidirectional(sign) for sign in text)
    return next((kind for kind in strong if kind in ("L", "R", "AL")), "L") != "L"


def direction(line: str) -> Any:
    """None where Pillow can't be told: then there is nothing that runs to the left."""
    return ("rtl" if right_to_left(line) else "ltr") if _shapes() else None


@lru_cache(256)
def font_of(path: str, size: int) -> FreeTypeFont:
    """Raises ParamsError where the file is no font."""
    from PIL import ImageFont

    try:
        engine = ImageFont.Layout.RAQM if _shapes() else ImageFont.Layout.BASIC
        return ImageFont.truetype(path, size, layout_engine=engine)
    except (OSError, ValueError) as error:
        raise _no_font(path, error) from None


@lru_cache(16)
def _glyphs(path: str) -> frozenset[int]:
    """Code points that a font has a glyph for."""
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    try:
        if Path(path).stat().st_size > FONT_BYTES:
            raise OSError(f"it is larger than {FONT_BYTES // 10**6} MB")
        with open(path, "rb") as file, TTFont(file, lazy=True, fontNumber=0) as font:
            return frozenset(font.getBestCmap() or ())
    except Exception as error:  # hostile tables raise nearly anything
        raise _no_font(path, error) from None


def _no_font(path: str, error: Exception) -> ParamsError:
    why = " ".join(str(error).split())[:200]
    return ParamsError(f"can't be read as a font: {why}", where=path, remedy="give a TrueType or OpenType file")


@lru_cache(1)
def _shapes() -> bool:
    from PIL import features

    return bool(features.check("raqm"))


def _script(sign: str) -> str:
    return unicodedata.name(sign, f"U+{ord(sign):04X}").split(" ")[0].split("-")[0].lower()
