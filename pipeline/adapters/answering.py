"""Where MLflow, or what it keeps its files in, does not do what it is asked: an error that says so."""

from __future__ import annotations

import errno
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TypeVar

from pipeline.errors import ServiceError

Class = TypeVar("Class", bound=type)

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # the latter of an alias that is not there


@contextmanager
def answering() -> Iterator[None]:
    """Raises ServiceError; a disk that is full passes as it is."""
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, BotoCoreError, ClientError, OSError) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        what = f"MLflow did not answer: {' '.join(str(error).split())[:300]}"
        raise ServiceError(
            what, where="GENLOOP_MLFLOW_URI", remedy="`genloop doctor`; run again once it does"
        ) from error


def answered(kind: Class) -> Class:
    """A class each of whose public methods asks MLflow."""
    for name, method in list(vars(kind).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(kind, name, _answered(method))
    return kind


def is_absent(error: Exception) -> bool:
    """Whether an exception of MLflow says that there is no such thing: not that nobody could be asked."""
    return getattr(error, "error_code", "") in ABSENT


def _answered(method: Callable[..., object]) -> Callable[..., object]:
    @wraps(method)
    def ask(*arguments: object, **named: object) -> object:
        with answering():
            return method(*arguments, **named)

    return ask
