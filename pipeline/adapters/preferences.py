"""Preference models in MLflow: a run for each with its scorecard, a registered version, the newest `current`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.adapters.answering import answered
from pipeline.adapters.registry import Registry

FOLDER, CURRENT, KEY, SAID = "preference", "current", "key", "said"


@answered
class Preferences:
    """Those that were learned for one generator, by the name of that."""

    def __init__(self, registry: Registry, generator: str) -> None:
        self._registry, self.name = registry, f"{generator}-preference"

    def find(self, key: str) -> tuple[int, str] | None:
        """Number and run of the version that was learned from what the key tells."""
        for found in self._versions():
            if found.tags.get(KEY) == key:
                return int(found.version), str(found.run_id)
        return None

    def keep(self, key: str, folder: Path, metrics: Mapping[str, float], tags: Mapping[str, str]) -> int:
        """Its version's number; the same key twice is one version."""
        if known := self.find(key):
            return known[0]
        registry = self._registry
        run = registry.new_run(f"{self.name}-{key}", {KEY: key, **tags})
        registry.log_step(run, dict(metrics), 0)
        registry.client.log_artifacts(run, str(folder), FOLDER)
        registry.client.set_terminated(run, "FINISHED")
        version = registry.new_version(self.name, run, FOLDER, {KEY: key, **tags})
        registry.client.set_registered_model_alias(self.name, CURRENT, str(version))
        return version

    def said(self) -> str:
        """What the current one was learned from, as the ratings name it; empty where there is none."""
        return next((str(v.tags.get(SAID, "")) for v in self._versions() if CURRENT in (v.aliases or ())), "")

    def download(self, run: str, into: Path) -> Path:
        """The folder that was kept."""
        return self._registry.download_from(run, FOLDER, into)

    def metrics(self, run: str) -> dict[str, float]:
        return dict(self._registry.client.get_run(run).data.metrics)

    def _versions(self) -> list[Any]:
        found: list[Any] = self._registry.client.search_model_versions(f"name = '{self.name}'", max_results=1000)
        return found
