"""Decide: whether to retrain, to adapt the next batch alone, to ask for reviews or to wait. Pure, with its reasons."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, ConfigDict

from pipeline.feedback.facts import Facts
from pipeline.feedback_params import Deciding, Review
from pipeline.values import Value

Action = Literal["retrain", "adapt", "review", "wait"]
ENDLESS = ConfigDict(ser_json_inf_nan="strings")  # a budget, or a cool-down, may be .inf; JSON has no such number


class Reason(Value):
    """text: as people read it; about: of which fact; value, bound: that were compared; n: that the value stands on."""

    model_config = ENDLESS
    text: str
    about: str
    value: float | None = None
    bound: float | None = None
    n: int | None = None


class NextStep(Value):
    """What is to be done now. until: the earliest that a retraining that is wanted may begin, where it has to cool."""

    model_config = ENDLESS
    action: Action
    reasons: tuple[Reason, ...]
    at: AwareDatetime
    until: AwareDatetime | None = None


def decide(facts: Facts, settings: Deciding, review: Review, now: datetime) -> NextStep:
    """The first that holds:

    1. too few items were judged since the champion was made: ask for reviews;
    2. a better model is wanted (the accepted share's interval lies below the bound, what is accepted has drifted from
       what is made, model or data are too old), enough is new since the last training, no training began within the
       cool-down, and the budget bears one more: retrain;
    3. there is feedback that the preference has not learned: adapt;
    4. the newest batch lacks its quorum: ask for reviews;
    5. wait.

    What stands against a retraining that is wanted is told in any case.
    """
    few = settings.verdicts - facts.new
    if few > 0:
        return NextStep(
            action="review", reasons=(_too_few(few, facts, settings, review), *_quorum(facts, review)), at=now
        )
    wanted = tuple(_wanted(facts, settings))
    against = tuple(_against(facts, settings, now)) if wanted else ()
    if wanted and not against:
        return NextStep(action="retrain", reasons=(*wanted, _borne(facts, settings)), at=now)
    until = _cool_at(facts, settings) if any(reason.about == "cool_down_hours" for reason in against) else None
    told = (*wanted, *against) if wanted else (_good(facts, settings),)
    action, reason = _without_training(facts, review)
    return NextStep(action=action, reasons=(*told, *reason), at=now, until=until)


def _wanted(facts: Facts, settings: Deciding) -> Iterator[Reason]:
    """Why a better model is wanted; nothing where it is not."""
    rate, drift = facts.accepted, facts.drift
    if rate.judged and rate.high < settings.accepted:
        text = f"of {rate.judged} items {rate.share:.1%} were accepted, at most {rate.high:.1%} by the 95% interval"
        text = f"{text}; {settings.accepted:.1%} are wanted"
        yield Reason(text=text, about="accepted", value=rate.high, bound=settings.accepted, n=rate.judged)
    if drift and drift.beyond > settings.drift:
        text = (
            f"what is accepted is {drift.beyond:.3g} of nFD beyond chance from what is made, at most {settings.drift:g}"
        )
        n = drift.accepted
        yield Reason(text=f"{text} (n = {n})", about="drift", value=drift.beyond, bound=settings.drift, n=n)
    ages = (("model", facts.model_days, settings.model_days), ("data", facts.data_days, settings.data_days))
    for what, days, most in ages:
        if most and days is not None and days > most:
            text = f"the {what} is {days:.1f} days old, at most {most:g}"
            yield Reason(text=text, about=f"{what}_days", value=days, bound=most)


def _against(facts: Facts, settings: Deciding, now: datetime) -> Iterator[Reason]:
    """What forbids a training; nothing where none does."""
    if facts.untrained < settings.verdicts:
        n = facts.untrained
        text = f"{n} verdicts are new since the last training began, another takes {settings.verdicts}"
        yield Reason(text=text, about="untrained", value=n, bound=settings.verdicts, n=n)
    if (cool := _cool_at(facts, settings)) and now < cool:
        text = f"the last training began less than {settings.cool_down_hours:g} hours ago: the next at {_told(cool)}"
        hours = (now - (facts.trained_at or now)).total_seconds() / 3600
        yield Reason(text=text, about="cool_down_hours", value=hours, bound=settings.cool_down_hours)
    for unit, spent, more, most in _budget(facts, settings):
        if spent >= most or spent + more > most:
            text = f"the month's budget of {most:g} {unit} does not bear a training: {spent:.3g} are spent, the next"
            text = f"{text} would take {more:.3g}"
            yield Reason(text=text, about=unit, value=spent + more, bound=most, n=facts.spent.trainings)


def _budget(facts: Facts, settings: Deciding) -> tuple[tuple[str, float, float, float], ...]:
    """Unit, spent, to be spent, most."""
    return (
        ("hours", facts.spent.hours, facts.next.hours, settings.hours),
        ("money", facts.spent.money, facts.next.money, settings.money),
    )


def _borne(facts: Facts, settings: Deciding) -> Reason:
    left = settings.hours - facts.spent.hours
    text = (
        f"a training takes about {facts.next.hours:.3g} hours, {left:.3g} of this month's {settings.hours:g} are left"
    )
    value = facts.spent.hours + facts.next.hours
    return Reason(text=text, about="hours", value=value, bound=settings.hours, n=facts.spent.trainings)


def _too_few(few: int, facts: Facts, settings: Deciding, review: Review) -> Reason:
    text = f"{few} more items have to be judged: {facts.new} of {settings.verdicts} are since the champion was made"
    if review.opinions > 1:
        text = f"{text}; each takes {review.opinions} opinions"
    return Reason(text=text, about="verdicts", value=facts.new, bound=settings.verdicts, n=facts.new)


def _quorum(facts: Facts, review: Review) -> tuple[Reason, ...]:
    batch = facts.newest
    wanted = min(review.quorum, batch.items) if batch else 0
    if not batch or batch.judged >= wanted:
        return ()
    text = f"of the newest batch {batch.batch} {batch.judged} of {wanted} items are judged"
    return (Reason(text=text, about="quorum", value=batch.judged, bound=wanted, n=batch.items),)


def _good(facts: Facts, settings: Deciding) -> Reason:
    rate = facts.accepted
    if rate.share is None:
        return Reason(text="nothing that the champion made is judged", about="accepted", n=0)
    text = f"of {rate.judged} items {rate.share:.1%} were accepted, at most {rate.high:.1%} by the 95% interval"
    text = f"{text}: not shown to be below {settings.accepted:.1%}"
    return Reason(text=text, about="accepted", value=rate.high, bound=settings.accepted, n=rate.judged)


def _without_training(facts: Facts, review: Review) -> tuple[Action, tuple[Reason, ...]]:
    n = facts.unlearned
    if n:
        text = f"{n} verdicts and outcomes are new since the preference was learned"
        return "adapt", (Reason(text=text, about="unlearned", value=n, bound=1, n=n),)
    if lacking := _quorum(facts, review):
        return "review", lacking
    text = "nothing is new since the preference was learned"
    return "wait", (Reason(text=text, about="unlearned", value=0, bound=1, n=0),)


def _cool_at(facts: Facts, settings: Deciding) -> datetime | None:
    """When the cool-down ends; the last moment of the calendar where it is beyond that."""
    if facts.trained_at is None:
        return None
    try:
        return facts.trained_at + timedelta(hours=settings.cool_down_hours)
    except OverflowError:
        return datetime.max.replace(tzinfo=facts.trained_at.tzinfo)


def _told(at: datetime) -> str:
    return at.isoformat(timespec="minutes")
