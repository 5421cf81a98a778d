"""Settings and local services into adapters."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows import services
from pipeline.adapters.registry import Registry
from pipeline.adapters.store import S3Store
from pipeline.settings import Environment

QUIET = {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "true",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
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
    before = dict(os.environ)
    with services.for_run(workspace, wanted) as started:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        os.environ.setdefault("PREFECT_HOME", str(workspace / "var/prefect"))
        if "s3" in started:
            os.environ.update(services.s3_environment(workspace, started["s3"]))
        if "prefect" in started:
            os.environ["PREFECT_API_URL"] = f"{started['prefect'].url}/api"
        try:
            yield started
        finally:
            _drain_prefect()
            os.environ.clear()
            os.environ.update(before)


def _drain_prefect() -> None:
    """Send what Prefect still holds; once its server is gone it would try for minutes."""
    if "prefect" in sys.modules:
        from prefect.logging.handlers import APILogWorker

        APILogWorker.drain_all(timeout=5)


def store() -> S3Store:
    environment = Environment()
    return S3Store(environment.bucket, environment.s3_endpoint)


def registry(workspace: Path) -> Registry:
    uri = Environment().mlflow_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace}/var/mlflow.db"
    (workspace / "var").mkdir(exist_ok=True)
    return Registry(uri, workspace / "var/mlartifacts")
