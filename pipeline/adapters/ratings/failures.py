"""What goes wrong with a database, in one line that a person can act upon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError

from pipeline.errors import DiskError, GenloopError, ServiceError

REMEDIES = {
    "locked": "another process holds it for long: end that, or try again",
    "lock timeout": "another process holds it for long: end that, or try again",
    "unable to open": "give a folder that can be written",
    "readonly": "give a file and a folder that can be written",
    "not a database": "give another path, or move that file away",
    "malformed": "put a copy in its place",
    "password": "mend user and password in its URL",
    "does not exist": "make it, such as by createdb, or mend its URL",
    "permission denied": "let its user make tables",
}


@contextmanager
def told(shown: str) -> Iterator[None]:
    """Its errors as ServiceError; DiskError where the disk is full, GenloopError for what it can't hold or look for.

    shown: its URL, without a password.
    """
    try:
        yield
    except (UnicodeEncodeError, OverflowError, DataError):
        raise GenloopError("a text or a number is none that can be kept") from None
    except SQLAlchemyError as error:
        raise _told(error, shown) from None


def _told(error: SQLAlchemyError, shown: str) -> GenloopError:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    why = (" ".join(str(cause).split()) or type(cause).__name__)[:300]
    if "disk is full" in why or "No space left" in why:
        return DiskError("the disk of the feedback's database is full", where=shown, remedy="make room and try again")
    remedy = next((advice for sign, advice in REMEDIES.items() if sign in why), "see that it runs, and try again")
    return ServiceError(f"the feedback's database failed: {why}", where=shown, remedy=remedy)
