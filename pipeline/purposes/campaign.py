"""A campaign: texts times formats, read from a CSV or YAML file that a person wrote; nothing in it is trusted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ParamsError
from pipeline.purposes.campaign_file import Row, read_rows
from pipeline.purposes.fonts import tidy
from pipeline.purposes.formats import FORMATS, Format, Words
from pipeline.values import Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LENGTHS: dict[str, int] = {"headline": 120, "text": 400, "call_to_action": 30}
MOST_PIECES = 5000
LOGO_BYTES, LOGO_SIDE = 5_000_000, 4096
LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")
FORMULA = re.compile(r"=|[+\-@].*(\||\w\()", re.DOTALL)  # what a spreadsheet would run, not "-20% today"
FILE_NAME = re.compile(r"[\w][\w .-]{0,99}")


class AdText(Value):
    """line: where it stands in its file. logo: the name of a file beside it, or nothing."""

    line: int
    headline: str
    text: str = ""
    call_to_action: str = ""
    language: str = ""
    logo: str = ""
    formats: tuple[str, ...]

    def words(self) -> dict[Words, str]:
        return {"headline": self.headline, "text": self.text, "call_to_action": self.call_to_action}


class Campaign(Value):
    name: str
    texts: tuple[AdText, ...]

    def pieces(self) -> Iterator[tuple[str, AdText, Format]]:
        """(name, text, format) of each piece, by text; names are fit for files and are told apart."""
        for number, text in enumerate(self.texts, 1):
            for format in text.formats:
                yield f"{self.name}-{number:04d}-{format}", text, FORMATS[format]


def read_campaign(path: Path) -> Campaign:
    """Raises ParamsError with the file and the line for whatever is not as it must be.

    Columns (CSV) or keys of each of `texts` (YAML): headline; if wanted text, call_to_action, language, logo and
    formats, which stand apart by blanks (in YAML they may be a list). Without formats: all of them. In YAML, `formats`
    and `logo` beside `texts` hold for each that has none.
    """
    texts = tuple(_text(row, path) for row in read_rows(path))
    if not texts:
        raise ParamsError("has no texts", where=str(path), remedy="give one line or one of `texts` for each ad")
    count = sum(len(text.formats) for text in texts)
    if count > MOST_PIECES:
        remedy = f"split it into files of at most {MOST_PIECES} pieces"
        raise ParamsError(f"asks for {count} pieces", where=str(path), remedy=remedy)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-")[:60] or "campaign"
    return Campaign(name=name, texts=texts)


def read_logo(campaign: Path, text: AdText) -> NDArray[np.uint8] | None:
    """uint8 [H, W, 4] of the file beside the campaign's; None where the text names none."""
    if not text.logo:
        return None
    folder = campaign.resolve().parent
    path = folder / text.logo
    where = f"{campaign}:{text.line}"
    try:
        if path.resolve(strict=True).parent != folder:
            raise ParamsError(
                f"logo {text.logo} leads out of the campaign's folder", where=where, remedy="copy it there"
            )
        if not path.is_file():
            raise ParamsError(f"logo {text.logo} is no file", where=where, remedy="give a PNG")
        with path.open("rb") as file:
            data = file.read(LOGO_BYTES + 1)
    except OSError as error:
        remedy = f"put it into {folder}"
        raise ParamsError(f"logo {text.logo} can't be read: {error.strerror}", where=where, remedy=remedy) from None
    if len(data) > LOGO_BYTES:
        raise ParamsError(f"logo {text.logo} is larger than {LOGO_BYTES // 10**6} MB", where=where, remedy="shrink it")
    return _decoded(data, text.logo, where)


def _decoded(data: bytes, name: str, where: str) -> NDArray[np.uint8]:
    import io

    import numpy as np
    from PIL import Image

    from pipeline.media.image import FORMATS as DECODED
    from pipeline.media.image import inspect

    found = inspect(data)
    problem = found.problem
    if problem is None and max(found.width, found.height) > LOGO_SIDE:
        problem = f"it has {found.width}x{found.height} pixels, more than {LOGO_SIDE} a side"
    if problem:
        raise ParamsError(f"logo {name}: {problem}", where=where, remedy="give a PNG, best with a clear ground")
    return np.asarray(Image.open(io.BytesIO(data), formats=DECODED).convert("RGBA"))


def _text(row: Row, path: Path) -> AdText:
    where = f"{path}:{row.line}"
    cells = {key: tidy(value) for key, value in row.cells.items()}
    for key, value in cells.items():
        _check_cell(key, value, where)
    if not cells.get("headline"):
        raise ParamsError("has no headline", where=where, remedy="every ad needs one")
    if (language := cells.get("language", "")) and not LANGUAGE.fullmatch(language):
        raise ParamsError(f"language {language[:40]!r} is no language tag", where=where, remedy="such as de or pt-BR")
    logo = cells.get("logo", "")
    if logo and not FILE_NAME.fullmatch(logo):
        remedy = "give the name of a file beside the campaign's, without folders"
        raise ParamsError(f"logo {logo[:80]!r} is no plain file name", where=where, remedy=remedy)
    formats = _formats(row.formats, where)
    wanted = {key: cells.get(key, "") for key in ("headline", "text", "call_to_action", "language", "logo")}
    return AdText(line=row.line, formats=formats, **wanted)


def _check_cell(key: str, value: str, where: str) -> None:
    most = LENGTHS.get(key, 100)
    if len(value) > most:
        remedy = f"shorten it to {most}"
        raise ParamsError(f"{key} has {len(value)} characters", where=where, remedy=remedy)
    if FORMULA.match(value):
        what = f"{key} {value[:20]!r} is a formula to a spreadsheet that opens the manifest"
        raise ParamsError(what, where=where, remedy="begin it with a letter")
    strange = next((sign for sign in value if not sign.isprintable() and sign not in "\xa0\u202f\u200c\u200d"), None)
    if strange is not None:
        what = f"{key} has the invisible character U+{ord(strange):04X}"
        raise ParamsError(what, where=where, remedy="delete it")


def _formats(names: tuple[str, ...], where: str) -> tuple[str, ...]:
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        remedy = f"known are {', '.join(FORMATS)}"
        raise ParamsError(f"format {unknown[0][:40]!r} is not known", where=where, remedy=remedy)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ParamsError(f"format {twice[0]} stands there twice", where=where, remedy="delete one")
    return names or tuple(FORMATS)


def facts_of(text: AdText) -> Mapping[str, str]:
    """What of the text stands in a piece's row of the manifest."""
    return {"headline": text.headline, "language": text.language}
