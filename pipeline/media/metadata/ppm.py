"""PPM, PGM, PBM and their like: a header of words, then pixels as bytes or as words."""

from __future__ import annotations

import re

from pipeline.media.metadata.cut import Cut, Stripped

MAGIC = re.compile(rb"(P[1-6f]|PyP)(?=[ \t-\r])|P0CMYK|PyRGBA|PyCMYK")
# As Pillow reads: a comment ends with its line and parts no word.
WORD = re.compile(rb"(?:[ \t-\r]|#[^\r\n]*+[\r\n])*+((?:[^ \t-\r#]|#[^\r\n]*+[\r\n])++)[ \t-\r]")
COMMENT = re.compile(rb"#[^\r\n]*[\r\n]?")
CHANNELS = {b"P6": 3, b"Pf": 4, b"P0CMYK": 4, b"PyRGBA": 4, b"PyCMYK": 4}
PADDING = b" \t\r\n\0"


def strip(data: bytes) -> Stripped:
    magic = MAGIC.match(data)
    if magic is None:
        return Stripped(data, ())
    name, at, words = magic[0], magic.end(), []
    for _ in range(2 if name in (b"P1", b"P4") else 3):
        if (word := WORD.match(data, at)) is None:
            return Stripped(data, ())
        words.append(COMMENT.sub(b"", word[1]))
        at = word.end()
    cut = Cut(data)
    is_plain = name in (b"P1", b"P2", b"P3")
    for comment in COMMENT.finditer(data, magic.end(), len(data) if is_plain else at):
        cut.out(*comment.span(), {"comment"})
    end = None if is_plain else _end(name, words, at)
    if end is not None and data[end:].strip(PADDING):
        cut.out(end, len(data), {"appended data"})
    return cut.done()


def _end(name: bytes, words: list[bytes], at: int) -> int | None:
    """Where the pixels end; None where the header's words can't say it."""
    try:
        width, height = int(words[0]), int(words[1])
        deep = name not in (b"P4", b"Pf") and int(words[2]) > 255
    except ValueError:
        return None
    row = (width + 7) // 8 if name == b"P4" else width * CHANNELS.get(name, 1) * (2 if deep else 1)
    return at + row * height if width > 0 and height > 0 else None
