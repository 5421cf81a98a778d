"""Of the champion: its version as the registry has it, without MLflow's library, and its scores of the last run."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
from prometheus_client.core import Metric

from flows.metrics.families import gauge, gauges
from flows.metrics.files import Files
from flows.status import LAST, known_champion
from flows.summary import Summary
from pipeline.environment import registry_uri

ALIASED = "select version from registered_model_aliases where name = ? and alias = 'champion'"
KEPT_S = 30.0  # a server over the network is not asked at every scrape
TIMEOUT_S = 2.0


class Champion:
    def __init__(self, workspace: Path) -> None:
        self._workspace, self._last = workspace, Files(Summary.model_validate)
        self._asked: tuple[float, int | None] = (0.0, None)

    def __call__(self) -> Iterator[Metric]:
        last = self._last.read(self._workspace / LAST)
        if last is None:
            return
        known, uri = known_champion(last.model), registry_uri(self._workspace)
        version = self._version(uri, last.model.name, known.version if known else None)
        yield from gauge("champion_version", "Version of the registered model that is champion.", version)
        if known and known.version == version:
            told = "Scorecard of the champion, as the last run measured it."
            yield from gauges("champion_score", told, ("metric",), known.scorecard)
            told = "What the champion's metrics are of real images against real ones."
            yield from gauges("champion_floor", told, ("metric",), known.floor)

    def _version(self, uri: str, name: str, otherwise: int | None) -> int | None:
        """otherwise: where the registry can be asked only with MLflow's library."""
        if uri.startswith("sqlite:///"):
            path = Path(uri.removeprefix("sqlite:///"))
            return _in_file(path, name) if path.exists() else None
        if not uri.startswith("http"):
            return otherwise
        if time.monotonic() - self._asked[0] > KEPT_S or not self._asked[0]:
            self._asked = time.monotonic(), _at_server(uri, name)
        return self._asked[1]


def _in_file(path: Path, name: str) -> int | None:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as database:
        found = database.execute(ALIASED, (name,)).fetchone()
    return int(found[0]) if found else None


def _at_server(uri: str, name: str) -> int | None:
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
