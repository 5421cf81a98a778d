"""Of the champion: its version as the registry has it, without MLflow's library, and its scores of the last run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import Metric

from flows.metrics.families import gauge, gauges
from flows.metrics.files import Files
from flows.status import LAST, known_champion
from flows.summary import Summary
from pipeline.adapters.aliases import champion_at_server, champion_in_file
from pipeline.environment import registry_uri

KEPT_S = 30.0  # a server over the network is not asked at every scrape


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
            return champion_in_file(path, name) if path.exists() else None
        if not uri.startswith("http"):
            return otherwise
        if time.monotonic() - self._asked[0] > KEPT_S or not self._asked[0]:
            self._asked = time.monotonic(), champion_at_server(uri, name)
        return self._asked[1]
