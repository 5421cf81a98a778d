"""params.yaml, read and written: a mistake in it is told by key, value and what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.errors import ParamsError
from pipeline.files import write_text
from pipeline.settings import OPEN, Params


def load_params(path: Path) -> Params:
    """Read and check params.yaml. Raises ParamsError that names file, key, value and what was expected."""
    return check_params(_read(path), str(path))


def check_params(raw: Any, where: str) -> Params:
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise ParamsError(_describe(error, raw), where=where, remedy="mend the value and run again") from None


def override_params(path: Path, pairs: Sequence[str]) -> Params:
    """Write `section.key=value` pairs into params.yaml, comments kept; nothing is written if any is wrong."""
    from io import StringIO

    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    document = _read(path, yaml)
    for pair in pairs:
        key, found, text = pair.partition("=")
        if not found:
            raise ParamsError(f"-S {pair!r} is not section.key=value", remedy="for example -S train.minutes=5")
        *sections, leaf = key.strip().split(".")
        node = document
        for section in sections:
            node = node.get(section) if isinstance(node, dict) else None
        if not isinstance(node, dict) or not (leaf in node or sections[-1:] in OPEN):
            raise ParamsError(f"unknown key {key!r}", where=str(path), remedy="`genloop run --help` tells how")
        node[leaf] = _parsed(pair, text)
    params = check_params(document, str(path))
    out = StringIO()
    yaml.dump(document, out)
    if pairs and out.getvalue() != path.read_text():
        write_text(path, out.getvalue())
    return params


def _parsed(pair: str, text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(text)
    except YAMLError as error:
        raise ParamsError(f"-S {pair!r} is not YAML: {' '.join(str(error).split())}") from None


def _read(path: Path, yaml: Any = None) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return (yaml or YAML(typ="safe")).load(path.read_text())
    except FileNotFoundError:
        raise ParamsError("no params.yaml here", where=str(path), remedy="run in a workspace") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"not YAML: {' '.join(str(error).split())}", where=str(path)) from None


def _describe(error: ValidationError, raw: Any) -> str:
    """One clause a key, also where pydantic has several of one, such as of each member of a union."""
    clauses: dict[str, str] = {}
    for fault in error.errors():
        key = _key(fault["loc"], raw)
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            clauses[key] = f"unknown key {key!r}"
        elif fault["type"] == "missing":
            clauses[key] = f"key {key!r} is missing"
        elif isinstance(fault["input"], dict):
            clauses[key] = f"{key}: {message}"
        elif key in clauses:
            clauses[key] += f" or {message}"
        else:
            clauses[key] = f"{key} = {fault['input']!r}: {message}"
    return "; ".join(clauses.values())


def _key(location: tuple[int | str, ...], raw: Any) -> str:
    """The key as it stands in the file: pydantic's location without the types that it tried."""
    parts = []
    for part in location:
        if not isinstance(raw, dict):
            break
        parts.append(str(part))
        raw = raw.get(part)
    return ".".join(parts)
