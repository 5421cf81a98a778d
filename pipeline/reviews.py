"""What is said of delivered items: by people who look at them, and by systems that use them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from pipeline.orders import NAME
from pipeline.values import Value

ITEM = re.compile(r"([0-9a-f]{16})-(\d{8})(?:-[\w.-]{1,200})?")

Role = Literal["reviewer", "expert"]
Arm = Literal["", "preferred", "control", "canary"]
ItemName = Annotated[str, Field(max_length=240, pattern=rf"^{ITEM.pattern}$")]
Name = Annotated[str, Field(pattern=NAME)]
Tag = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[\w][\w .&+-]*$")]
Count = Annotated[int, Field(ge=0, le=10**12)]


class Reviewer(Value):
    name: Name
    role: Role


class Enrolled(Value):
    """A delivered item as those who review it, and who learn from that, have to know it.

    place: its index in the batch. segment: that the batch is for, or empty. chance: of being accepted, as the
    preference model `preference` saw it before anyone did, doubt: the standard deviation of its logit; odds: with
    which the item was taken of its class's candidates; arm: by which rule. NaN and empty without such a model.
    """

    item: ItemName
    batch: str
    order: str
    place: Count
    label: str | None
    segment: str
    model: str
    version: int
    preference: str = ""
    arm: Arm = ""
    chance: float | None = None
    doubt: float | None = None
    odds: float | None = None


class Verdict(Value):
    """What one reviewer says of one item; a later one takes the place of an earlier one, which is kept.

    accepted: None where there is only a rating, of 1 to 5, a tag or a note. concern: an expert's only: the item is
    withdrawn for it.
    """

    item: ItemName
    reviewer: Name
    at: AwareDatetime
    accepted: bool | None = None
    rating: Annotated[int, Field(ge=1, le=5)] | None = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=20)] = ()
    note: Annotated[str, Field(max_length=2000)] = ""
    concern: Literal["", "harmful", "misleading", "biased", "likeness"] = ""

    @model_validator(mode="after")
    def _says_something(self) -> Verdict:
        if self.accepted is None and self.rating is None and not (self.tags or self.note or self.concern):
            raise ValueError("a verdict should say something")
        return self

    @property
    def liking(self) -> float | None:
        """From 0 to 1: what was decided, or else the rating; None where neither was given."""
        if self.concern:
            return 0.0
        if self.accepted is not None:
            return float(self.accepted)
        return None if self.rating is None else (self.rating - 1) / 4

    @property
    def vote(self) -> int:
        """1 for the item, -1 against it, 0 for neither."""
        return 0 if self.liking is None else (self.liking > 0.5) - (self.liking < 0.5)


class Choice(Value):
    """Which of two items a reviewer likes better."""

    better: ItemName
    worse: ItemName
    reviewer: Name
    at: AwareDatetime

    @model_validator(mode="after")
    def _of_two(self) -> Choice:
        if self.better == self.worse:
            raise ValueError("a choice should be between two items")
        return self


class Outcome(Value):
    """How an item did where it was used, as one source counted it until `at`; of the same source, item and time the
    last one told counts. revenue: in the currency of params.yaml's costs.
    """

    item: ItemName
    source: Name
    at: AwareDatetime
    impressions: Count = 0
    clicks: Count = 0
    conversions: Count = 0
    revenue: float = Field(0.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _of_shown(self) -> Outcome:
        if max(self.clicks, self.conversions) > self.impressions:
            raise ValueError("there should be at least as many impressions as clicks and as conversions")
        return self


class Refused(Value):
    """A row of an import that is not what it should be. place: its number, from 1; row: its text, cut."""

    file: str
    place: int
    row: str
    reason: str


class Tally(Value):
    """Of the items of one group: how many have been judged, and accepted. A quarrel: as many for as against."""

    judged: int = 0
    accepted: int = 0
    quarrels: int = 0

    @property
    def share(self) -> float | None:
        return self.accepted / self.judged if self.judged else None
