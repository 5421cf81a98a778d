"""The sections `review` and `feedback` of params.yaml: who is asked, what is learned of it, when that is acted upon."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from pipeline.values import Share, Value


class Review(Value):
    """opinions: verdicts that an item takes; where the first disagree, one more. quorum: items of a batch that have to
    be judged, or all where there are fewer. random: share of what is shown that is drawn at random, for honest
    estimates; the rest are those that the preference model is least sure of.
    """

    opinions: Annotated[int, Field(ge=1, le=9)] = 1
    quorum: PositiveInt = 200
    random: Share = 0.25


class Learning(Value):
    """The preference model. half_life_days: after which feedback weighs half; 0: never less. outcomes: the most that
    one item's impressions weigh, in verdicts. least: verdicts, without which nothing is preferred.
    """

    half_life_days: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    outcomes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    least: PositiveInt = 30
    seed: Annotated[int, Field(ge=0)] = 0


class Adapting(Value):
    """What the next batch makes of it, with no training. holdout: share of a batch that is taken without preference,
    to compare with. candidates: made for each item that is wanted. sharpness: odds grow with the chance of being
    accepted to this power; explore: share of the odds that all candidates have alike. mix: classes that are accepted
    more often are made more often, by Thompson sampling; starve: but of none less than this share of what was asked.
    """

    holdout: Annotated[Share, Field(lt=1)] = 0.1
    candidates: Annotated[float, Field(ge=1, le=100)] = 10.0
    sharpness: Annotated[float, Field(ge=0, le=100)] = 8.0
    explore: Share = 0.02
    mix: bool = True
    starve: Share = 0.25


class Deciding(Value):
    """When to retrain. verdicts: fewest new ones since the champion was made, or it only asks for reviews.
    accepted: where the accepted share of what is delivered, by its interval, is below, a better model is wanted.
    drift: nFD of accepted against delivered items, above which adapting alone no longer serves. model_days, data_days:
    the greatest age; 0: any. cool_down_hours: between two trainings. hours, money: the most that trainings may take a
    month, and then they stop.
    """

    verdicts: PositiveInt = 200
    accepted: Share = 0.6
    drift: Annotated[float, Field(ge=0)] = 2.0
    model_days: Annotated[float, Field(ge=0)] = 0.0
    data_days: Annotated[float, Field(ge=0)] = 0.0
    cool_down_hours: Annotated[float, Field(ge=0)] = 24.0
    hours: Annotated[float, Field(ge=0)] = 100.0
    money: Annotated[float, Field(ge=0)] = 100.0


class Canary(Value):
    """After a promotion, this share of each batch comes from the old champion, until the new one's accepted share is
    shown to be worse by no more than `margin`, or worse at all: then it is rolled back. level: of the sequential test.
    most: verdicts on either, after which the new one stays.
    """

    share: Annotated[Share, Field(lt=1)] = 0.2
    margin: Share = 0.05
    level: Annotated[float, Field(gt=0, lt=1)] = 0.05
    most: PositiveInt = 2000


class Feedback(Value):
    learning: Learning = Learning()
    adapting: Adapting = Adapting()
    deciding: Deciding = Deciding()
    canary: Canary = Canary()
