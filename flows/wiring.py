"""Settings and local services into adapters."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from pydantic import ValidationError

from flows import services
from pipeline.adapters.databases import with_driver
from pipeline.adapters.registry import MANNERS, Registry
from pipeline.adapters.store import ObjectSettings, S3Store
from pipeline.environment import LOCAL_FEEDBACK, LOCAL_REGISTRY, SIGNING, Environment, configured_registry, registry_uri
from pipeline.errors import ParamsError, ServiceError
from pipeline.files import write_new
from pipeline.marks.own import own_certificates, signer_settings
from pipeline.marks.signer import Signer, make_signer

if TYPE_CHECKING:
    from pipeline.adapters.ratings import Ratings

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "true",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "PREFECT_CLIENT_MAX_RETRIES": "2",  # of 5; a server that dies was waited for for minutes
}


@contextmanager
def environment_for_run(workspace: Path, names: tuple[str, ...]) -> Iterator[services.Services]:
    """Start what the environment does not name already, and point every library at it. Call `.wait()` before use."""
    environment = Environment()
    wanted = tuple(
        name
        for name in names
        if not (name == "s3" and environment.s3_endpoint)
        and not (name == "prefect" and "PREFECT_API_URL" in os.environ)
    )
    _check_configured(environment, names)
    before = dict(os.environ)
    with services.for_run(workspace, wanted) as started:
        be_quiet()
        os.environ.setdefault("PREFECT_HOME", str(workspace / "var/prefect"))
        if "s3" in started:
            os.environ["GENLOOP_S3_ENDPOINT"] = started["s3"].url
            os.environ["GENLOOP_S3_CREDENTIALS"] = str(services.credentials_file(workspace))
            os.environ.setdefault("GENLOOP_DVC_PUSH", "false")  # on the same disk a copy would save nobody
        if "prefect" in started:
            os.environ["PREFECT_API_URL"] = f"{started['prefect'].url}/api"
        try:
            yield started
        finally:
            _drain_prefect()
            os.environ.clear()
            os.environ.update(before)


def be_quiet() -> None:
    """Telemetry and chatter off, before the libraries are imported."""
    for name, value in (QUIET | MANNERS).items():
        os.environ.setdefault(name, value)
    logging.raiseExceptions = False  # a log line that can't be sent is not worth a line of its own


def _check_configured(environment: Environment, names: tuple[str, ...]) -> None:
    """Raise ServiceError at once where a service that the environment names does not answer."""
    addresses: dict[str, str] = {}
    if "s3" in names and environment.s3_endpoint:
        addresses["GENLOOP_S3_ENDPOINT"] = environment.s3_endpoint
    if "prefect" in names and "PREFECT_API_URL" in os.environ:
        addresses["PREFECT_API_URL"] = f"{os.environ['PREFECT_API_URL'].rstrip('/')}/health"
    if (mlflow := configured_registry()).startswith("http"):
        addresses["GENLOOP_MLFLOW_URI"] = f"{mlflow.rstrip('/')}/health"
    for name, url in addresses.items():
        try:
            if httpx.get(url, timeout=5).status_code >= 500:
                raise ServiceError(f"what {name} names is not well", where=url, remedy="`genloop doctor`")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            remedy = f"start it, or mend or unset {name}; `genloop doctor`"
            raise ServiceError(f"what {name} names does not answer: {error}", where=url, remedy=remedy) from None


@contextmanager
def prefect_failures() -> Iterator[None]:
    """Prefect's own failures as ServiceError; those of the work inside pass as they are."""
    from prefect.exceptions import PrefectException

    try:
        yield
    except (PrefectException, httpx.HTTPError) as error:
        what = f"Prefect failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        where = os.environ.get("PREFECT_API_URL", "")
        raise ServiceError(what, where=where, remedy="run again; what is done is kept") from error


def point_versions(workspace: Path, s3: services.Service | None) -> None:
    """Aim DVC's remote of this machine at the S3 of this moment: the embedded one's port may change. A remote that is
    named is never the embedded one's."""
    from pipeline.adapters.versions import Versions

    environment = Environment()
    if environment.dvc_remote:
        Versions(workspace).set_remote(environment.dvc_remote, environment.s3_endpoint, None)
        return
    credentials = services.credentials_file(workspace) if s3 else None
    endpoint = s3.url if s3 else environment.s3_endpoint
    Versions(workspace).set_remote(f"s3://{environment.bucket}/dvc", endpoint, credentials)


def _drain_prefect() -> None:
    """Send what Prefect still holds; once its server is gone it would try for minutes."""
    if "prefect" in sys.modules:
        from prefect.logging.handlers import APILogWorker

        APILogWorker.drain_all(timeout=5)


def store() -> S3Store:
    return stores("")


def stores(bucket: str) -> S3Store:
    """The batches' S3: of a bucket, or the environment's. Raises ParamsError for a GENLOOP_S3_* that can't be."""
    environment = Environment()
    try:
        asked: dict[str, object] = {
            "sse": environment.s3_sse,
            "kms_key": environment.s3_kms_key,
            "acl": environment.s3_acl,
            "storage_class": environment.s3_storage_class,
            "tags": json.loads(environment.s3_tags or "{}"),
            "multipart_bytes": environment.s3_multipart_mb * 2**20,
        }
        settings = ObjectSettings.model_validate(asked)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ParamsError(told, where="GENLOOP_S3_*", remedy="mend or unset it") from None
    except ValueError as error:
        raise ParamsError(f"not JSON: {error}", where="GENLOOP_S3_TAGS", remedy='such as {"team": "media"}') from None
    return S3Store(bucket or environment.bucket, environment.s3_endpoint, environment.s3_credentials, settings)


def signer(workspace: Path) -> Signer:
    return make_signer(signer_settings(), workspace / SIGNING)


def trusted_certificates(workspace: Path) -> bytes:
    """What is ours was signed with these."""
    return own_certificates(workspace) or signer(workspace).certificates


def registry(workspace: Path) -> Registry:
    (workspace / "var").mkdir(exist_ok=True)
    return Registry(registry_uri(workspace), workspace / "var/mlartifacts")


def ratings(workspace: Path) -> Ratings:
    """The feedback's database: as set, or the workspace's own SQLite file. Raises ServiceError where that was there
    before and is gone: an empty one would know of nothing that people said."""
    from pipeline.adapters.ratings import open_ratings

    if asked := Environment().feedback_url.get_secret_value():
        return open_ratings(with_driver(asked, "psycopg"))
    path = workspace / LOCAL_FEEDBACK
    made = path.with_suffix(".made")
    if made.exists() and not path.exists():
        remedy = f"put it back; to begin anew, delete {made}"
        raise ServiceError("the feedback's database is gone", where=str(path), remedy=remedy)
    found = open_ratings(f"sqlite:///{path}")
    write_new(made, b"")
    return found


def ratings_if_any(workspace: Path) -> AbstractContextManager[Ratings | None]:
    return ratings_if_there(workspace) or nullcontext()


def ratings_if_there(workspace: Path) -> Ratings | None:
    """None where nobody ever gave feedback here: to open a database means to import what it takes."""
    local = workspace / LOCAL_FEEDBACK
    there = bool(Environment().feedback_url.get_secret_value()) or local.exists() or local.with_suffix(".made").exists()
    return ratings(workspace) if there else None


def registry_changed_since(workspace: Path, file: Path) -> bool:
    """Whether the registry may have been written after this file; to ask it means to import MLflow, 2 s."""
    database = workspace / LOCAL_REGISTRY
    if not registry_uri(workspace).startswith("sqlite") or not database.exists():
        return True
    return database.stat().st_mtime_ns > file.stat().st_mtime_ns
