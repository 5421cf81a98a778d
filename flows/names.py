"""What a workspace is called at Prefect."""

from __future__ import annotations

from pathlib import Path

from pipeline.environment import Environment
from pipeline.files import sha256_json


def resource_of(workspace: Path) -> str:
    return f"genloop.workspace.{name_of(workspace)}"


def tag_of(workspace: Path) -> str:
    """Of its runs, however they were started."""
    return f"genloop:{name_of(workspace)}"


def name_of(workspace: Path) -> str:
    """Of its deployments, as set or by its path: one server may have those of several workspaces."""
    return Environment().deployment or f"{workspace.name}-{sha256_json(str(workspace))[:6]}"
