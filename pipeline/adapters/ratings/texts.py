"""Text that every database can hold: PostgreSQL knows no NUL, and none of them knows lone surrogates."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, String

from pipeline.errors import GenloopError


def cleaned(text: str, most: int) -> str:
    """What can be held of it, cut: NUL and lone surrogates are replaced."""
    return text[:most].replace("\0", "\ufffd").encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def check_held(text: str | None, column: Column[Any], where: str = "") -> None:
    """Raises GenloopError where the column can't hold it as it is. SQLite would take what is too long."""
    if text is None:
        return
    longest = column.type.length if isinstance(column.type, String) else None
    if longest is not None and len(text) > longest:
        raise GenloopError(f"{column.name} {text[:40]!r}… is longer than {longest} characters", where=where[:240])
    if "\0" in text or not _is_unicode(text):
        raise GenloopError(f"{column.name} {text[:40]!r} has characters that can't be kept", where=where[:240])


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
