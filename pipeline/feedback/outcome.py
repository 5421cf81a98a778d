"""What became of a decision: whether ratings rose on what was made after it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pipeline.feedback.facts import Rate, rate, total
from pipeline.reviews import Tally
from pipeline.values import Value

LEAST = 30  # judged items of later batches


class Concluded(Value):
    """rose: True or False where the intervals of before and after lie apart, None where they overlap."""

    before: Rate
    after: Rate
    rose: bool | None


def outcome_of(
    before: Mapping[str, Any], inside: Collection[str], tallies: Mapping[tuple[Any, ...], Tally]
) -> Concluded | None:
    """before: the accepted share that the decision stood on; inside: the batches that were there then; tallies: of all
    batches now. None where too little is judged of later ones."""
    after = total(tally for (batch,), tally in tallies.items() if batch not in inside)
    if after.judged < LEAST:
        return None
    was, is_ = Rate.model_validate(before), rate(after)
    rose = True if is_.low > was.high else False if is_.high < was.low else None
    return Concluded(before=was, after=is_, rose=rose)
