"""MLflow: runs with metrics and pictures, model versions, aliases."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from pipeline.errors import ServiceError
from pipeline.values import ModelVersion, Scorecard

EXPERIMENT = "genloop"


class Registry:
    """One tracking server or SQLite file. Raises ServiceError where it can't be reached."""

    def __init__(self, uri: str, artifacts: Path) -> None:
        import mlflow

        self._mlflow = mlflow
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        self.client: Any = mlflow.MlflowClient(uri)
        try:
            found = self.client.get_experiment_by_name(EXPERIMENT)
            location = artifacts.resolve().as_uri() if uri.startswith("sqlite") else None
            self.experiment: str = (
                found.experiment_id if found else self.client.create_experiment(EXPERIMENT, artifact_location=location)
            )
        except Exception as error:
            raise ServiceError(f"MLflow did not answer: {error}", where=uri, remedy="`genloop doctor`") from error

    def champion(self, name: str) -> ModelVersion | None:
        return self.by_alias(name, "champion")

    def by_alias(self, name: str, alias: str) -> ModelVersion | None:
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.get_model_version_by_alias(name, alias)
        except MlflowException:
            return None
        return _value(found, alias)

    def find(self, name: str, bundle: str) -> ModelVersion | None:
        """The version that was registered for this bundle, whatever its alias."""
        for found in self.client.search_model_versions(f"name = '{name}'"):
            if found.tags.get("bundle") == bundle:
                champion = self.champion(name)
                is_champion = champion is not None and champion.version == int(found.version)
                return _value(found, "champion" if is_champion else "challenger")
        return None

    def register(
        self, name: str, folder: Path, card: Scorecard, tags: dict[str, str], pictures: Path, curves: Path
    ) -> ModelVersion:
        """Log a run and register the bundle as a pyfunc, alias `challenger`; the same bundle twice is one version."""
        known = self.find(name, card.model)
        if known:
            return known
        from pipeline.model import pyfunc_path

        with self._mlflow.start_run(experiment_id=self.experiment, run_name=f"{name}-{card.model}") as run:
            self._mlflow.log_metrics(dict(card.metrics))
            self._mlflow.log_metrics({f"floor_{key}": value for key, value in card.floor.items()})
            self._mlflow.set_tags(tags)
            self._mlflow.log_artifacts(str(pictures), "pictures")
            self._mlflow.log_artifact(str(curves))
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
        version = self.client.create_model_version(
            name, info.model_uri, run.info.run_id, tags={"bundle": card.model, **tags}
        )
        self.client.set_registered_model_alias(name, "challenger", str(version.version))
        return _value(version, "challenger", card.model)

    def promote(self, model: ModelVersion) -> ModelVersion:
        self.client.set_registered_model_alias(model.name, "champion", str(model.version))
        return model.model_copy(update={"alias": "champion"})

    def download_bundle(self, model: ModelVersion, into: Path) -> Path:
        """The bundle's folder of a registered version, from MLflow's artifacts."""
        folder = self._mlflow.artifacts.download_artifacts(f"models:/{model.name}/{model.version}", dst_path=str(into))
        return next(Path(folder).rglob("config.json")).parent

    def scorecard(self, model: ModelVersion) -> Scorecard:
        """The scorecard that the version was registered with."""
        run = self.client.get_model_version(model.name, str(model.version)).run_id
        return Scorecard.model_validate(self._mlflow.artifacts.load_dict(f"runs:/{run}/scorecard.json"))

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_registered_model(name)
        except MlflowException:
            self.client.create_registered_model(name)


def _value(found: Any, alias: str, bundle: str = "") -> ModelVersion:
    version = int(found.version)
    uri = f"models:/{found.name}/{version}"
    return ModelVersion(name=found.name, version=version, alias=alias, bundle=bundle or found.tags["bundle"], uri=uri)
