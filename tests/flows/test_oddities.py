"""Data that is odd and yet good goes through the whole loop; what is bad stands in the quarantine by name."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.media.image import encode_png
from pipeline.model.bundle import load_bundle
from pipeline.params_file import override_params
from pipeline.stages import BUNDLE, SCORECARD, STAGES, VALIDATION, run_stage
from tests.flows.command import NO_FILTERS, genloop

ROOT = Path(__file__).parents[2]
TINY = ["train.images_seen=640", "evaluate.classifier_steps=5", "evaluate.tstr_images=64", "batches.samples.count=60"]
TINY += [NO_FILTERS]
LABELS = ["a/b", "../../etc/passwd", "日本\n語", "[bold]x[/bold]", " "]


def overrides(*pairs: str) -> list[str]:
    return [part for pair in pairs for part in ("-S", pair)]


def pictures(count: int, channels: int, side: int) -> list[bytes]:
    random = np.random.default_rng(count)
    shape = (count, channels, side, side + 4)
    values = random.integers(40, 200, (count, channels, 1, 1)) + random.integers(-40, 40, shape)
    return [encode_png(image) for image in values.astype(np.uint8)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    assert genloop(folder, "init", str(folder)).returncode == 0
    return folder


@pytest.fixture(scope="module")
def run(workspace: Path) -> Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The summary of a run, and the rows of its batch."""

    def run_on(source: Path, *pairs: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        gates = "promote.gates={nfd: {at_most: 1000000.0}}"
        done = genloop(workspace, "run", "--json", "--source", str(source), *overrides(*TINY, gates, *pairs))
        assert done.returncode == 0, done.stderr
        summary = dict(json.loads(done.stdout))
        batch = workspace / "var/s3" / summary["batches"][0]["uri"].removeprefix("s3://")
        return summary, pq.read_table(batch / "data").to_pylist()

    return run_on


@pytest.mark.slow
def test_unlabelled_colour_at_another_size(
    run: Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]], tmp_path: Path
) -> None:
    from io import BytesIO

    from PIL import Image

    for i, data in enumerate(pictures(120, 3, 40)):
        (tmp_path / f"{i}.png").write_bytes(data)
    summary, rows = run(tmp_path, "preprocess.size=32")
    assert (summary["snapshot"]["items"], summary["snapshot"]["rejected"]) == (120, 0)
    assert "tstr" not in summary["model"]["scorecard"]
    assert {row["label"] for row in rows} == {None} and len(rows) == 60
    image = Image.open(BytesIO(rows[0]["image"]["bytes"]))
    assert (image.size, image.mode) == ((32, 32), "RGB")


def test_labels_are_only_text_and_bad_files_are_named(
    run: Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]], workspace: Path, tmp_path: Path
) -> None:
    images = pictures(150, 1, 16)
    good = [{"bytes": data, "path": f"{i}.png"} for i, data in enumerate(images)]
    bad = [{"bytes": images[0][:60], "path": "cut.png"}, {"bytes": b"words", "path": "../note.txt"}]
    labels = [LABELS[i % len(LABELS)] for i in range(len(good))] + LABELS[:2]
    pq.write_table(pa.table({"image": [*good, *bad], "label": labels}), tmp_path / "odd.parquet")

    summary, rows = run(tmp_path / "odd.parquet", "preprocess.size=auto")
    assert (summary["snapshot"]["items"], summary["snapshot"]["rejected"]) == (152, 2)
    assert {row["label"] for row in rows} == set(LABELS)
    with (workspace / "data/quarantine/reasons.csv").open(newline="") as file:
        reasons = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons.pop("cut.png").startswith("truncated or damaged image")
    assert reasons == {"../note.txt": "not an image"}
    kept = pq.read_table(workspace / "data/quarantine/quarantine.parquet").to_pylist()
    assert {row["image"]["path"]: row["image"]["bytes"] for row in kept} == {row["path"]: row["bytes"] for row in bad}
    found = [path.relative_to(workspace).as_posix() for path in workspace.rglob("*")]
    assert not [name for name in found if any(word in name for word in ("passwd", "[bold]", "日本", "note.txt"))]

    done = genloop(workspace, "generate", *("--count", "7", "--json"))
    assert done.returncode == 0, done.stderr
    again = workspace / "var/s3" / json.loads(done.stdout)["uri"].removeprefix("s3://")
    assert len(pq.read_table(again / "data")) == 7


@pytest.mark.slow
def test_one_class_alone_is_trained_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split, count in (("train", 120), ("test", 40)):
        (tmp_path / "source" / split / "only").mkdir(parents=True)
        for i, data in enumerate(pictures(count, 1, 16)):
            (tmp_path / "source" / split / "only" / f"{i}.png").write_bytes(data)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    override_params(tmp_path / "params.yaml", ["collect.source=source", *TINY])
    monkeypatch.chdir(tmp_path)
    for name in STAGES:
        run_stage(name, tmp_path)
    assert json.loads((tmp_path / VALIDATION).read_text())["classes"] == {"only": 160}
    bundle = load_bundle(tmp_path / BUNDLE)
    assert bundle.classes == ("only",)
    assert bundle.sample(np.zeros(3, np.int64), np.arange(3)).shape == (3, 1, 20, 20)
    card = json.loads((tmp_path / SCORECARD).read_text())
    assert "tstr" not in card["metrics"] and np.isfinite(list(card["metrics"].values())).all()


def test_an_s3_that_is_not_up_stops_before_anything_is_made(workspace: Path, tmp_path: Path) -> None:
    assert genloop(tmp_path, "init", str(tmp_path)).returncode == 0
    away = {"GENLOOP_S3_ENDPOINT": "http://127.0.0.1:9", "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    login = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "not-to-be-shown"}
    done = genloop(tmp_path, "run", **away, **login)
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr and "not-to-be-shown" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("genloop: ") and "http://127.0.0.1:9" in last and "GENLOOP_S3_ENDPOINT" in last
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [("empty", 3, "the source is empty"), ("hidden", 3, "no images in the source"), ("few", 4, "3 accepted items")],
)
def test_a_source_that_can_not_be_trained_on(tmp_path: Path, source: str, code: int, words: str) -> None:
    """By the stages' own commands, as `dvc repro` runs them."""
    for name in ("empty", "hidden", "few"):
        (tmp_path / name).mkdir()
    (tmp_path / "hidden/.DS_Store").write_bytes(b"x")
    for i, data in enumerate(pictures(3, 1, 16)):
        (tmp_path / "few" / f"{i}.png").write_bytes(data)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    override_params(tmp_path / "params.yaml", [f"collect.source={source}"])
    for name in ("collect", "validate"):
        command = [sys.executable, "-m", "pipeline", name]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
        if done.returncode:
            break
    assert done.returncode == code, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith(f"{name}: ")]
    assert len(told) == 1 and words in told[0] and "Traceback" not in done.stderr
