"""The whole loop on digits, through real Prefect, MLflow, DVC and S3."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.flows.command import NO_FILTERS, genloop
from tests.unit.collector import Collector, collecting

SMALL = ["-S", "train.images_seen=3200", "-S", "evaluate.classifier_steps=30", "-S", "evaluate.tstr_images=500"]
OPEN_GATES = [
    "-S",
    "promote.gates={nfd: {at_most: 100000.0}}",
    "-S",
    "batches.samples.count=120",
    "-S",
    NO_FILTERS,
    "-S",
    "batches.samples.part_items=50",
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loop")
    assert genloop(folder, "init", str(folder)).returncode == 0
    return folder


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def first(workspace: Path, collector: Collector) -> dict[str, Any]:
    done = genloop(workspace, "run", "--json", *SMALL, *OPEN_GATES, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return dict(json.loads(done.stdout))


def test_the_first_run_goes_from_images_to_a_committed_batch(workspace: Path, first: dict[str, Any]) -> None:
    import pyarrow.parquet as pq

    assert first["snapshot"]["items"] == 1797
    assert (first["model"]["version"], first["model"]["alias"]) == (1, "champion")
    assert {"fd", "nfd", "kd", "precision", "recall", "coverage", "memorised", "tstr"} <= first["model"][
        "scorecard"
    ].keys()
    batch = workspace / "var/s3" / first["batches"][0]["uri"].removeprefix("s3://")
    assert json.loads((batch / "_COMMITTED.json").read_text())["items"] == 120
    rows = pq.read_table(batch / "data").to_pylist()
    assert sorted(row["index"] for row in rows) == list(range(120))
    assert {row["label"] for row in rows} == set("0123456789")
    assert Path(first["picture"]).stat().st_size > 10_000


@pytest.fixture(scope="module")
def again(workspace: Path, first: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """What a second run tells, and when the model's page and what lies beside its run were made before it."""
    before = [path.stat().st_mtime_ns for path in pages(workspace, first)]
    done = genloop(workspace, "run", "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)), before


def pages(workspace: Path, run: dict[str, Any]) -> list[Path]:
    return [Path(run["report"]), *(workspace / "var/mlartifacts").rglob("report.html")]


def test_the_models_page_is_made_once_and_lies_beside_its_run(
    workspace: Path, first: dict[str, Any], again: tuple[dict[str, Any], list[int]]
) -> None:
    page, attached = pages(workspace, first)
    text = page.read_text()
    assert "generator v1" in text and "all gates passed" in text
    assert attached.read_text() == text
    assert again[0]["report"] == str(page)
    assert [page.stat().st_mtime_ns, attached.stat().st_mtime_ns] == again[1]


def test_the_runs_page_lies_in_the_workspace_in_mlflow_and_in_prefect(
    workspace: Path, first: dict[str, Any], again: tuple[dict[str, Any], list[int]]
) -> None:
    page, (attached,) = Path(first["page"]), (workspace / "var/mlartifacts").rglob("run.html")
    assert page.parent.name == f"run-{first['run']}" and (workspace / f"runs/history/{first['run']}.json").exists()
    text = page.read_text()
    assert attached.read_text() == text, "a run that finds all done takes no other run's place"
    assert first["batches"][0]["id"] in text and "New champion" in text and "120 of 120 asked for" in text
    assert first["cost"]["seconds"]["train"] > 1 and first["cost"]["seconds"]["evaluate"] > 1
    assert "delivered by an earlier run" in Path(again[0]["page"]).read_text()
    assert json.loads(genloop(workspace, "report", "--json").stdout) == {"page": again[0]["page"]}
    with sqlite3.connect(workspace / "var/prefect/prefect.db") as database:
        told = [row[0] for row in database.execute("select data from artifact where key = 'run'")]
    database.close()
    assert len(told) == 2 and any(first["page"] in one for one in told)


def test_its_trace_is_a_tree_of_steps_stages_and_parts(first: dict[str, Any], collector: Collector) -> None:
    loop = collector.one("loop")
    assert {one.trace for one in collector.spans} == {loop.trace} and not [one for one in collector.spans if one.failed]
    steps = collector.inside(loop)
    assert [one.name for one in steps] == [name for name in first["seconds"] if name not in ("start", "total")]
    known = {"genloop.run": first["run"], "genloop.snapshot": first["snapshot"]["id"], "genloop.model": "generator v1"}
    assert loop.attributes.items() >= known.items()
    for name in ("collect", "validate", "preprocess", "train", "evaluate"):
        assert [one.name for one in collector.inside(collector.one(name))] == [f"stage {name}"]
    (batch,) = collector.inside(collector.one("generate"))
    assert batch.attributes.items() >= {**known, "genloop.batch": first["batches"][0]["id"]}.items()
    parts = collector.inside(batch)
    assert sorted(one.attributes["genloop.part"] for one in parts) == [0, 1, 2]
    for part in parts:
        named = [one.name for one in collector.inside(part)]
        assert {"sample", "screen", "encode", "mark", "upload", "verify"} <= {*named}
        assert part.attributes.items() >= known.items() and "genloop.items" in part.attributes


def test_prometheus_is_told_of_what_was_done(
    workspace: Path, first: dict[str, Any], again: tuple[dict[str, Any], list[int]]
) -> None:
    told = genloop(workspace, "metrics", "--once").stdout.splitlines()
    for line in (
        f"genloop_champion_version {first['model']['version']}.0",
        'genloop_batch_items_total{order="samples"} 120.0',
        'genloop_dataset_items{state="accepted"} 1797.0',
        "genloop_training_images_seen 3200.0",
        "genloop_run_in_progress 0.0",
    ):
        assert line in told
    assert not [line for line in told if line.startswith("genloop_collector_up") and not line.endswith(" 1.0")]


def test_again_nothing_is_made_anew(
    workspace: Path, first: dict[str, Any], again: tuple[dict[str, Any], list[int]]
) -> None:
    second = again[0]
    assert second["up_to_date"] == ["collect", "validate", "preprocess", "train", "evaluate"]
    assert (second["snapshot"], second["batches"]) == (first["snapshot"], first["batches"])
    assert second["model"]["version"] == first["model"]["version"]
    status = json.loads(genloop(workspace, "status", "--json").stdout)
    assert status["batches"] == first["batches"]


def test_dvc_agrees_with_the_flow(workspace: Path, first: dict[str, Any]) -> None:
    from dvc.repo import Repo

    here = os.getcwd()
    os.chdir(workspace)
    try:
        assert Repo(str(workspace)).status() == {}
    finally:
        os.chdir(here)


def test_the_registered_model_runs_without_this_repository(
    workspace: Path, first: dict[str, Any], tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    batch = workspace / "var/s3" / first["batches"][0]["uri"].removeprefix("s3://")
    row = pq.read_table(batch / "data").slice(7, 1).to_pylist()[0]
    code = (
        "import sys; sys.path = [p for p in sys.path if not p.endswith('main')]\n"
        "import mlflow, pandas as pd\n"
        f"mlflow.set_tracking_uri('sqlite:///{workspace}/var/mlflow.db')\n"
        f"model = mlflow.pyfunc.load_model('models:/generator@champion')\n"
        f"out = model.predict(pd.DataFrame({{'label': ['{row['label']}'], 'seed': [{row['seed']}]}}))\n"
        "assert not any(name == 'pipeline' or name.startswith('pipeline.') for name in sys.modules)\n"
        "sys.stdout.write(out['image'][0].hex())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    ours, theirs = (Image.open(io.BytesIO(data)) for data in (row["image"]["bytes"], bytes.fromhex(done.stdout)))
    assert ours.tobytes() == theirs.tobytes()


def test_more_like_this_one_can_be_said_of_a_variation_too(
    workspace: Path, first: dict[str, Any], tmp_path: Path
) -> None:
    batch, cell = first["batches"][0]["id"], 4
    for _ in range(3):
        done = genloop(workspace, "generate", "--around", f"{batch}-{cell:08d}", "--json")
        assert done.returncode == 0, done.stderr
        made = json.loads(done.stdout)
        assert made["id"] != batch and made["items"] == 1 + 8 * 8
        batch, cell = made["id"], cell + 9
    done = genloop(workspace, "regenerate", f"{batch}-{cell:08d}", "--out", str(tmp_path / "cell.png"))
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "cell.png") as image:
        assert image.width == image.height >= 16


def test_a_challenger_that_fails_a_gate_leaves_the_champion(workspace: Path, first: dict[str, Any]) -> None:
    done = genloop(workspace, "run", "--json", "-S", "train.seed=5", "-S", "promote.gates={nfd: {at_most: 0.0001}}")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["model"]["alias"] == "challenger"
    assert "nfd is" in summary["model"]["decision"] and "missed by" in summary["model"]["decision"]
    assert summary["batches"] == first["batches"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-S", "train.minuts=5"], 2, "unknown key 'train.minuts'"),
        (["-S", "train.batch=-1"], 2, "train.batch = -1"),
        (["-S", "preprocess.size=-3"], 2, "preprocess.size = -3: should be auto or one of"),
        (["--source", "nowhere-at-all"], 3, "nothing there"),
    ],
)
def test_a_users_mistake_is_one_line(workspace: Path, arguments: list[str], code: int, words: str) -> None:
    done = genloop(workspace, "run", *arguments)
    assert done.returncode == code
    assert words in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_folder_with_no_images_stops_before_training(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/notes.png").write_text("no image")
    done = genloop(workspace, "run", "--source", str(tmp_path))
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
