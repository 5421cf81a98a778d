"""A real MLflow server that goes away when a model is to be registered, or whose answer is lost on its way."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows import services
from pipeline.adapters.registry import Registry
from pipeline.errors import ServiceError
from tests.contract.delivering import CARD, make_bundle
from tests.contract.faulty_s3 import FaultyS3
from tests.faults.loops import make
from tests.flows.command import command, genloop, until

pytestmark = [pytest.mark.xdist_group("ports"), pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[services.Service]:
    (tmp_path / "mlflow").mkdir()
    (started,) = services.up(tmp_path / "mlflow", ["mlflow"])
    try:
        yield started
    finally:
        services.down(tmp_path / "mlflow")


def kill(server: services.Service) -> None:
    """With the workers that it has."""
    main = psutil.Process(server.pid)
    for process in [*main.children(recursive=True), main]:
        process.kill()
    main.wait(10)


@pytest.mark.slow
def test_gone_at_registration_it_is_told_in_a_line_and_the_next_run_registers(
    tmp_path: Path, server: services.Service
) -> None:
    workspace = make(tmp_path / "w")
    there = {"GENLOOP_MLFLOW_URI": server.url, "PREFECT_CLIENT_MAX_RETRIES": "2"}
    with subprocess.Popen(**command(workspace, "run", **there) | {"stderr": subprocess.PIPE}) as run:
        until(lambda: bool(list((workspace / "runs/evaluators").glob("*"))), "a classifier", 300)
        until(lambda: (workspace / "data/bundle/config.json").exists(), "the bundle", 100)
        kill(server)
        assert run.stderr
        told = run.stderr.read().decode().splitlines()
        assert run.wait(300) == 5, told
    assert "Traceback" not in "\n".join(told), told
    assert told[-1].startswith("genloop: ") and "MLflow did not answer" in told[-1], told
    trained = (workspace / "data/bundle/weights.safetensors").stat().st_mtime_ns
    (again,) = services.up(tmp_path / "mlflow", ["mlflow"])
    done = genloop(workspace, "run", "--json", **there | {"GENLOOP_MLFLOW_URI": again.url})
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert {"collect", "validate", "preprocess", "train"} <= set(summary["up_to_date"])
    assert (workspace / "data/bundle/weights.safetensors").stat().st_mtime_ns == trained
    registry = Registry(again.url, tmp_path / "unused")
    assert [model.version for model in registry.newest("generator", 9)] == [1]
    assert registry.champion("generator") is not None


class Loses(FaultyS3):
    """The answer to the first request for a version, once that was made."""

    lost = 0

    def fault(self, method: str, path: str) -> str | None:
        super().fault(method, path)
        if not path.endswith("model-versions/create") or self.lost:
            return None
        self.lost += 1
        return "reset after"


def test_an_answer_that_was_lost_makes_no_second_version(tmp_path: Path, server: services.Service) -> None:
    make_bundle(tmp_path / "bundle")
    with Loses(server.url, share=0.0).running() as proxy:
        registry = Registry(proxy.url, tmp_path / "unused")
        made = [registry.register("generator", tmp_path / "bundle", CARD, {"snapshot": "s"}, {}) for _ in range(2)]
        assert proxy.lost == 1
    assert made[0] == made[1]
    versions = registry_at(server, tmp_path).newest("generator", 9)
    assert [(model.version, model.bundle) for model in versions] == [(1, CARD.model)]


def test_a_version_that_a_killed_run_left_without_its_alias_is_the_challenger_of_the_next(
    tmp_path: Path, server: services.Service
) -> None:
    make_bundle(tmp_path / "bundle")
    registry = registry_at(server, tmp_path)
    made = registry.register("generator", tmp_path / "bundle", CARD, {"snapshot": "s"}, {})
    registry.client.delete_registered_model_alias("generator", "challenger")
    assert registry.by_alias("generator", "challenger") is None
    assert registry.register("generator", tmp_path / "bundle", CARD, {"snapshot": "s"}, {}) == made
    assert registry.by_alias("generator", "challenger") == made
    registry.promote(made)
    again = registry.register("generator", tmp_path / "bundle", CARD, {"snapshot": "s"}, {})
    assert again.alias == "champion" and registry.champion("generator") == again


def registry_at(server: services.Service, folder: Path) -> Registry:
    return Registry(server.url, folder / "unused")


def test_who_can_not_be_asked_has_not_said_that_there_is_no_champion(
    tmp_path: Path, server: services.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A challenger that nobody holds against the champion would take its place."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = registry_at(server, tmp_path)
    assert registry.champion("generator") is None and registry.version("generator", 1) is None
    kill(server)
    for ask in (lambda: registry.champion("generator"), lambda: registry.version("generator", 1)):
        with pytest.raises(ServiceError, match="MLflow did not answer"):
            ask()
