"""URLs of databases: which driver reads one, and how it is shown."""

from __future__ import annotations

import re

_POSTGRES = re.compile(r"^postgres(ql)?(\+\w+)?://")
_PASSWORD = re.compile(r"(?<=://)([^/@:]*):[^@]*@")


def with_driver(url: str, driver: str) -> str:
    """Of PostgreSQL by this driver, whatever it names itself; others as they are."""
    return _POSTGRES.sub(f"postgresql+{driver}://", url)


def is_database(url: str) -> bool:
    """And no server that is asked over HTTP."""
    return bool(url) and not url.startswith(("http://", "https://"))


def shown(url: str) -> str:
    """Without its password."""
    return _PASSWORD.sub(r"\1:***@", url)
