"""The frozen values that pass between steps: hashes, counts and locations, never arrays."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(Value):
    """One immutable Parquet file of a snapshot, named by the hash of its rows.

    images: items without a problem; content: what it adds to the snapshot's id, in hex; empty in old snapshots.
    """

    name: str
    items: int
    images: int = 0
    content: str = ""


class Origin(Value):
    """A source that items of a snapshot come from, and by which right they are used."""

    name: str
    uri: str
    licence: str = ""
    consent: str = ""


class Snapshot(Value):
    """What was collected. `id` is the hash of the set of (sha256, label, split), whatever their order.

    ignored: hidden files; forgotten: items that were kept out because they are not to come back.
    """

    id: str
    items: int
    ignored: int
    forgotten: int = 0
    parts: tuple[Part, ...]
    sources: tuple[Origin, ...] = ()


class Validation(Value):
    """What the suite said of a snapshot. near_copies: accepted items that look like another one."""

    snapshot: str
    items: int
    accepted: int
    rejected: int
    reasons: dict[str, int]
    classes: dict[str, int]
    near_copies: int = 0


class Shards(Value):
    """Fixed-size uint8 arrays; `id` is the hash of their bytes."""

    id: str
    snapshot: str
    size: int
    channels: int
    classes: tuple[str, ...]
    train_items: int
    holdout_items: int


class Scorecard(Value):
    """Metrics of one model on one holdout in one feature space; `floor` is real against real, same counts.

    `intervals`: 95% of the metrics that have one. `per_class`: the classes that are covered worst, at most 100.
    """

    model: str
    shards: str
    space: str
    samples: int
    metrics: dict[str, float]
    floor: dict[str, float]
    intervals: dict[str, tuple[float, float]] = {}
    per_class: dict[str, dict[str, float]] = {}

    def comparable(self, other: Scorecard) -> bool:
        """Whether the numbers of both may stand in one column."""
        return (self.space, self.samples) == (other.space, other.samples)


class GateResult(Value):
    gate: str
    value: float
    bound: float
    direction: str
    passed: bool


class Decision(Value):
    """Whether the challenger becomes champion, and why. awaits: it passed, and a person has to say so too."""

    promoted: bool
    gates: tuple[GateResult, ...]
    reason: str
    awaits: bool = False


class Approval(Value):
    """What a person said to a model version that passed its gates. run: of Prefect, that waits for it."""

    state: Literal["asked", "approved", "rejected"]
    by: str = ""
    at: str = ""
    why: str = ""
    run: str = ""

    def __str__(self) -> str:
        return f"{self.state} by {self.by} at {self.at}" + (f": {self.why}" if self.why else "")


class ModelVersion(Value):
    name: str
    version: int
    alias: str
    bundle: str
    uri: str


class Batch(Value):
    """What was delivered. bucket, prefix: where; order: its name in params.yaml."""

    id: str
    uri: str
    items: int
    model: str
    version: int
    bucket: str = ""
    prefix: str = "batches"
    order: str = ""
