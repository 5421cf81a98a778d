"""Errors that a person can mend: what went wrong, where, and what to do."""

from __future__ import annotations


class GenloopError(Exception):
    """A fault with a remedy; shown as one line, without a traceback."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.remedy = what, where, remedy

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f" ({self.remedy})" if self.remedy else ""
        return f"{place}{self.what}{advice}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.remedy)


def _rebuild(kind: type[GenloopError], what: str, where: str, remedy: str) -> GenloopError:
    return kind(what, where=where, remedy=remedy)


class ParamsError(GenloopError):
    """params.yaml, an override or an environment setting is not as it must be."""

    exit_code = 2


class SourceError(GenloopError):
    """A source is not there, is empty, or can't be read."""

    exit_code = 3


class ValidationError(GenloopError):
    """The dataset as a whole fails its suite; nothing was trained."""

    exit_code = 4


class ServiceError(GenloopError):
    """S3, MLflow, Prefect or DVC did not answer as it must."""

    exit_code = 5


class DiskError(GenloopError):
    """The disk is full or can't be written."""

    exit_code = 6


class DamagedError(DiskError):
    """What is on the disk is not what was written there."""


class BatchError(GenloopError):
    """A batch is not what it must be: too few items are left, or something in it was altered."""

    exit_code = 7


class WithdrawnError(BatchError):
    """A batch was taken back."""


KINDS = (
    *(GenloopError, ParamsError, SourceError, ValidationError, ServiceError, DiskError),
    *(DamagedError, BatchError, WithdrawnError),
)
ERRORS: dict[str, type[GenloopError]] = {kind.__name__: kind for kind in KINDS}
