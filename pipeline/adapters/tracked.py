"""All that MLflow keeps of models and their trainings, to be taken away where nothing needs it any more."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from pipeline.adapters.answering import answered
from pipeline.adapters.registry import LARGEST_PAGE, Registry, pages

CLEANED = "cleaned"  # tag of a run whose version is gone, or about to be: ISO 8601


@dataclass(frozen=True)
class TrackedVersion:
    """aliases: that stand on it now."""

    name: str
    version: int
    at: datetime
    run: str
    tags: dict[str, str]
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrackedRun:
    """bytes: of its files, and of the models that were logged by it."""

    id: str
    at: datetime
    bytes: int
    tags: dict[str, str] = field(default_factory=dict)


@answered
class Tracked:
    """Raises ServiceError where MLflow does not answer."""

    def __init__(self, registry: Registry) -> None:
        self._client, self._experiment = registry.client, registry.experiment

    def versions(self) -> list[TrackedVersion]:
        """Of every registered model."""
        found = list(pages(lambda token: self._client.search_model_versions(**_page(token))))
        names = {version.name for version in found}
        aliases = {name: self._client.get_registered_model(name).aliases or {} for name in names}
        return [
            TrackedVersion(
                name=one.name,
                version=int(one.version),
                at=_at(one.creation_timestamp),
                run=str(one.run_id),
                tags=dict(one.tags),
                aliases=tuple(sorted(n for n, number in aliases[one.name].items() if int(number) == int(one.version))),
            )
            for one in found
        ]

    def runs(self) -> list[TrackedRun]:
        """Of the experiment, but those that were deleted."""
        logged = self._logged
        runs = pages(lambda token: self._client.search_runs([self._experiment], **_page(token)))
        return [
            TrackedRun(
                id=str(run.info.run_id),
                at=_at(run.info.end_time or run.info.start_time),
                bytes=sum(
                    map(
                        _size,
                        [run.info.artifact_uri, *(m.artifact_location for m in logged.get(run.info.run_id, []))],
                    )
                ),
                tags=dict(run.data.tags),
            )
            for run in runs
        ]

    def drop_version(self, version: TrackedVersion) -> bool:
        """Out of the registry, where its number is not given again; False where an alias stands on it by now. What is
        left of it is its run's, which is marked before."""
        aliases = self._client.get_registered_model(version.name).aliases or {}
        if str(version.version) in map(str, aliases.values()):
            return False
        self._client.set_tag(version.run, CLEANED, datetime.now(UTC).isoformat(timespec="seconds"))
        self._client.delete_model_version(version.name, str(version.version))
        return True

    def drop_run(self, run: str) -> None:
        """Its files and logged models; its numbers stay in MLflow's database, out of sight."""
        for model in self._logged.pop(run, []):
            _delete(model.artifact_location)
            self._client.delete_logged_model(model.model_id)
        _delete(self._client.get_run(run).info.artifact_uri)
        self._client.delete_run(run)

    @cached_property
    def _logged(self) -> defaultdict[str, list[Any]]:
        """Logged models by the run that logged them."""
        found = defaultdict[str, list[Any]](list)
        for model in pages(lambda token: self._client.search_logged_models([self._experiment], page_token=token)):
            found[str(model.source_run_id)].append(model)
        return found


def _page(token: str | None) -> dict[str, Any]:
    return {"max_results": LARGEST_PAGE, "page_token": token}


def _at(milliseconds: int | None) -> datetime:
    return datetime.fromtimestamp((milliseconds or int(time.time() * 1000)) / 1000, UTC)


def _size(uri: str) -> int:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository = get_artifact_repository(uri)

    def below(path: str | None) -> int:
        entries = repository.list_artifacts(path)
        return sum(below(entry.path) if entry.is_dir else int(entry.file_size or 0) for entry in entries)

    return below(None)


def _delete(uri: str) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    get_artifact_repository(uri).delete_artifacts()
