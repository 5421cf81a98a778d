"""What the files of infra/ say, and what the programs that they name would make of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

INFRA = Path(__file__).parents[2] / "infra"
OVERLAYS = ("cpu", "gpu")
LITERAL = re.compile(  # a secret, or what looks like one
    r"://[^/\s:@]+:[^/\s@$]+@"
    r"|(?i:password|passwd|secret\w*key|token|api_?key|auth_string)\w*[\"']?(?::\s+|\s*=\s*)[\"']?(?!/run/secrets/|false\b|[\"'\s$(]|$)\S"
    r"|-----BEGIN|\bAKIA[0-9A-Z]{12}|\b[0-9a-f]{32,}\b"
)


def compose() -> dict[str, Any]:
    found = yaml.safe_load((INFRA / "compose.yaml").read_text())
    assert isinstance(found, dict)
    return found


def services() -> dict[str, Any]:
    return dict(compose()["services"])


@cache
def rendered(overlay: str) -> str:
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl here")
    return subprocess.run(
        ["kubectl", "kustomize", str(INFRA / "kubernetes/overlays" / overlay)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def objects(overlay: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(rendered(overlay)))


def pods(overlay: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of each deployment, its name and what a pod of it is."""
    for found in objects(overlay):
        if found["kind"] == "Deployment":
            yield found["metadata"]["name"], found["spec"]["template"]["spec"]


def known_variables() -> set[str]:
    """All that genloop, Prefect, MLflow, boto3, DVC and rclone's remote of compose.yaml read."""
    import mlflow.environment_variables as of_mlflow
    from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
    from dvc import env
    from prefect.settings import Settings

    from flows.wiring import QUIET
    from pipeline.environment import Environment

    genloop = {f"GENLOOP_{name.upper()}" for name in Environment.model_fields}
    prefect = set(re.findall(r"'(PREFECT_\w+)'", str(Settings.model_json_schema()))) | {"PREFECT_HOME"}
    mlflow = {name for name in dir(of_mlflow) if name.startswith("MLFLOW_")}
    mlflow |= {option.envvar for option in _mlflow().commands["server"].params if isinstance(option.envvar, str)}
    boto = {told[1] for told in BOTOCORE_DEFAUT_SESSION_VARIABLES.values() if isinstance(told[1], str)}
    boto |= {"AWS_EC2_METADATA_DISABLED", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    dvc = {name for name in vars(env) if name.startswith("DVC_")}
    return genloop | prefect | mlflow | boto | dvc | QUIET.keys() | {"DO_NOT_TRACK", "PGPASSWORD"}


def check_command(words: list[str]) -> None:
    """Raises what the program itself raises for words that it does not take; ValueError for an unknown program."""
    program, *rest = words
    if program == "genloop":
        from typer.main import get_command

        from flows.cli import app

        _parse_click(get_command(app), rest)
    elif program == "mlflow":
        _parse_click(_mlflow(), rest)
    elif program == "prefect":
        from prefect.cli._app import _app as prefect

        prefect.parse_args(rest, exit_on_error=False, print_error=False)
    else:
        raise ValueError(f"{program} is none of ours")


def _mlflow() -> Any:
    with warnings.catch_warnings(action="ignore"):  # of its own type hints
        from mlflow.cli import cli
    return cli


def _parse_click(command: Any, words: list[str]) -> None:
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, list(words))
