"""What every object store does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

KEY_BYTES = 1024  # S3's own limit
PRESIGNED_S = 7 * 24 * 3600  # the longest that signature version 4 can say


class Head(NamedTuple):
    """What is told of an object without its content. etag: of equal ones of one key, the content is equal."""

    size: int
    etag: str


class Listed(NamedTuple):
    """at: when it was written, as the store has it."""

    key: str
    size: int
    at: datetime


class Store(Protocol):
    """Keys are relative paths with slashes; those that begin so are a prefix's. All raise ServiceError in one line."""

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Write whole or not at all. Raises ValueError for a key that not every store can hold."""
        ...

    def put_new(self, key: str, data: bytes, content_type: str) -> bool:
        """Write unless the key is there already; False if it was, by another than this call.

        An S3 that ignores conditions (rclone's, the embedded one) always writes: ask `is_conditional` before it is
        used as a lock; else only for objects whose content is the same whoever writes them.
        """
        ...

    def get(self, key: str) -> bytes | None:
        """The whole content, or None where the key is not there."""
        ...

    def get_range(self, key: str, start: int, end: int) -> bytes | None:
        """Bytes `start` to `end` - 1, fewer where the object ends before. Raises ValueError unless 0 <= start < end."""
        ...

    def head(self, key: str) -> Head | None: ...

    def delete(self, keys: Iterable[str]) -> None:
        """Those that are not there are no fault. Where one can't be deleted the others are all the same."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """In order."""
        ...

    def files(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys and sizes in bytes, in order of the keys."""
        ...

    def listed(self, prefix: str) -> Iterator[Listed]:
        """The same, and when each was written."""
        ...

    def is_conditional(self) -> bool:
        """Whether `put_new` is refused where the key is there. Tried once, by an object that is deleted again."""
        ...

    def presigned(self, key: str, expires_s: int) -> str:
        """An address at which who has it can get the object, for at most a week. It is a secret: never log it."""
        ...

    def lifecycle_rules(self, days: Mapping[str, int]) -> None:
        """Have objects expire, so many days after they were written, by prefix; `{}` ends what was set here before.

        Rules that others made stay as they are. Raises ServiceError where the store can't do it.
        """
        ...

    def check(self) -> None:
        """Return if the store can be used."""
        ...

    def uri(self, key: str) -> str: ...


def check_key(key: str) -> None:
    """Raise ValueError unless every store can hold it, and list it again."""
    segments = key.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        raise ValueError(f"key {key!r} leaves the store, or has an empty segment")
    if segments[-1].startswith("."):
        raise ValueError(f"key {key!r} is hidden: its last segment begins with a dot")
    if any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in key):
        raise ValueError(f"key {key!r} has control characters")
    if len(key.encode()) > KEY_BYTES:  # lone surrogates are a UnicodeEncodeError, which is a ValueError
        raise ValueError(f"key {key[:40]!r}… is longer than {KEY_BYTES} bytes")


def check_range(start: int, end: int) -> None:
    if not 0 <= start < end:
        raise ValueError(f"bytes {start} to {end} are no range")


def check_expiry(expires_s: int) -> None:
    if not 1 <= expires_s <= PRESIGNED_S:
        raise ValueError(f"{expires_s} s is not between 1 s and a week")
