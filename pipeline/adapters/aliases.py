"""Which version of a model is champion, asked of MLflow without its library, which takes seconds to import."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx

ALIASED = "select version from registered_model_aliases where name = ? and alias = 'champion'"
TIMEOUT_S = 2.0


def champion_in_file(path: Path, name: str) -> int | None:
    """By MLflow's own SQLite file. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as database:
        found = database.execute(ALIASED, (name,)).fetchone()
    return int(found[0]) if found else None


def champion_at_server(uri: str, name: str) -> int | None:
    """By a tracking server's REST. Raises httpx.HTTPError."""
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    answer = httpx.get(
        f"{uri.rstrip('/')}/api/2.0/mlflow/registered-models/alias",
        params={"name": name, "alias": "champion"},
        auth=(user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None,
        timeout=TIMEOUT_S,
    )
    if answer.status_code in (400, 404):  # no such model, or no such alias
        return None
    return int(answer.raise_for_status().json()["model_version"]["version"])
