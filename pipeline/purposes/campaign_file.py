"""The rows of a campaign's file, CSV or YAML, each with the line that it stands on."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import ParamsError

COLUMNS = ("headline", "text", "call_to_action", "language", "logo", "formats")
CSV_BYTES, YAML_BYTES = 2_000_000, 250_000  # YAML is read at a tenth of the speed
MOST_ROWS = 5000
DEEPEST = 6  # texts need 3
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Row(NamedTuple):
    line: int
    cells: Mapping[str, str]
    formats: tuple[str, ...]


def read_rows(path: Path) -> Iterator[Row]:
    """Raises ParamsError where the file is not what it should be."""
    if path.suffix.lower() == ".csv":
        return _csv_rows(_content(path, CSV_BYTES), path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return _yaml_rows(_content(path, YAML_BYTES), path)
    raise ParamsError("is neither .csv nor .yaml", where=str(path), remedy="name it by what it is")


def _content(path: Path, most: int) -> str:
    try:
        if path.exists() and not path.is_file():
            raise ParamsError("is no file", where=str(path), remedy="give a CSV or YAML file")
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ParamsError(f"can't be read: {error.strerror}", where=str(path), remedy="look at its name") from None
    if len(data) > most:
        raise ParamsError(f"is larger than {most} bytes", where=str(path), remedy="split it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        where = str(path) if data.startswith(UTF_16) else f"{path}:{line}"
        raise ParamsError("is not UTF-8", where=where, remedy="save it as UTF-8, in Excel as 'CSV UTF-8'") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ParamsError("has a NUL character", where=f"{path}:{line}", remedy="save it as text in UTF-8")
    return text


def _csv_rows(text: str, path: Path) -> Iterator[Row]:
    first = text.partition("\n")[0]
    separator = ";" if ";" in first and "," not in first else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        _check_columns(header, path)
        line = reader.line_num + 1
        for count, cells in enumerate(reader, 1):
            if count > MOST_ROWS:
                raise _fault(path, line, f"is row {count}", f"split the file at {MOST_ROWS} rows")
            if any(cell.strip() for cell in cells):
                if len(cells) != len(header):
                    what = f"has {len(cells)} cells, the header {len(header)}"
                    raise _fault(path, line, what, f"put texts that hold a {separator!r} into double quotes")
                row = dict(zip(header, cells, strict=True))
                yield Row(line, row, tuple(row.pop("formats", "").split()))
            line = reader.line_num + 1
    except csv.Error as error:
        raise _fault(path, reader.line_num, f"is no CSV: {error}", "look at its quotes") from None


def _check_columns(header: list[str], path: Path) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    if "headline" not in header:
        raise _fault(path, 1, "has no column headline", f"columns are {', '.join(COLUMNS)}")
    if unknown:
        raise _fault(path, 1, f"has the unknown column {unknown[0][:40]!r}", f"columns are {', '.join(COLUMNS)}")
    if len(set(header)) < len(header):
        raise _fault(path, 1, "has a column twice", "delete one")


def _yaml_rows(text: str, path: Path) -> Iterator[Row]:
    tree = _yaml_tree(text, path)
    if not isinstance(tree, dict) or not isinstance(tree.get("texts"), list):
        raise _fault(path, 1, "has no list `texts`", "see read_campaign")
    lines: Any = tree.lc  # type: ignore[attr-defined]
    common = {"formats": tree.get("formats", []), "logo": tree.get("logo", "")}
    for key in tree:
        if key not in ("texts", *common):
            raise _fault(path, lines.key(key)[0] + 1, f"has the unknown key {str(key)[:40]!r}", "texts, formats, logo")
    texts = tree["texts"]
    if len(texts) > MOST_ROWS:
        raise _fault(path, 1, f"has {len(texts)} texts", f"split the file at {MOST_ROWS}")
    for number, entry in enumerate(texts):
        line = texts.lc.item(number)[0] + 1
        if not isinstance(entry, dict):
            raise _fault(path, line, "is no map with a headline", "write `- headline: …`")
        yield _yaml_row({**common, **entry}, line, path)


def _yaml_tree(text: str, path: Path) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        _check_tokens(text, path)
        yaml = YAML(typ="rt", pure=True)
        return yaml.load(io.StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark
        what = f"is no YAML: {' '.join(str(error.problem).split())[:120]}"
        raise _fault(path, (mark.line if mark else 0) + 1, what, "look at blanks and quotes") from None
    except (YAMLError, RecursionError, ValueError, TypeError, AttributeError) as error:
        what = f"is no YAML: {' '.join(str(error).split())[:120]}"
        raise ParamsError(what, where=str(path), remedy="look at blanks and quotes") from None


def _check_tokens(text: str, path: Path) -> None:
    """Before a tree is built: aliases make a small file large, and nesting makes it slow."""
    from ruamel.yaml import YAML, tokens

    opening = (
        *(tokens.FlowSequenceStartToken, tokens.FlowMappingStartToken),
        *(tokens.BlockSequenceStartToken, tokens.BlockMappingStartToken),
    )
    closing = (tokens.FlowSequenceEndToken, tokens.FlowMappingEndToken, tokens.BlockEndToken)
    depth = 0
    for token in YAML(typ="rt", pure=True).scan(io.StringIO(text)):
        depth += isinstance(token, opening) - isinstance(token, closing)
        if isinstance(token, tokens.AliasToken):
            raise _fault(path, token.start_mark.line + 1, "has an alias (*name)", "write the text out")
        if depth > DEEPEST:
            raise _fault(path, token.start_mark.line + 1, f"is nested more than {DEEPEST} deep", "see read_campaign")


def _yaml_row(entry: dict[Any, Any], line: int, path: Path) -> Row:
    cells, formats = dict[str, str](), entry.pop("formats")
    for key, value in entry.items():
        if key not in COLUMNS:
            raise _fault(path, line, f"has the unknown key {str(key)[:40]!r}", f"keys are {', '.join(COLUMNS)}")
        if value is None:
            continue
        if not isinstance(value, str):
            raise _fault(path, line, f"{key} is no text", "put it into double quotes")
        cells[key] = str(value)
    names = formats.split() if isinstance(formats, str) else formats
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _fault(path, line, "formats is no list of names", "write `formats: [square, story]`")
    return Row(line, cells, tuple(map(str, names)))


def _fault(path: Path, line: int, what: str, remedy: str) -> ParamsError:
    return ParamsError(what, where=f"{path}:{line}", remedy=remedy)
