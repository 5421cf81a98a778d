"""Ads: read by measure on the finished pixels, inside the safe area, or refused; campaigns from hostile files."""

from __future__ import annotations

import io
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, features
from scipy.ndimage import maximum_filter

from pipeline.errors import ParamsError
from pipeline.purposes.campaign import read_campaign, read_logo
from pipeline.purposes.contrast import adapted, distinct, least_ratio, needed, readable_on
from pipeline.purposes.creative import Template, compose
from pipeline.purposes.formats import FORMATS, Words
from pipeline.purposes.piece import Piece, Refused
from pipeline.purposes.text import balanced, wrap

Pixels = NDArray[np.uint8]

WORDS: dict[Words, str] = {
    "headline": "Autumn routes, half the price",
    "text": "Fly anywhere until the end of November.",
    "call_to_action": "Book now",
}


def noise(channels: int = 3, side: int = 16) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (channels, side, side)).astype(np.uint8)


def flat(*colour: int) -> Pixels:
    return np.full((len(colour), 16, 16), np.array(colour)[:, None, None], np.uint8)


def piece(image: Pixels, words: dict[Words, str], format: str, template: Template | None = None) -> Piece:
    found = compose("p", image, words, FORMATS[format], template or Template())
    assert isinstance(found, Piece), found
    return found


def reason(words: dict[Words, str], format: str = "square", template: Template | None = None) -> str:
    found = compose("p", noise(), words, FORMATS[format], template or Template())
    assert isinstance(found, Refused)
    return found.reason


def test_contrast_as_wcag_has_it() -> None:
    white = np.full((1, 3), 255, np.uint8)
    assert least_ratio((0, 0, 0), white) == pytest.approx(21)
    assert least_ratio((0x77, 0x77, 0x77), white) == pytest.approx(4.48, abs=0.005)  # the well-known grey that fails
    assert least_ratio((0x76, 0x76, 0x76), white) == pytest.approx(4.54, abs=0.005)  # and the one that passes
    assert least_ratio((255, 0, 0), np.array([[255, 255, 255], [255, 0, 0]], np.uint8)) == 1  # the worst pixel counts
    assert (needed(24, False), needed(23.9, False), needed(18.7, True), needed(18.6, True)) == (3, 4.5, 3, 4.5)


def test_black_or_white_can_be_read_on_any_colour() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (500, 3)).tolist()
    assert all(least_ratio(readable_on((r, g, b)), np.array([[r, g, b]], np.uint8)) > 4.5 for r, g, b in colours)


def test_a_colour_is_moved_no_further_than_need_be() -> None:
    white = np.full((1, 3), 255, np.uint8)
    assert adapted((0, 0, 200), white, 4.5) == (0, 0, 200)
    found = adapted((255, 200, 0), white, 4.5)
    assert 4.5 <= least_ratio(found, white) < 6 and found[0] > found[1] > found[2]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("image", [noise(), flat(128, 128, 128), noise(1), noise(4), flat(255, 255, 0)])
def test_every_format_is_composed_and_can_be_read(name: str, image: Pixels) -> None:
    format = FORMATS[name]
    found = piece(image, WORDS, name)
    assert found.image.shape == (format.height, format.width, 3) and found.image.dtype == np.uint8
    for kind in format.carries:
        size, contrast = found.facts[f"size_{kind}"], found.facts[f"contrast_{kind}"]
        assert isinstance(size, float) and isinstance(contrast, float)
        assert size >= 12
        assert contrast >= (4.5 if size < 56 / 3 else 3)
    assert found.facts["contrast_button"] >= 3  # type: ignore[operator]


@pytest.mark.parametrize("name", ["medium-rectangle", "square", "story"])
@pytest.mark.parametrize("image", [noise(), flat(128, 128, 128), flat(200, 190, 210)])
def test_the_letters_stand_out_from_the_finished_pixels(name: str, image: Pixels) -> None:
    """Measured anew: the pixels around those that have the ink's colour."""
    words: dict[Words, str] = {"headline": "Half the price"}
    found = piece(image, words, name)
    top = FORMATS[name].height // 2
    lower = found.image[top:-2, 2:-2]
    ink = min(((0, 0, 0), (255, 255, 255)), key=lambda colour: -int((lower == colour).all(2).sum()))
    letters = (lower == ink).all(2)
    assert letters.sum() > 50
    around = (maximum_filter(letters, 9) & ~maximum_filter(letters, 5)).nonzero()
    assert least_ratio(ink, lower[around]) >= 2.95


@pytest.mark.parametrize("name", [name for name, format in FORMATS.items() if format.name not in ("story", "square")])
@pytest.mark.parametrize("logo", [False, True])
def test_what_is_read_stays_in_the_safe_area(name: str, logo: bool) -> None:
    """On flat grounds, all that differs between two texts; a scrim differs by rows only."""
    format = FORMATS[name]
    mark = np.full((20, 60, 4), (180, 0, 90, 255), np.uint8) if logo else None
    words: list[dict[Words, str]] = [WORDS, {"headline": "Ö", "text": "g", "call_to_action": "Ok"}]
    template = Template(layout="behind", scrim=1, ink="#ffffff")
    for layout in (Template(), template):
        one, other = (compose("p", flat(0, 0, 0), some, format, layout, mark) for some in words)
        if isinstance(one, Refused) or isinstance(other, Refused):
            continue
        differ = (one.image != other.image).any(2)
        assert differ.any()
        top, right, bottom, left = format.safe
        differ[top : format.height - bottom, left : format.width - right] = False
        assert not differ.any()


def test_a_story_keeps_clear_of_the_platform_s_own_bands() -> None:
    found = piece(flat(0, 0, 0), WORDS, "story", Template(ink="#ffffff"))
    bright = np.flatnonzero((found.image > 60).any((1, 2)))
    assert bright[0] >= 250 and bright[-1] < 1920 - 340
    columns = np.flatnonzero((found.image > 60).any((0, 2)))
    assert columns[0] >= 65 and columns[-1] < 1080 - 65


def test_a_given_ink_that_can_not_be_read_is_moved_on_paper_and_shaded_on_an_image() -> None:
    found = piece(noise(), WORDS, "billboard", Template(paper="#ffffff", ink="#ffee00", accent="#ffffff"))
    assert found.facts["ink_adapted"] is True
    assert found.facts["contrast_text"] >= 4.5 and found.facts["contrast_button"] >= 3  # type: ignore[operator]
    kept = piece(noise(), WORDS, "billboard", Template(paper="#ffffff", ink="#102030"))
    assert kept.facts["ink_adapted"] is False
    for ink in ("#808080", "#747474", "#ff0000"):  # against black or white behind it any ink can be read
        found = piece(noise(), WORDS, "medium-rectangle", Template(layout="behind", ink=ink, scrim=0))
        assert found.facts["contrast_text"] >= 4.5 and found.facts["ink_adapted"] is False  # type: ignore[operator]


def test_a_thicker_scrim_only_where_it_is_needed() -> None:
    calm, busy = (piece(image, WORDS, "square", Template(scrim=0)) for image in (flat(0, 0, 30), noise()))
    assert calm.facts["scrim"] == 0
    assert 0.3 < busy.facts["scrim"] <= 1  # type: ignore[operator]


def test_text_that_does_not_fit_is_refused_and_never_clipped() -> None:
    assert "least legible" in reason({"headline": "word " * 60}, "mobile-banner")
    assert "least legible" in reason({"headline": "Donaudampfschifffahrtsgesellschaft" * 3}, "wide-skyscraper")
    assert "no words" in reason({"text": "not carried here"}, "mobile-banner")
    assert "no words" in reason({"headline": " \t"})


@pytest.mark.parametrize(
    ("text", "told"),
    [("新しい商品", "cjk"), ("สวัสดี", "thai"), ("नमस्ते", "devanagari"), ("a\u202eb", "U+202E"), ("a\x07b", "U+0007")],
)
def test_scripts_that_the_font_lacks_are_refused_by_name(text: str, told: str) -> None:
    assert told in reason({"headline": text})


def test_a_heap_of_accents_is_refused() -> None:
    assert "accents" in reason({"headline": "Z" + "\u0301\u0316\u0317\u0318\u0319" * 20})


@pytest.mark.skipif(not features.check("raqm"), reason="Pillow without libraqm can't shape Arabic")
@pytest.mark.parametrize("text", ["عروض الخريف", "מבצעי סתיו"])
def test_what_runs_to_the_left_begins_on_the_right(text: str) -> None:
    """The image moves to the right too, the words end at its left edge."""
    found = compose("p", flat(255, 255, 255), {"headline": text}, FORMATS["landscape"], Template(paper="#ffffff"))
    assert isinstance(found, Piece)
    columns = np.flatnonzero((found.image < 100).all(2).any(0))
    assert 1200 - 624 - 48 - 12 <= columns[-1] <= 1200 - 624 - 48


def test_the_facts_tell_how_much_an_image_is_enlarged() -> None:
    found = piece(noise(side=30), WORDS, "half-page")
    assert (found.facts["enlarged"], found.facts["cropped"]) == (10, 0)


def test_a_logo_that_can_not_be_seen_gets_a_plate() -> None:
    logo = np.zeros((20, 60, 4), np.uint8)
    logo[5:15, 5:55] = 255
    white, black = (
        compose("p", flat(0, 0, 0), WORDS, FORMATS["billboard"], Template(paper=paper), logo)
        for paper in ("#ffffff", "#000000")
    )
    assert isinstance(white, Piece) and isinstance(black, Piece)
    assert white.facts["logo_on_plate"] is True and black.facts["logo_on_plate"] is False
    assert white.facts["contrast_logo"] == black.facts["contrast_logo"] == 21


@pytest.mark.parametrize("name", [name for name, format in FORMATS.items() if format.logo])
@pytest.mark.parametrize("words", [WORDS, {"headline": "سافر إلى البحر"}])
def test_a_plate_has_round_corners_and_hides_no_words(name: str, words: dict[Words, str]) -> None:
    clear, white = np.zeros((20, 60, 4), np.uint8), np.full((20, 60, 4), 255, np.uint8)
    white[:, 24:36] = 0
    layout = "beside" if FORMATS[name].width > FORMATS[name].height else "above"
    template = Template(paper="#ffffff", ink="#000000", layout=layout)
    bare, plated = (compose("p", flat(255, 255, 255), words, FORMATS[name], template, logo) for logo in (clear, white))
    assert isinstance(bare, Piece) and isinstance(plated, Piece)
    changed, inked = (bare.image != plated.image).any(2), bare.image.min(2) < 200
    assert plated.facts["logo_on_plate"] is True and changed.any() and inked.any()
    assert not (changed & inked).any()
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    corners = changed[np.ix_(rows[[0, -1]], columns[[0, -1]])]
    assert not corners.any() and changed[rows[0], columns.mean().astype(int)]


def test_the_same_gives_the_same() -> None:
    one, other = (piece(noise(), WORDS, "portrait") for _ in range(2))
    assert np.array_equal(one.image, other.image) and one.facts == other.facts


@given(st.text(max_size=60), st.text(max_size=20))
@settings(max_examples=150, deadline=None)
def test_any_text_is_composed_or_refused(headline: str, call: str) -> None:
    found = compose(
        "p", noise(), {"headline": headline, "call_to_action": call}, FORMATS["medium-rectangle"], Template()
    )
    assert isinstance(found, Piece) or found.reason


def test_a_font_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.ttf").write_bytes(b"\x00\x01\x00\x00" + os.urandom(500))
    for path in (tmp_path / "a.ttf", tmp_path / "absent.ttf", tmp_path):
        with pytest.raises(ParamsError, match="font"):
            compose("p", noise(), WORDS, FORMATS["square"], Template(font=str(path)))


def test_lines_break_where_they_may() -> None:
    def width(line: str) -> float:
        return float(sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in line))

    assert wrap("one two three", 7, width) == ["one two", "three"]
    assert wrap("one two three", 4, width) is None
    assert wrap("well-known", 6, width) == ["well-", "known"]
    assert wrap("-20% now", 4, width) == ["-20%", "now"]
    assert wrap("a\xa0b c", 3, width) == ["a\xa0b", "c"]
    assert wrap("日本語です。はい", 8, width) == ["日本語で", "す。はい"]
    assert wrap("あああ。", 6, width) == ["ああ", "あ。"]  # a full stop begins no line
    assert balanced("one two three four", 14, width) == ["one two", "three four"]


GOOD = 'headline,text,call_to_action,language,logo,formats\n"Hello, you",Good,Go,de,,square story\n-20% today,,,,,\n'


def campaign(tmp_path: Path, content: str | bytes, name: str = "spring.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_csv_campaign(tmp_path: Path) -> None:
    found = read_campaign(campaign(tmp_path, "\ufeff" + GOOD))
    assert [text.line for text in found.texts] == [2, 3]
    assert found.texts[0].words() == {"headline": "Hello, you", "text": "Good", "call_to_action": "Go"}
    names = [name for name, _, _ in found.pieces()]
    assert names[:2] == ["spring-0001-square", "spring-0001-story"]
    assert len(names) == 2 + len(FORMATS) and len(set(names)) == len(names)


def test_a_csv_as_a_spreadsheet_saves_it_elsewhere(tmp_path: Path) -> None:
    found = read_campaign(campaign(tmp_path, "Headline;Formats\r\nHello;square\r\n\r\n"))
    assert [(text.headline, text.formats) for text in found.texts] == [("Hello", ("square",))]


def test_a_yaml_campaign(tmp_path: Path) -> None:
    content = """\
formats: [square, story]
texts:
  - headline: "Hello: you"
  - headline: Hello again
    formats: billboard leaderboard
"""
    found = read_campaign(campaign(tmp_path, content, "a b.yaml"))
    assert found.name == "a-b"
    assert [(text.line, text.formats) for text in found.texts] == [
        (3, ("square", "story")), (4, ("billboard", "leaderboard")),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("text\nx\n", r"csv:1: has no column headline"),
        ("headline,colour\nx,red\n", r"csv:1: has the unknown column 'colour'"),
        ("headline,headline\nx,y\n", r"csv:1: .*twice"),
        ("headline,text\nx,y\nHello, you,z\n", r"csv:3: has 3 cells, the header 2"),
        ('headline,text\n"two\nlines",y\n,z\n', r"csv:4: has no headline"),
        ("headline\n=1+1\n", r"csv:2: .*formula"),
        ("headline\n@SUM(A1)\n", r"csv:2: .*formula"),
        ("headline\n-2+3+cmd|' /C calc'!A0\n", r"csv:2: .*formula"),
        ("headline\n" + "x" * 121 + "\n", r"csv:2: headline has 121 characters"),
        ("headline,language\nx,<b>\n", r"csv:2: language"),
        ("headline,logo\nx,../secret.png\n", r"csv:2: logo"),
        ("headline,logo\nx,/etc/passwd\n", r"csv:2: logo"),
        ("headline,logo\nx,C:\\logo.png\n", r"csv:2: logo"),
        ("headline,logo\nx,..\n", r"csv:2: logo"),
        ("headline,formats\nx,square sqare\n", r"csv:2: format 'sqare' is not known"),
        ("headline,formats\nx,square square\n", r"csv:2: format square stands there twice"),
        ("headline\na\u202eb\n", r"csv:2: .*U\+202E"),
        ('headline\n"open\n', r"csv:.*no CSV"),
        ("headline\n" + "x\n" * 5001, r"row 5001"),
        ("headline\n" + "x\n" * 1000, r"asks for 11000 pieces"),
        ("headline\n", r"has no texts"),
        ("", r"csv:1: has no column headline"),
        (b"headline\nok\n\xff\xfe\n", r"csv:3: is not UTF-8"),
        ("headline\nx\n".encode("utf-16"), r"is not UTF-8"),
        (b"headline\na\x00b\n", r"csv:2: has a NUL"),
        (b"headline\n" + b"x" * 3_000_000, r"larger than"),
    ],
)
def test_a_hostile_csv_is_told_in_one_line(tmp_path: Path, content: str | bytes, told: str) -> None:
    with pytest.raises(ParamsError, match=told) as error:
        read_campaign(campaign(tmp_path, content))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("- headline: x\n", r"has no list `texts`"),
        ("texts: [x]\n", r"yaml:1: is no map"),
        ("texts:\n  - headline: 5\n", r"yaml:2: headline is no text"),
        ("texts:\n  - headline: [a]\n", r"yaml:2: headline is no text"),
        ("texts:\n  - headline: x\n    colour: red\n", r"unknown key 'colour'"),
        ("texts:\n  - headline: x\nname: y\n", r"yaml:3: has the unknown key 'name'"),
        ("texts:\n  - headline: x\n    formats: 5\n", r"yaml:2: formats is no list"),
        ("texts:\n  - headline: x\n    headline: y\n", r"yaml:3: is no YAML"),
        ("texts:\n  - headline: 'x\n", r"is no YAML"),
        ("a: &a [x]\ntexts: [*a, *a]\n", r"alias"),
        ("texts:\n  - headline: !!python/object/apply:os.system [ls]\n", r"yaml:2"),
        ("[" * 100_000, r"nested"),
        ("texts: " + "{a: " * 1000, r"nested"),
        ("texts: [" + "{headline: x}," * 20_000 + "]\n", r"larger|texts|split"),
    ],
)
def test_a_hostile_yaml_is_told_in_one_line(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(ParamsError, match=told) as error:
        read_campaign(campaign(tmp_path, content, "c.yaml"))
    assert "\n" not in str(error.value)


def test_no_file_or_another_kind(tmp_path: Path) -> None:
    for name in ("absent.csv", "c.xlsx", "."):
        with pytest.raises(ParamsError):
            read_campaign(tmp_path / name)


def test_a_logo_lies_beside_its_campaign(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    path = campaign(folder, "headline,logo\nx,logo.png\ny,\nz,away.png\nz,text.png\nz,none.png\nz,wide.png\n")
    png = io.BytesIO()
    Image.new("RGB", (30, 10), (1, 2, 3)).save(png, "PNG")
    (folder / "logo.png").write_bytes(png.getvalue())
    (tmp_path / "secret.png").write_bytes(png.getvalue())
    (folder / "away.png").symlink_to(tmp_path / "secret.png")
    (folder / "text.png").write_text("hello")
    Image.new("L", (5000, 2)).save(folder / "wide.png")
    first, second, *others = read_campaign(path).texts
    logo = read_logo(path, first)
    assert logo is not None and logo.shape == (10, 30, 4) and logo[0, 0].tolist() == [1, 2, 3, 255]
    assert read_logo(path, second) is None
    for text, told in zip(others, ("leads out", "not an image", "No such file", "5000x2"), strict=True):
        with pytest.raises(ParamsError, match=rf"csv:{text.line}: .*{told}"):
            read_logo(path, text)


def test_distinct_rows_are_those_of_numpy() -> None:
    for columns in (3, 4):
        values = np.random.default_rng(0).integers(0, 3, (500, columns)).astype(np.uint8)
        values[::7] = 255
        assert values[distinct(values)].tolist() == np.unique(values, axis=0).tolist()
