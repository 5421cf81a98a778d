"""params.yaml (what) and the environment (where), each validated once into frozen models."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import ParamsError
from pipeline.files import write_text
from pipeline.values import Value

LOCAL_REGISTRY = Path("var/mlflow.db")
Share = Annotated[float, Field(ge=0, le=1)]


class Collect(Value):
    source: str = Field(min_length=1)
    max_item_bytes: PositiveInt = 64 * 2**20


class Validate(Value):
    min_items: PositiveInt = 100
    max_rejected_share: Share = 0.2
    min_side: PositiveInt = 4
    max_side: PositiveInt = 16384
    min_contrast: float = Field(1.0, ge=0)
    min_class_items: PositiveInt = 10
    max_class_imbalance: float = Field(100, ge=1)


class Preprocess(Value):
    size: Literal["auto"] | Annotated[int, Field(ge=16, le=256)] = "auto"
    mode: Literal["auto", "L", "RGB", "RGBA"] = "auto"
    fit: Literal["crop", "pad"] = "crop"
    holdout: float = Field(0.2, gt=0, lt=1)


class Train(Value):
    minutes: PositiveFloat = 1.0
    images_seen: int = Field(0, ge=0)
    seed: int = Field(0, ge=0)
    loss: Literal["relativistic", "non_saturating"] = "relativistic"
    batch: int = Field(32, ge=2)
    width: PositiveInt = 32
    z_dim: PositiveInt = 64
    lr: PositiveFloat = 0.002
    lr_end: Share = 0.05
    gamma: float = Field(0.1, ge=0)
    penalty_every: PositiveInt = 4
    ema: float = Field(0.999, ge=0, lt=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class Evaluate(Value):
    samples: int = Field(10_000, ge=32)
    coverage_k: PositiveInt = 5
    classifier_steps: PositiveInt = 600
    tstr_images: PositiveInt = 20_000
    seed: int = Field(0, ge=0)


class Gate(Value):
    at_most: float | None = None
    at_least: float | None = None


class Promote(Value):
    name: str = Field("generator", pattern=r"^[A-Za-z0-9_.-]+$")
    gates: dict[str, Gate] = {}
    slack: dict[str, Annotated[float, Field(ge=0)]] = {}


class Generate(Value):
    count: PositiveInt = 1000
    seed: int = Field(0, ge=0)
    part_items: PositiveInt = 5000
    mix: dict[str, Annotated[float, Field(ge=0)]] = {}


class Params(Value):
    collect: Collect
    validation: Validate = Field(alias="validate")
    preprocess: Preprocess
    train: Train
    evaluate: Evaluate
    promote: Promote
    generate: Generate


class Environment(BaseSettings):
    """Where things run: GENLOOP_* variables. Credentials are boto3's own (AWS_ACCESS_KEY_ID, …)."""

    model_config = SettingsConfigDict(env_prefix="GENLOOP_", frozen=True)

    workspace: Path = Path()
    bucket: str = "genloop"
    s3_endpoint: str = ""
    mlflow_uri: str = ""
    dvc_push: bool = True


def registry_uri(workspace: Path) -> str:
    """MLflow's address: as set, or the workspace's own SQLite file."""
    known = Environment().mlflow_uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    return known or f"sqlite:///{workspace / LOCAL_REGISTRY}"


def load_params(path: Path) -> Params:
    """Read and check params.yaml. Raises ParamsError that names file, key, value and what was expected."""
    return check_params(_read(path), str(path))


def check_params(raw: Any, where: str) -> Params:
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise ParamsError(_describe(error), where=where, remedy="mend the value and run again") from None


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
        if not isinstance(node, dict) or (leaf not in node and sections[-1] not in ("mix", "gates", "slack")):
            raise ParamsError(f"unknown key {key!r}", where=str(path), remedy="`genloop run --help` tells how")
        node[leaf] = YAML(typ="safe").load(text)
    params = check_params(document, str(path))
    out = StringIO()
    yaml.dump(document, out)
    if pairs and out.getvalue() != path.read_text():
        write_text(path, out.getvalue())
    return params


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


def _describe(error: ValidationError) -> str:
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"unknown key {key!r}")
        else:
            lines.append(f"{key} = {fault['input']!r}: {fault['msg']}")
    return "; ".join(lines)
