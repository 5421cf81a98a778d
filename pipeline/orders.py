"""The section `batches` of params.yaml: what is to be made, named, checked and delivered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt

from pipeline.values import Positive, Share, Value

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
Period = Literal["run", "hour", "day", "week", "month", "never"]


def _function(text: str) -> str:
    module, colon, name = text.partition(":")
    if text and not (colon and name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise ValueError("should be module:function")
    return text


def _relative(text: str) -> str:
    if text.startswith("/") or ".." in text.split("/") or "//" in text or "\\" in text:
        raise ValueError("should be a path below the bucket, such as batches/shop")
    return text.rstrip("/")


Mix = dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
Colour = Annotated[str, Field(pattern=r"^(auto|#[0-9A-Fa-f]{6})$")]
Function = Annotated[str, AfterValidator(_function)]


class Filters(Value):
    """What is dropped of the candidates.

    copies, odd: a candidate's distance to the nearest training image, in the features of the dataset's classifier, is
    compared with those of held-out images; below the first quantile of them it is dropped, and, between whitened
    features and some thousand training images, above the second.
    confidence: of the classifier in the class that was asked for. alike: near-copies by sight, of training images and
    within the batch. policies: functions of the user's, see pipeline/generate/policies.py. blocklist: a folder of
    images, near-copies of which are dropped.
    """

    copies: Share = 0.001
    odd: Share = 0.999
    confidence: Share = 0.5
    alike: bool = True
    policies: tuple[Function, ...] = ()
    blocklist: str = ""


class Encoding(Value):
    """size: pixels a side, or auto: as the model makes them. quality: of JPEG and WebP; 100 in WebP is lossless."""

    size: Literal["auto"] | Annotated[int, Field(ge=8, le=4096)] = "auto"
    format: Literal["png", "webp", "jpeg"] = "png"
    quality: Annotated[int, Field(ge=1, le=100)] = 90


class Images(Value):
    """Nothing more is made of the images."""

    kind: Literal["images"] = "images"


class Variations(Value):
    """Items around one of an earlier batch, by the model that made it, and a sheet of them. `count` is not asked.

    columns: of the sheet; others: how many other classes it goes toward.
    """

    kind: Literal["variations"]
    around: str = Field(pattern=r"^[0-9a-f]{16}-\d{8}$")
    columns: Annotated[int, Field(ge=1, le=32)] = 8
    others: Annotated[int, Field(ge=0, le=22)] = 4


class Template(Value):
    """What the pieces of a campaign have in common.

    paper, ink, accent: of the ground, the words and the button; auto: of the image's own hue. ink and accent are moved
    towards black or white where they would not be read. font, bold: paths; empty: DejaVu Sans. least_px: the smallest
    letters, in CSS px. scrim: the least shade between image and words that stand on it, 0 to 1.
    """

    layout: Literal["auto", "beside", "above", "behind"] = "auto"
    paper: Colour = "auto"
    ink: Colour = "auto"
    accent: Colour = "auto"
    font: str = ""
    bold: str = ""
    least_px: float = Field(default=12.0, ge=8, le=100)
    scrim: Share = 0.45


class Ads(Value):
    """Of each image one piece for each text and format of a campaign, a CSV or YAML file in the workspace."""

    kind: Literal["ads"]
    campaign: str = Field(min_length=1)
    template: Template = Template()


class Textures(Value):
    """Tiles that repeat without a seam. seam: at most; 1 is no other than within the tile."""

    kind: Literal["textures"]
    seam: Positive = 1.5


class Packing(Value):
    """side: at most, of a sheet. padding: clear pixels between sprites; extrude: times that each sprite's edge is
    repeated around it, so that filtering between pixels never mixes in a neighbour. trim: cut clear borders off.
    """

    side: int = 2048
    padding: int = 2
    extrude: int = 1
    trim: bool = True


class Sprites(Value):
    """Besides the images, sheets of them with the JSON that engines import."""

    kind: Literal["sprites"]
    packing: Packing = Packing()


class Catalogue(Value):
    """Besides the images, a table of them for each of params.yaml's segments, with embeddings. most: of a segment."""

    kind: Literal["catalogue"]
    most: PositiveInt = 100_000


Purpose = Annotated[Images | Variations | Ads | Textures | Sprites | Catalogue, Field(discriminator="kind")]


class BatchOrder(Value):
    """One batch to be made. every: with each run of the loop, once a period, or by hand only.

    mix: class: weight, empty for all alike; segment: one of params.yaml's, in its place. candidates: made for each
    item that is wanted. preferred: whether items are taken by what people liked before. truncation: of the latents.
    floor: share of each class that must be left after the filters.
    bucket: the environment's, if empty. watermark: a function of the user's, see pipeline/marks/watermark.py. licence,
    contact: for those who get it.
    """

    every: Period = "never"
    count: PositiveInt = 1000
    seed: int = Field(0, ge=0)
    mix: Mix = {}
    segment: str = ""
    candidates: Annotated[float, Field(ge=1, le=100)] = 1.25
    preferred: bool = True
    truncation: Annotated[Positive, Field(le=2)] = 1.0
    filters: Filters = Filters()
    floor: Share = 0.9
    image: Encoding = Encoding()
    purpose: Purpose = Images()
    layout: Literal["parquet", "files", "webdataset"] = "parquet"
    part_items: Annotated[int, Field(ge=1, le=100_000)] = 1000
    bucket: str = Field("", pattern=r"^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$")
    prefix: Annotated[str, AfterValidator(_relative), Field(min_length=1)] = "batches"
    watermark: Function = ""
    licence: str = ""
    contact: str = ""


def period(every: Period, now: datetime) -> str:
    """Names the stretch of time that a batch of such an order is for: one batch each."""
    forms = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}
    return now.strftime(forms[every]) if every in forms else ""
