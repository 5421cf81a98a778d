"""What the page's script and the server tell each other, as JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from pipeline.reviews import ItemName, Name, Role, Tag
from pipeline.values import Value

MOST_ACTS = 100
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,64}$", description="made up by who asks; the same counts once")]
BatchName = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Rating = Annotated[int, Field(ge=1, le=5)]
Side = Literal["left", "right", "equal"]
Show = Literal["todo", "quarrels", "mine", "all"]
Concern = Literal["harmful", "misleading", "biased", "likeness"]
Text = Annotated[str, Field(max_length=2000)]


class Said(Value):
    """What one reviewer says of an item, as they see it themselves."""

    accepted: bool | None = None
    rating: Rating | None = None
    tags: tuple[Tag, ...] = Field((), max_length=20)
    note: Text = ""


class SaidOf(Said):
    """Of which item; all of what is said of it, in place of what was said before."""

    key: Key
    item: ItemName

    @model_validator(mode="after")
    def _says_something(self) -> SaidOf:
        if self.accepted is None and self.rating is None and not (self.tags or self.note):
            raise ValueError("a verdict should say something")
        return self


class Verdicts(Value):
    acts: tuple[SaidOf, ...] = Field(min_length=1, max_length=MOST_ACTS)


class Shown(Value):
    """An item to be judged. image, small: addresses that are good for some minutes. opinions: of others, so far.
    chance: of being accepted, as the preference model sees it; quarrel: as many say yes as no.
    """

    item: ItemName
    label: str | None
    segment: str
    image: str
    small: str
    chance: float | None
    opinions: int
    quarrel: bool
    mine: Said | None


class Progress(Value):
    """judged of the `wanted` items of a batch that have to be; quarrels: on which two disagree."""

    judged: int
    wanted: int
    quarrels: int


class Queue(Value):
    """more: there are others beyond these, once some of these are judged or asked for as had."""

    items: tuple[Shown, ...]
    more: bool
    progress: Progress


class Pair(Value):
    left: Shown
    right: Shown


class Pairs(Value):
    pairs: tuple[Pair, ...]


class ChoiceOf(Value):
    """Which of two is better; `equal` is kept as a choice each way."""

    key: Key
    left: ItemName
    right: ItemName
    better: Side

    @model_validator(mode="after")
    def _of_two(self) -> ChoiceOf:
        if self.left == self.right:
            raise ValueError("a choice should be between two items")
        return self


class Choices(Value):
    acts: tuple[ChoiceOf, ...] = Field(min_length=1, max_length=MOST_ACTS)


class UndoOf(Value):
    """Of the last thing that I said of `item`, or `all` of it; or of the choice that was told with the key `of`."""

    key: Key
    item: ItemName | None = None
    all: bool = False
    of: Key | None = None

    @model_validator(mode="after")
    def _of_one(self) -> UndoOf:
        if (self.item is None) == (self.of is None):
            raise ValueError("either an item or a choice should be named")
        return self


class Undone(Value):
    acts: tuple[UndoOf, ...] = Field(min_length=1, max_length=MOST_ACTS)


class NotKept(Value):
    key: Key
    item: str
    error: str


class Kept(Value):
    """kept: acts that the database has, now or from before; refused: that it will never have."""

    kept: tuple[Key, ...]
    refused: tuple[NotKept, ...] = ()
    progress: Progress | None


class Past(Said):
    """One of all the verdicts of an item. counts: it is its reviewer's last word."""

    reviewer: Name
    at: AwareDatetime
    concern: str
    counts: bool


class History(Value):
    item: ItemName
    said: tuple[Past, ...]


class ConcernOf(Value):
    key: Key
    item: ItemName
    concern: Concern
    note: Text = ""


class Withdrawn(Value):
    """withdrawn: it has left the batch; else it is hidden here, and will leave it as soon as the store lets it."""

    item: ItemName
    withdrawn: bool
    error: str = ""


class Me(Value):
    """csrf: to be sent as X-CSRF-Token with all that changes something."""

    name: Name
    role: Role
    csrf: str


class Health(Value):
    status: Literal["ok"] = "ok"
