"""The section `retention` of params.yaml: what `genloop clean` may take away, by kind."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, NonNegativeInt

from pipeline.values import Value

MONTH = 31


class Keep(Value):
    """Taken away is what is older than so many days, 0 is never, and not one of the newest, of its group."""

    days: NonNegativeInt = 0
    newest: NonNegativeInt = 0


def _for_a_month(keep: Keep) -> Keep:
    if 0 < keep.days < MONTH:
        raise ValueError(f"days should be 0, or at least {MONTH}: the trainings of a month count in feedback.deciding")
    return keep


class Retention(Value):
    """Whatever the champion, a tag, a committed batch or a hold needs stays in any case.

    batches: committed ones, of which the record is left; newest: of each order. withdrawn: of withdrawn ones, what they
    could be made again from. unfinished: parts of batches that never were committed. snapshots: versions of the
    dataset, with their objects in DVC's cache and remotes. models, preferences: versions, with their runs in MLflow.
    runs: those without a version. cache: of DVC, objects that no version, and no dvc.lock here or of a branch or tag of
    git, names; remotes: the same of DVC's remotes, where there may be those of others. checkpoints: of trainings.
    pages: reports, pages and measured features, newest: of each sort. temporary: of writes that were killed.
    """

    batches: Keep = Keep(newest=1)
    withdrawn: Keep = Keep(days=365)
    unfinished: Keep = Keep(days=7)
    snapshots: Keep = Keep(newest=10)
    models: Annotated[Keep, AfterValidator(_for_a_month)] = Keep(days=180, newest=20)
    preferences: Keep = Keep(days=90, newest=20)
    runs: Keep = Keep(days=90, newest=20)
    cache: Keep = Keep(days=90)
    remotes: Keep = Keep()
    checkpoints: Keep = Keep(days=30, newest=2)
    pages: Keep = Keep(days=90, newest=3)
    temporary: Keep = Keep(days=2)
