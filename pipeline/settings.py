"""What decides a result: the sections of params.yaml, as frozen models that forbid unknown keys."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from pipeline.feedback_params import Feedback, Review
from pipeline.orders import NAME, BatchOrder, Mix
from pipeline.retention_params import Retention
from pipeline.values import Positive, Share, Value

OPEN = (["mix"], ["gates"], ["slack"], ["batches"], ["segments"])  # their keys are the user's
SIZES = sorted({side << doublings for side in range(4, 9) for doublings in range(2, 6)})  # what the networks can make


def _known_size(size: str | int) -> str | int:
    if size != "auto" and size not in SIZES:
        raise ValueError(f"should be auto or one of {', '.join(map(str, SIZES))}")
    return size


def _one_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"should be a regular expression: {error}") from None
    if pattern and groups != 1:
        raise ValueError("should be a regular expression with one group, the label")
    return pattern


class Source(Value):
    """Where items come from, what they are called, and by which right they are used.

    label: of every item; label_pattern: finds it in an item's path; without either the folders tell. include, exclude:
    of paths, as shells match them. require: what must be noted here, or every item is quarantined.
    """

    name: str = Field(pattern=NAME)
    uri: str = Field(min_length=1)
    label: str = ""
    label_pattern: Annotated[str, AfterValidator(_one_group)] = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    licence: str = ""
    consent: str = ""
    require: tuple[Literal["licence", "consent"], ...] = ()


class Collect(Value):
    """`sources`, where there are any, stand in place of `source`. generated: what is done with images of our own
    batches, and near-copies of them, that a source brings back."""

    source: str = ""
    sources: tuple[Source, ...] = ()
    max_item_bytes: PositiveInt = 64 * 2**20
    generated: Literal["reject", "keep"] = "reject"

    @model_validator(mode="after")
    def _named(self) -> Collect:
        names = [source.name for source in self.sources]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"of the sources, {', '.join(sorted(doubled))} is named more than once")
        if not self.sources and not self.source:
            raise ValueError("source should be a URI, or sources a list of them")
        return self

    @property
    def title(self) -> str:
        """The sources in a few words."""
        return self.source if not self.sources else ", ".join(source.name for source in self.sources)

    @property
    def all(self) -> tuple[Source, ...]:
        return self.sources or (Source(name="source", uri=self.source),)


class Validate(Value):
    min_items: PositiveInt = 100
    max_rejected_share: Share = 0.2
    min_side: PositiveInt = 4
    max_side: PositiveInt = 16384
    min_contrast: float = Field(1.0, ge=0)
    min_class_items: PositiveInt = 10
    max_class_imbalance: float = Field(100, ge=1)


class Drift(Value):
    """How far a distribution may move from one version to the next: total variation, 0 to 1; of features, the nFD."""

    labels: Share = 1.0
    brightness: Share = 1.0
    sides: Share = 1.0
    features: Annotated[float, Field(ge=0)] = 1000.0


class DriftLimits(Value):
    warn: Drift = Drift(labels=0.1, brightness=0.1, sides=0.1, features=1.0)
    stop: Drift = Drift()


class Preprocess(Value):
    size: Annotated[Literal["auto"] | int, AfterValidator(_known_size)] = "auto"
    mode: Literal["auto", "L", "RGB", "RGBA"] = "auto"
    fit: Literal["crop", "pad"] = "crop"
    holdout: float = Field(0.2, gt=0, lt=1)


class Listening(Value):
    """What a training makes of reviews; at 0, nothing, to the bit. negatives: share of what the discriminator is shown
    as generated that is items people rejected. steer: images are served in proportion to their chance of being
    accepted, by the preference model, to this power, within bounds.
    """

    negatives: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    steer: Annotated[float, Field(ge=0, le=10)] = 0.0


class Tuning(Value):
    """A training that starts from the champion: share of minutes or images_seen, and of lr, that it has."""

    budget: Annotated[float, Field(gt=0, le=1)] = 0.5
    lr: Annotated[float, Field(gt=0, le=1)] = 0.5


class Train(Value):
    minutes: Positive = 1.0
    images_seen: int = Field(0, ge=0)
    seed: int = Field(0, ge=0)
    loss: Literal["relativistic", "non_saturating"] = "relativistic"
    batch: int = Field(64, ge=2)
    width: Literal["auto"] | PositiveInt = "auto"
    z_dim: PositiveInt = 64
    lr: Literal["auto"] | Positive = "auto"
    lr_end: Share = 0.05
    gamma: float = Field(0.001, ge=0)
    penalty_every: PositiveInt = 8
    ema: float = Field(0.999, ge=0, lt=1)
    balance: Share = 0.5
    augment_target: Share = 0.5
    snapshots: PositiveInt = 6
    retries: int = Field(3, ge=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    start: Literal["scratch", "champion"] = "scratch"
    tuning: Tuning = Tuning()
    feedback: Listening = Listening()

    @property
    def listens(self) -> bool:
        """Whether lessons could change what it comes to."""
        return self.start == "champion" or self.feedback != Listening()


class Evaluate(Value):
    samples: int = Field(10_000, ge=32)
    chosen_on: float = Field(0.5, ge=0, lt=1)
    coverage_k: PositiveInt = 5
    classifier_steps: Literal["auto"] | PositiveInt = "auto"
    tstr_images: PositiveInt = 20_000
    gain: bool = False
    encoder: str = ""
    encoder_sha256: str = Field("", pattern="^([0-9a-f]{64})?$")
    seed: int = Field(0, ge=0)


class Gate(Value):
    at_most: float | None = None
    at_least: float | None = None


class Promote(Value):
    name: str = Field("generator", pattern=r"^[A-Za-z0-9_.-]+$")
    approval: Literal["none", "human"] = "none"
    gates: dict[str, Gate] = {}
    slack: dict[str, Annotated[float, Field(ge=0)]] = {}


class Costs(Value):
    """What is reckoned for a batch: power that a busy core takes, and prices."""

    currency: str = "EUR"
    core_watts: Annotated[float, Field(ge=0)] = 10.0
    core_hour: Annotated[float, Field(ge=0)] = 0.04
    kwh: Annotated[float, Field(ge=0)] = 0.25


class Params(Value):
    collect: Collect
    validation: Validate = Field(alias="validate")
    drift: DriftLimits = DriftLimits()
    preprocess: Preprocess
    train: Train
    evaluate: Evaluate
    promote: Promote
    batches: dict[Annotated[str, Field(pattern=NAME)], BatchOrder] = {}
    segments: dict[Annotated[str, Field(pattern=NAME)], Mix] = {}
    review: Review = Review()
    feedback: Feedback = Feedback()
    costs: Costs = Costs()
    retention: Retention = Retention()
