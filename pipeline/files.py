"""Writes that become visible whole or not at all, and hashes of what is on disk."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import ParamsError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`; on success it is synced and takes that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder; on success it takes the place of `path`.

    Killed between the two, `recover` finds what stood there before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-")), _aside(path)
    try:
        yield temporary
        temporary.chmod(0o755)
        shutil.rmtree(aside, ignore_errors=True)
        if path.exists():
            path.replace(aside)
        temporary.replace(path)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def recover(path: Path) -> None:
    """Put a folder back that a killed process had only begun to replace, and clear away what it left."""
    if not path.exists() and _aside(path).exists():
        _aside(path).replace(path)
    for left in (*path.parent.glob(f".{path.name}-*"), _aside(path)):
        shutil.rmtree(left, ignore_errors=True)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def link(source: Path, path: Path) -> None:
    """The same file by another name, or a copy of it where the file system has none."""
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)


def write_new(path: Path, data: bytes, mode: int = 0o644) -> bool:
    """Write whole or not at all, unless the file is there already: False then. Of several at once, one writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.link(temporary, path)  # unlike a rename, never replaces
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@contextmanager
def readable_csv(file: Path) -> Iterator[None]:
    """What goes wrong in reading a CSV file that a person gave, as ParamsError."""
    try:
        yield
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ParamsError(f"can't be read: {error}", where=str(file), remedy="give a CSV file in UTF-8") from None
