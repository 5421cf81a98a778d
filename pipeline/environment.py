"""Where things run: the environment, validated once, and the places that follow from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import ParamsError

LOCAL_REGISTRY, LOCAL_FEEDBACK, SIGNING = Path("var/mlflow.db"), Path("var/feedback.db"), Path("var/signing")


class Environment(BaseSettings):
    """Where things run: GENLOOP_* variables.

    Credentials are boto3's own (AWS_ACCESS_KEY_ID, …); `s3_credentials` is a file of them for the batches' S3 alone,
    as the embedded one has, so that a source on another S3 is read with what the environment has. The other `s3_*` are
    asked of each object that is written; `s3_tags` is JSON, an object of strings. `dvc_remote` is where DVC's files go,
    in place of the prefix `dvc` of the bucket of batches, so that the two can have owners of their own. `engine`: work
    is done here, or on the Ray cluster of RAY_ADDRESS; `gpu_stages` are made by workers of that pool. What is generated
    is signed by one of `signing_key` (PEM), `signing_key_file` and `signer` (module:function, for a KMS), see
    pipeline/marks/signer.py.
    Raises ParamsError that names each variable that can't be, its value and what was expected.
    """

    model_config = SettingsConfigDict(env_prefix="GENLOOP_", frozen=True)

    workspace: Path = Path()
    log: Literal["", "plain", "json"] = ""  # see pipeline/log.py
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
    engine: Literal["local", "ray"] = "local"
    gpu_stages: Annotated[str, Field(pattern=r"^((preprocess|train|evaluate)( |$))*$")] = ""  # by spaces
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


def workspace(environment: Environment | None = None) -> Path:
    """The folder that holds params.yaml, dvc.yaml, data/, runs/ and var/."""
    return Path(os.path.abspath((environment or Environment()).workspace))
