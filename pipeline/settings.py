"""params.yaml (what) and the environment (where), each validated once into frozen models."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import ParamsError
from pipeline.feedback_params import Feedback, Review
from pipeline.files import write_text
from pipeline.orders import NAME, BatchOrder, Mix
from pipeline.retention_params import Retention
from pipeline.values import Positive, Share, Value

LOCAL_REGISTRY, LOCAL_FEEDBACK, SIGNING = Path("var/mlflow.db"), Path("var/feedback.db"), Path("var/signing")
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


class Environment(BaseSettings):
    """Where things run: GENLOOP_* variables.

    Credentials are boto3's own (AWS_ACCESS_KEY_ID, …); `s3_credentials` is a file of them for the batches' S3 alone,
    as the embedded one has, so that a source on another S3 is read with what the environment has. The other `s3_*` are
    asked of each object that is written; `s3_tags` is JSON, an object of strings. `dvc_remote` is where DVC's files go,
    in place of the prefix `dvc` of the bucket of batches, so that the two can have owners of their own. What is
    generated is signed by one of `signing_key` (PEM), `signing_key_file` and `signer` (module:function, for a KMS), see
    pipeline/marks/signer.py.
    Raises ParamsError that names each variable that can't be, its value and what was expected.
    """

    model_config = SettingsConfigDict(env_prefix="GENLOOP_", frozen=True)

    workspace: Path = Path()
    deployment: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,100}$")] = ""  # a name at Prefect, for a workspace
    bucket: str = "genloop"
    s3_endpoint: str = ""
    s3_credentials: Path | None = None
    s3_sse: str = ""
    s3_kms_key: str = ""
    s3_acl: str = ""
    s3_storage_class: str = ""
    s3_tags: str = ""
    s3_multipart_mb: Annotated[int, Field(ge=8, le=5120)] = 32  # what pipeline/adapters/store/settings.py takes
    mlflow_uri: str = ""
    prefect_database_url: SecretStr = SecretStr("")
    feedback_url: SecretStr = SecretStr("")
    events_secret: SecretStr = SecretStr("")
    notify: SecretStr = SecretStr("")  # addresses, by spaces, see pipeline/adapters/notices.py
    dvc_push: bool = True
    dvc_remote: Annotated[str, Field(pattern=r"^(s3://[^/]+(/.*)?)?$")] = ""
    processes: Annotated[int, Field(ge=0)] = 0
    tombstone_key: SecretStr = SecretStr("")
    signing_key: SecretStr = SecretStr("")
    signing_key_file: Path | None = None
    signing_certificates: Path | None = None
    signer: str = ""

    def __init__(self) -> None:
        try:
            super().__init__()
        except ValidationError as error:
            told = "; ".join(_variable(fault) for fault in error.errors())
            raise ParamsError(told, where="environment", remedy="mend or unset it") from None


def _variable(fault: Any) -> str:
    """One of pydantic's faults of the environment, in one line: nothing of a value but its start, as it is anyone's."""
    return f"GENLOOP_{str(fault['loc'][0]).upper()} = {str(fault['input'])[:40]!r}: {fault['msg']}"


def registry_uri(workspace: Path) -> str:
    """MLflow's address: as set, or the workspace's own SQLite file."""
    return configured_registry() or f"sqlite:///{workspace / LOCAL_REGISTRY}"


def configured_registry() -> str:
    """MLflow's address as the environment names it, or nothing."""
    return Environment().mlflow_uri or os.environ.get("MLFLOW_TRACKING_URI", "")


def load_params(path: Path) -> Params:
    """Read and check params.yaml. Raises ParamsError that names file, key, value and what was expected."""
    return check_params(_read(path), str(path))


def check_params(raw: Any, where: str) -> Params:
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise ParamsError(_describe(error, raw), where=where, remedy="mend the value and run again") from None


def override_params(path: Path, pairs: Sequence[str]) -> Params:
    """Write `section.key=value` pairs into params.yaml, comments kept; nothing is written if any is wrong."""
    from io import StringIO

    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    document = _read(path, yaml)
    for pair in pairs:
        key, found, text = pair.partition("=")
        if not found:
            raise ParamsError(f"-S {pair!r} is not section.key=value", remedy="for example -S train.minutes=5")
        *sections, leaf = key.strip().split(".")
        node = document
        for section in sections:
            node = node.get(section) if isinstance(node, dict) else None
        if not isinstance(node, dict) or not (leaf in node or sections[-1:] in OPEN):
            raise ParamsError(f"unknown key {key!r}", where=str(path), remedy="`genloop run --help` tells how")
        node[leaf] = _parsed(pair, text)
    params = check_params(document, str(path))
    out = StringIO()
    yaml.dump(document, out)
    if pairs and out.getvalue() != path.read_text():
        write_text(path, out.getvalue())
    return params


def _parsed(pair: str, text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(text)
    except YAMLError as error:
        raise ParamsError(f"-S {pair!r} is not YAML: {' '.join(str(error).split())}") from None


def workspace(environment: Environment | None = None) -> Path:
    """The folder that holds params.yaml, dvc.yaml, data/, runs/ and var/."""
    return Path(os.path.abspath((environment or Environment()).workspace))


def _read(path: Path, yaml: Any = None) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return (yaml or YAML(typ="safe")).load(path.read_text())
    except FileNotFoundError:
        raise ParamsError("no params.yaml here", where=str(path), remedy="run in a workspace") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"not YAML: {' '.join(str(error).split())}", where=str(path)) from None


def _describe(error: ValidationError, raw: Any) -> str:
    """One clause a key, also where pydantic has several of one, such as of each member of a union."""
    clauses: dict[str, str] = {}
    for fault in error.errors():
        key = _key(fault["loc"], raw)
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            clauses[key] = f"unknown key {key!r}"
        elif fault["type"] == "missing":
            clauses[key] = f"key {key!r} is missing"
        elif isinstance(fault["input"], dict):
            clauses[key] = f"{key}: {message}"
        elif key in clauses:
            clauses[key] += f" or {message}"
        else:
            clauses[key] = f"{key} = {fault['input']!r}: {message}"
    return "; ".join(clauses.values())


def _key(location: tuple[int | str, ...], raw: Any) -> str:
    """The key as it stands in the file: pydantic's location without the types that it tried."""
    parts = []
    for part in location:
        if not isinstance(raw, dict):
            break
        parts.append(str(part))
        raw = raw.get(part)
    return ".".join(parts)
