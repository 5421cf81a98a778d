"""What is known when it is decided whether to retrain: every number with how many it stands on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, Field

from pipeline.evaluate.intervals import LEAST, of_share
from pipeline.reviews import Tally
from pipeline.values import Share, Value

NotNegative = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]  # sums stay finite
Number = Annotated[int, Field(ge=0)]
DAY_S = 86_400
FLOORS = 8  # random subsets, of which the mean is the floor
RECENT = 5  # trainings, of which the dearest is awaited next


class Rate(Value):
    """The accepted share of those judged, and its 95% interval (Wilson); from 0 to 1 where none was."""

    judged: Number = 0
    accepted: Number = 0
    share: Share | None = None
    low: Share = 0.0
    high: Share = 1.0


class Span(Value):
    """The rate of what was judged from this day on, up to the next span's or for as long."""

    start: date
    rate: Rate


class Drifted(Value):
    """How far what is accepted lies from what was generated. nfd: 100 FD over the spread of the generated, as the
    scorecard's. floor: what chance alone gives for so many, the mean over random subsets of the generated."""

    nfd: NotNegative
    floor: NotNegative
    accepted: Number
    generated: Number

    @property
    def beyond(self) -> float:
        """What is not chance."""
        return max(0.0, self.nfd - self.floor)


class ItemCost(Value):
    """Money for each accepted item, and its interval, by that of the accepted share; high: None where none may be."""

    money: NotNegative
    low: NotNegative
    high: NotNegative | None
    made: Number
    judged: Number


class Training(Value):
    """hours: of a core; money: by the prices of params.yaml. promoted or not: it cost the same."""

    began: AwareDatetime
    hours: NotNegative
    money: NotNegative


class Spending(Value):
    """hours: of a core. trainings: that it is the sum of or was reckoned from."""

    hours: NotNegative = 0.0
    money: NotNegative = 0.0
    trainings: Number = 0


class Newest(Value):
    """The newest delivered batch."""

    batch: str
    items: Number
    judged: Number


class Facts(Value):
    """accepted: of what the champion made and was delivered. by_version: of the model, as text; by_arm: preferred,
    control, canary.

    new: verdicts on items since the champion was made. untrained: since the last training began, whatever became of
    it. unlearned: verdicts and outcomes since the preference was last learned. None where it is not known: drift, for
    instance, with too few accepted items. trained_at: when the last training began. spent: this month; next: the
    training to come, as is to be reckoned with.
    """

    at: AwareDatetime
    accepted: Rate = Rate()
    by_class: dict[str, Rate] = {}
    by_segment: dict[str, Rate] = {}
    by_version: dict[str, Rate] = {}
    by_arm: dict[str, Rate] = {}
    over_time: tuple[Span, ...] = ()
    new: Number = 0
    untrained: Number = 0
    unlearned: Number = 0
    drift: Drifted | None = None
    model_days: NotNegative | None = None
    data_days: NotNegative | None = None
    item_cost: ItemCost | None = None
    trained_at: AwareDatetime | None = None
    spent: Spending = Spending()
    next: Spending = Spending()
    newest: Newest | None = None


def rate(tally: Tally) -> Rate:
    """Raises ValueError where more were accepted than judged."""
    if not tally.judged:
        return Rate(accepted=tally.accepted)
    low, high = of_share(tally.accepted, tally.judged)
    return Rate(judged=tally.judged, accepted=tally.accepted, share=tally.share, low=low, high=high)


def rates(tallies: Mapping[str, Tally]) -> dict[str, Rate]:
    return {name: rate(tally) for name, tally in sorted(tallies.items())}


def over_time(tallies: Mapping[date, Tally], days: int = 7) -> tuple[Span, ...]:
    """Spans of so many days, counted from the first; those in which nothing was judged are left out."""
    sums: dict[date, Tally] = {}
    for day, tally in sorted(tallies.items()):
        start = day - timedelta((day - min(tallies)).days % days)
        sums[start] = total([sums.get(start, Tally()), tally])
    return tuple(Span(start=start, rate=rate(tally)) for start, tally in sums.items() if tally.judged)


def total(tallies: Iterable[Tally]) -> Tally:
    """Of groups that have no item in common."""
    every = list(tallies)
    return Tally(
        judged=sum(tally.judged for tally in every),
        accepted=sum(tally.accepted for tally in every),
        quarrels=sum(tally.quarrels for tally in every),
    )


def drift(accepted_ND: NDArray[Any], generated_MD: NDArray[Any], seed: int = 0) -> Drifted | None:
    """Of features of accepted items and of all that were delivered, the accepted among them. None where fewer than
    LEAST were accepted, or no more than LEAST delivered: their covariance would be chance.

    Raises ValueError where the features have different lengths, or are not finite.
    """
    from pipeline.evaluate.metrics import frechet, gaussian, spread

    n, m = len(accepted_ND), len(generated_MD)
    if n < LEAST or m <= LEAST:
        return None
    if accepted_ND.shape[1:] != generated_MD.shape[1:] or not all(
        np.isfinite(x).all() for x in (accepted_ND, generated_MD)
    ):
        raise ValueError("features of both should be finite, and alike long")
    whole, random = gaussian(generated_MD), np.random.default_rng(seed)
    chance = [frechet(whole, gaussian(generated_MD[random.choice(m, min(n, m), replace=False)])) for _ in range(FLOORS)]
    percent = 100 / spread(whole)
    return Drifted(
        nfd=percent * frechet(whole, gaussian(accepted_ND)),
        floor=percent * float(np.mean(chance)),
        accepted=n,
        generated=m,
    )


def days_since(at: datetime | None, now: datetime) -> float | None:
    """0 where it lies ahead, as by a clock that is wrong."""
    return None if at is None else max(0.0, (now - at).total_seconds() / DAY_S)


def item_cost(money: float, made: int, tally: Tally) -> ItemCost | None:
    """money: for all the batches of which so many items were made; the accepted share is that of the judged ones.
    None where none was accepted yet."""
    found = rate(tally)
    if not made or not found.share:
        return None
    each = money / made
    return ItemCost(
        money=each / found.share,
        low=each / found.high,
        high=each / found.low if found.low else None,
        made=made,
        judged=found.judged,
    )


def spent_this_month(trainings: Sequence[Training], now: datetime) -> Spending:
    """Of those that began in the calendar month of `now`, in UTC."""
    return _sum([training for training in trainings if _month(training.began) == _month(now)])


def expected(trainings: Sequence[Training], planned: Spending = Spending()) -> Spending:
    """Of the next training: the dearest of the last ones, by hours and by money, and no less than what is planned."""
    recent = sorted(trainings, key=lambda training: training.began)[-RECENT:]
    return Spending(
        hours=max([planned.hours, *(training.hours for training in recent)]),
        money=max([planned.money, *(training.money for training in recent)]),
        trainings=len(recent),
    )


def _sum(trainings: Sequence[Training]) -> Spending:
    return Spending(
        hours=sum(training.hours for training in trainings),
        money=sum(training.money for training in trainings),
        trainings=len(trainings),
    )


def _month(at: datetime) -> tuple[int, int]:
    at = at.astimezone(UTC)
    return at.year, at.month
