"""MLflow: runs with metrics and pictures, model versions, aliases."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.adapters.answering import answered, is_absent
from pipeline.adapters.databases import is_database, shown, with_driver
from pipeline.errors import ServiceError
from pipeline.values import ModelVersion, Scorecard

EXPERIMENT = "genloop"
SQLITE = "sqlite:///"
LARGEST_PAGE = 1000
MANNERS = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # of 7; a server that is gone was waited for for six minutes
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # it logs what it raises, with a traceback
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # a server's addresses would stand in what a program reads
}


@answered
class Registry:
    """One tracking server or SQLite file. Raises ServiceError where it can't be reached."""

    def __init__(self, uri: str, artifacts: Path) -> None:
        for name, value in MANNERS.items():
            os.environ.setdefault(name, value)
        import mlflow

        self._mlflow, uri = mlflow, with_driver(uri, "psycopg")
        if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists():
            _check_fresh(Path(uri.removeprefix(SQLITE)), artifacts)
            _make_database(mlflow, Path(uri.removeprefix(SQLITE)))
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        try:
            self.client: Any = mlflow.MlflowClient(uri)
            found = self.client.get_experiment_by_name(EXPERIMENT)
            location = artifacts.resolve().as_uri() if is_database(uri) else None
            self.experiment: str = (
                found.experiment_id if found else self.client.create_experiment(EXPERIMENT, artifact_location=location)
            )
        except Exception as error:
            told = " ".join(str(error).split())[:300]
            raise ServiceError(f"MLflow did not answer: {told}", where=shown(uri), remedy="`genloop doctor`") from error

    def champion(self, name: str) -> ModelVersion | None:
        return self.by_alias(name, "champion")

    def by_alias(self, name: str, alias: str) -> ModelVersion | None:
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.get_model_version_by_alias(name, alias)
        except MlflowException as error:
            if is_absent(error):
                return None
            raise
        return _value(found, alias)

    def version(self, name: str, number: int) -> ModelVersion | None:
        from mlflow.exceptions import MlflowException

        try:
            return _value(self.client.get_model_version(name, str(number)), "")
        except MlflowException as error:
            if is_absent(error):
                return None
            raise

    def newest(self, name: str, count: int) -> list[ModelVersion]:
        """The last versions, the newest first."""
        found = [version for version in self._all_versions() if version.name == name and "bundle" in version.tags]
        return [_value(v, "") for v in sorted(found, key=lambda v: -int(v.version))[:count]]

    def began(self, model: ModelVersion) -> datetime:
        """When the run that trained it did."""
        started = self.client.get_run(self.run_of(model)).info.start_time
        return datetime.fromtimestamp(started / 1000, UTC)

    def run_of(self, model: ModelVersion) -> str:
        """The id of the run that trained it."""
        return str(self.client.get_model_version(model.name, str(model.version)).run_id)

    def find(self, name: str, bundle: str) -> ModelVersion | None:
        """The version that was registered for this bundle, whatever its alias."""
        for found in self.client.search_model_versions(f"name = '{name}'"):
            if found.tags.get("bundle") == bundle:
                champion = self.champion(name)
                is_champion = champion is not None and champion.version == int(found.version)
                return _value(found, "champion" if is_champion else "challenger")
        return None

    def register(
        self,
        name: str,
        folder: Path,
        card: Scorecard,
        tags: dict[str, str],
        beside: Mapping[str, Path],
    ) -> ModelVersion:
        """Log a run and register the bundle as a pyfunc, alias `challenger` unless it is the champion; the same bundle
        twice is one version.

        beside: files and folders that are kept with the run, by the name that they have there.
        """
        known = self.find(name, card.model)
        if known:  # a run may have been killed before the alias was set
            return known if known.alias == "champion" else self._with_alias(known, "challenger")
        from pipeline.model import pyfunc_path

        trained = self._find_run(f"tags.bundle = '{card.model}'")
        named = {"experiment_id": self.experiment, "run_name": f"{name}-{card.model}"}
        with self._mlflow.start_run(**({"run_id": trained} if trained else named)) as run:
            self._mlflow.log_metrics(dict(card.metrics))
            self._mlflow.log_metrics({f"floor_{key}": value for key, value in card.floor.items()})
            self._mlflow.set_tags(tags)
            for there, path in beside.items():
                if path.is_dir():
                    self._mlflow.log_artifacts(str(path), there)
                else:
                    self._mlflow.log_text(path.read_text(), there)
            self._mlflow.log_dict(card.model_dump(), "scorecard.json")
            with tempfile.TemporaryDirectory() as temporary:
                bundle = Path(temporary) / "bundle"
                shutil.copytree(folder, bundle)
                shutil.copytree(
                    pyfunc_path().parent, bundle / "code", ignore=shutil.ignore_patterns("__pycache__", "pyfunc.py")
                )
                info = self._mlflow.pyfunc.log_model(
                    name="model",
                    python_model=str(pyfunc_path()),
                    artifacts={"bundle": str(bundle)},
                    pip_requirements=["mlflow", "numpy", "pandas", "pillow", "safetensors", "torch"],
                )
        self._ensure_model(name)
        self.client.create_model_version(
            name, info.model_uri, run.info.run_id, tags={"bundle": card.model, **tags}, model_id=info.model_id
        )
        return self._with_alias(_value(self._without_twins(name, card.model), "", card.model), "challenger")

    def _with_alias(self, model: ModelVersion, alias: str) -> ModelVersion:
        self.client.set_registered_model_alias(model.name, alias, str(model.version))
        return model.model_copy(update={"alias": alias})

    def _without_twins(self, name: str, bundle: str) -> Any:
        """The bundle's version; others of it go: MLflow's client asks again where the answer to a request was lost."""
        found = [v for v in self._all_versions() if v.name == name and v.tags.get("bundle") == bundle]
        first, *twins = sorted(found, key=lambda version: int(version.version))
        for twin in twins:
            self.client.delete_model_version(name, str(twin.version))
        return first

    def training_run(self, key: str) -> str:
        """The id of the run of this training, made where there is none; it is running."""
        known = self._find_run(f"tags.training = '{key}'")
        if known:
            self.client.update_run(known, status="RUNNING")
            return known
        run = self.client.create_run(self.experiment, tags={"training": key}, run_name=f"train-{key}")
        return str(run.info.run_id)

    def log_step(self, run: str, values: dict[str, float], step: int) -> None:
        """Below training/: of two figures of one name MLflow shows the later step's, and the scorecard's has none."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        told = [Metric(f"training/{name}", value, now, step) for name, value in values.items()]
        self.client.log_batch(run, metrics=told)

    def end_training_run(self, run: str, bundle: str | None) -> None:
        """Tag it with the bundle it made; None: it failed."""
        if bundle:
            self.client.set_tag(run, "bundle", bundle)
        self.client.set_terminated(run, "FINISHED" if bundle else "FAILED")

    def end_killed_trainings(self) -> list[str]:
        """End those that are said to run; their names. To be called where none is at work."""
        running = "attributes.status = 'RUNNING' and tags.training != ''"
        found = list(pages(lambda token: self.client.search_runs([self.experiment], running, page_token=token)))
        for run in found:
            self.client.set_terminated(run.info.run_id, "KILLED")
        return [str(run.info.run_name) for run in found]

    def _find_run(self, filter_string: str) -> str | None:
        found = self.client.search_runs([self.experiment], filter_string, max_results=1)
        return str(found[0].info.run_id) if found else None

    def promote(self, model: ModelVersion) -> ModelVersion:
        return self._with_alias(model, "champion")

    def download_bundle(self, model: ModelVersion, into: Path) -> Path:
        """The bundle's folder of a registered version, from MLflow's artifacts."""
        folder = self._mlflow.artifacts.download_artifacts(f"models:/{model.name}/{model.version}", dst_path=str(into))
        return next(Path(folder).rglob("config.json")).parent

    def attach(self, model: ModelVersion, text: str, name: str) -> None:
        """Put a file beside the version's run, in place of one of that name."""
        self.client.log_text(self.run_of(model), text, name)

    def attach_folder(self, model: ModelVersion, folder: Path, name: str) -> None:
        self.client.log_artifacts(self.run_of(model), str(folder), name)

    def text(self, model: ModelVersion, name: str) -> str | None:
        """A file that lies beside the version's run."""
        there = name in self.files(model)
        return str(self._mlflow.artifacts.load_text(f"runs:/{self.run_of(model)}/{name}")) if there else None

    def download(self, model: ModelVersion, name: str, into: Path) -> Path | None:
        """A folder that lies beside the version's run."""
        if name not in self.files(model):
            return None
        return self.download_from(self.run_of(model), name, into)

    def download_from(self, run: str, name: str, into: Path) -> Path:
        """A file or folder of a run."""
        return Path(self._mlflow.artifacts.download_artifacts(f"runs:/{run}/{name}", dst_path=str(into)))

    def new_run(self, name: str, tags: Mapping[str, str]) -> str:
        return str(self.client.create_run(self.experiment, tags=dict(tags), run_name=name).info.run_id)

    def new_version(self, name: str, run: str, folder: str, tags: Mapping[str, str]) -> int:
        """Of a registered model that is only files, such as a folder of a run."""
        self._ensure_model(name)
        source = f"{self.client.get_run(run).info.artifact_uri}/{folder}"
        return int(self.client.create_model_version(name, source, run, tags=dict(tags)).version)

    def trained_on(self, snapshots: Collection[str]) -> list[ModelVersion]:
        """Every version, of whatever name, that was trained on one of these snapshots."""
        found = [v for v in self._all_versions() if v.tags.get("snapshot") in snapshots and "bundle" in v.tags]
        return sorted((_value(v, "") for v in found), key=lambda model: (model.name, model.version))

    def _all_versions(self) -> Iterator[Any]:
        return pages(lambda token: self.client.search_model_versions(max_results=LARGEST_PAGE, page_token=token))

    def snapshot_of(self, model: ModelVersion) -> str:
        """The id of the snapshot that it was trained on."""
        return str(self.client.get_model_version(model.name, str(model.version)).tags["snapshot"])

    def tag(self, model: ModelVersion, name: str, value: str) -> None:
        self.client.set_model_version_tag(model.name, str(model.version), name, value)

    def tagged(self, name: str, tag: str) -> list[int]:
        """Numbers of the versions that have it."""
        return [int(found.version) for found in self._all_versions() if found.name == name and tag in found.tags]

    def tags(self, model: ModelVersion) -> dict[str, str]:
        return dict(self.client.get_model_version(model.name, str(model.version)).tags)

    def remove_files(self, model: ModelVersion, names: Sequence[str]) -> list[str]:
        """Take files and folders away from beside the version's run; those that were there."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        run = self.client.get_run(self.run_of(model))
        there = [name for name in names if name in self.files(model)]
        for name in there:
            get_artifact_repository(run.info.artifact_uri).delete_artifacts(name)
        return there

    def files(self, model: ModelVersion) -> list[str]:
        """What lies beside the version's run."""
        return [entry.path for entry in self.client.list_artifacts(self.run_of(model))]

    def scorecard(self, model: ModelVersion) -> Scorecard:
        """The scorecard that the version was registered with."""
        where = f"runs:/{self.run_of(model)}/scorecard.json"
        return Scorecard.model_validate(self._mlflow.artifacts.load_dict(where))

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_registered_model(name)
        except MlflowException as error:
            if not is_absent(error):
                raise
            self.client.create_registered_model(name)


def pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    """All that MLflow tells page by page. ask: for the page of a token."""
    token = None
    while True:
        page = ask(token)
        yield from page
        if not (token := page.token):
            return


def _check_fresh(database: Path, artifacts: Path) -> None:
    """Raises ServiceError where files of models are there already: an empty database would know of no champion."""
    if artifacts.is_dir() and any(artifacts.iterdir()):
        raise ServiceError(
            f"MLflow's database is gone, and {artifacts} still has what it tells of",
            where=str(database),
            remedy=f"put it back; to begin anew, move {artifacts} away too",
        )


def _make_database(mlflow: Any, path: Path) -> None:
    """Beside its place, and put there whole: MLflow makes its tables in fifty steps, and refuses what was cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        made = Path(folder) / path.name
        mlflow.MlflowClient(f"{SQLITE}{made}").search_experiments()
        with suppress(FileExistsError):  # another process was faster
            os.link(made, path)


def _value(found: Any, alias: str, bundle: str = "") -> ModelVersion:
    version = int(found.version)
    uri = f"models:/{found.name}/{version}"
    return ModelVersion(name=found.name, version=version, alias=alias, bundle=bundle or found.tags["bundle"], uri=uri)
