"""Curves and pictures of a training in a real MLflow, and a tracking server that is not there."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from PIL import Image

from pipeline.adapters.training_log import TrainingLog


def test_a_training_that_goes_on_goes_on_in_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(KeyboardInterrupt), TrainingLog(tmp_path, "key") as log:
        log.metrics({"loss_g": 1.5}, 100)
        raise KeyboardInterrupt
    with TrainingLog(tmp_path, "key") as log:
        log.metrics({"loss_g": 1.25}, 200)
        log.picture(Image.new("L", (8, 8)), 200)
        log.bundle = "abc"
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/var/mlflow.db")
    (experiment,) = [e.experiment_id for e in client.search_experiments() if e.name == "genloop"]
    (run,) = client.search_runs([experiment])
    assert (run.info.status, run.data.tags["bundle"]) == ("FINISHED", "abc")
    history = client.get_metric_history(run.info.run_id, "training/loss_g")
    assert [(metric.step, metric.value) for metric in history] == [(100, 1.5), (200, 1.25)]
    assert [file.path for file in client.list_artifacts(run.info.run_id, "samples")] == ["samples/000000000200.png"]


def test_no_tracking_server_never_stops_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENLOOP_MLFLOW_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with TrainingLog(tmp_path, "key") as log:
        log.metrics({"loss_g": 1.0}, 1)
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1 and told[0].startswith("mlflow: no curves of this training: ")
