"""The figures for Prometheus: read from what lies there, each source by itself."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from flows.cli_tools import only_run
from flows.metrics.files import Files
from flows.metrics.serving import registry_of, told_once
from flows.processes import free_port
from pipeline.errors import GenloopError
from pipeline.params_file import load_params
from tests.flows.command import ROOT, command, genloop, until
from tests.unit.told_runs import OUTCOMES, REASONS, add_batch, build

PARAMS = load_params(ROOT / "params.yaml")
Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("told")
    build(folder)
    return folder


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "workspace"))


def parsed(text: str) -> Figures:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def figures(root: Path) -> Figures:
    return parsed(told_once(root, PARAMS))


def of(found: Figures, name: str, **labels: str) -> float:
    return found[f"genloop_{name}", tuple(sorted(labels.items()))]


def up(found: Figures) -> dict[str, float]:
    return {labels[0][1]: value for (name, labels), value in found.items() if name == "genloop_collector_up"}


def test_figures_are_those_of_what_lies_there(root: Path) -> None:
    found = figures(root)
    counts = [of(found, "runs_total", outcome=name) for name in ("promoted", "kept", "failed", "killed")]
    assert counts == [1, 1, 2, 1] and of(found, "run_in_progress") == 0
    assert of(found, "run_last_success_timestamp_seconds") == 1767484860  # 2026-01-04 00:01:00
    assert of(found, "run_step_core_seconds", step="train") == 80 and of(found, "run_cost", currency="EUR") == 0.25
    assert of(found, "dataset_version") == 2 and of(found, "dataset_items", state="rejected") == 6
    assert of(found, "stage_items_per_second", stage="validate") == 50
    assert of(found, "training_images_per_second") == 250 and of(found, "training_snapshot_nfd") == 3.5
    assert of(found, "training_loss", network="generator") == 1.5 and of(found, "training_rollbacks") == 1
    assert of(found, "champion_version") == 3 and of(found, "champion_score", metric="nfd") == 1.25
    assert of(found, "batch_items_total", order="samples") == 150 and of(found, "batches_total", order="ads") == 1
    assert of(found, "batch_cost_total", order="samples", currency="EUR") == 1
    assert of(found, "batch_items_per_second", order="samples") == 20  # of the last one
    assert of(found, "review_queue_items") == 16 and of(found, "review_verdicts") == 24
    assert of(found, "review_accepted_ratio", order="samples") == 0.75
    assert 0 < of(found, "disk_free_bytes") < of(found, "disk_size_bytes")
    assert set(up(found).values()) == {1}


def test_a_reason_is_a_label_whatever_is_in_it(root: Path) -> None:
    found = figures(root)
    assert {why: of(found, "dataset_rejected_items", reason=why) for why in REASONS} == REASONS


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("versions/000002.json", "dataset"),
        ("runs/train/abc/history.json", "training"),
        ("var/mlflow.db", "champion"),
        ("var/feedback.db", "reviews"),
    ],
)
def test_a_broken_source_takes_no_other_with_it(root: Path, path: str, source: str) -> None:
    whole = up(figures(root))
    for side in ("-wal", "-shm"):
        (root / f"{path}{side}").unlink(missing_ok=True)
    (root / path).write_bytes(b"{ no such thing" * 100)
    assert up(figures(root)) == whole | {source: 0}


def test_a_prefect_that_is_gone_takes_only_what_it_knows_with_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")
    registry = registry_of(root, PARAMS)
    for _ in range(2):
        assert {name for name, well in up(parsed(generate_latest(registry).decode())).items() if not well} == {"queue"}


def test_of_an_empty_workspace_there_is_little_and_nothing_is_broken(tmp_path: Path) -> None:
    found = figures(tmp_path)
    assert of(found, "runs_total", outcome="failed") == 0 and set(up(found).values()) == {1}
    assert not any(name.startswith(("genloop_champion", "genloop_review")) for name, _ in found)
    assert [*tmp_path.iterdir()] == [], "who asks for figures leaves nothing"


def test_a_run_is_at_work_while_it_holds_its_lock(root: Path) -> None:
    last = root / "runs/history/20260105T000000.000000.json"
    last.write_text(json.dumps(json.loads(last.read_text()) | {"outcome": "running"}))
    assert of(figures(root), "runs_total", outcome="killed") == 2
    with only_run(root):
        found = figures(root)
    assert of(found, "run_in_progress") == 1 and of(found, "runs_total", outcome="killed") == 1


def test_who_only_looks_stops_no_run(root: Path) -> None:
    with (root / "var/run.lock").open("w") as looking:
        fcntl.flock(looking, fcntl.LOCK_EX)
        threading.Timer(0.1, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        with only_run(root), pytest.raises(GenloopError, match="another run"), only_run(root):
            pass


def test_new_things_show_and_labels_are_bounded(root: Path) -> None:
    registry = registry_of(root, PARAMS)
    before = parsed(generate_latest(registry).decode())
    for number in range(200):
        add_batch(root, f"c{number}", f"order{number}", 1, 1.0)
    after = parsed(generate_latest(registry).decode())
    assert of(before, "batches_total", order="samples") == 2 and len(after) < len(before) + 6 * 60
    (root / "runs/history/20260102T000000.000000.json").unlink()
    assert (
        of(parsed(generate_latest(registry).decode()), "runs_total", outcome="failed") == OUTCOMES.count("failed") - 1
    )


def test_a_file_is_read_again_only_where_it_changed(tmp_path: Path) -> None:
    read: list[int] = []
    files: Files[int] = Files(lambda told: read.append(told["n"]) or told["n"])  # type: ignore[func-returns-value]
    for name, told in (("a", '{"n": 1}'), ("b", '{"n": 2}'), ("c", "{")):
        (tmp_path / name).write_text(told)
    assert [[n for _, n in files.all(tmp_path, "*")] for _ in range(3)] == [[1, 2]] * 3 and read == [1, 2]
    (tmp_path / "b").write_text('{"n": 33}')
    (tmp_path / "a").unlink()
    assert [n for _, n in files.all(tmp_path, "*")] == [33] and read == [1, 2, 33]


def test_prometheus_own_tool_finds_no_fault(root: Path) -> None:
    if not shutil.which("promtool"):
        pytest.skip("no promtool here")
    told = told_once(root, PARAMS)
    done = subprocess.run(["promtool", "check", "metrics"], input=told, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class Served(NamedTuple):
    url: str
    process: psutil.Process


@pytest.fixture
def served(root: Path) -> Iterator[Served]:
    """`genloop metrics` on it."""
    shutil.copy(ROOT / "params.yaml", root)
    port = free_port()
    process = subprocess.Popen(**command(root, "metrics", "--port", str(port)))
    try:
        until(lambda: _answers(f"http://127.0.0.1:{port}/healthz"), "answer", 30)
        yield Served(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_it_is_served_and_printed(root: Path, served: Served) -> None:
    answer = httpx.get(f"{served.url}/metrics", trust_env=False)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert of(parsed(answer.text), "champion_version") == 3
    assert httpx.get(f"{served.url}/etc/passwd", trust_env=False).status_code == 404
    before = sum(served.process.cpu_times()[:2])
    for _ in range(10):
        httpx.get(f"{served.url}/metrics", trust_env=False)
    assert sum(served.process.cpu_times()[:2]) - before < 10 * 0.1  # of a core; how long it takes is the machine's
    once = genloop(root, "metrics", "--once")
    assert once.returncode == 0 and parsed(once.stdout).keys() == parsed(answer.text).keys()


def test_elsewhere_than_in_a_workspace_it_is_a_line(tmp_path: Path) -> None:
    done = genloop(tmp_path, "metrics", "--once")
    assert done.returncode == 2 and done.stderr.startswith(f"genloop: {tmp_path}: not a workspace")


def test_gpus_are_told_where_nvidias_library_is(tmp_path: Path) -> None:
    if not shutil.which("cc"):
        pytest.skip("no C compiler here")
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-o", library, Path(__file__).with_name("nvml.c")], check=True)
    code = (
        "from prometheus_client import CollectorRegistry, generate_latest\n"
        "from flows.metrics.collector import Sources\n"
        "from flows.metrics.machine import Gpus\n"
        "registry = CollectorRegistry()\n"
        "registry.register(Sources({'gpus': Gpus()}))\n"
        "print(generate_latest(registry).decode(), end='')\n"
    )
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
    found = parsed(done.stdout)
    assert of(found, "gpu_utilization_ratio", gpu="0") == 0.75 and of(found, "gpu_power_watts", gpu="0") == 350
    assert of(found, "gpu_memory_used_bytes", gpu="1") == 250 and up(found) == {"gpus": 1}
    assert ("genloop_gpu_utilization_ratio", (("gpu", "1"),)) not in found
