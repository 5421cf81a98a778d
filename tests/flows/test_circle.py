"""The whole circle on digits: batch, reviews on the real page, decision, and a next batch that is liked more."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.params_file import override_params
from tests.flows.command import command, genloop, told, until
from tests.flows.judge import Judge

SETTINGS = {
    "train.images_seen": "16000",
    "evaluate.classifier_steps": "100",
    "promote.gates": "{}",
    "promote.slack": "{}",  # a model that is steered is farther from the data as a whole
    "promote.approval": "human",
    "batches.samples.count": "200",
    "batches.samples.filters": "{copies: 0, odd: 1, confidence: 0, alike: true}",
    "feedback.deciding": "{verdicts: 100, accepted: 0.0, drift: 1000, cool_down_hours: 0, hours: 100, money: 100}",
    "feedback.adapting.holdout": "0.2",
}
THICK = 0.7  # quantile of the ink of what is made at first


pytestmark = [pytest.mark.xdist_group("ports"), pytest.mark.timeout(1200), pytest.mark.slow]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With a first champion that a person agreed to, and shared services."""
    folder = tmp_path_factory.mktemp("circle") / "workspace"
    assert genloop(folder, "init", str(folder)).returncode == 0
    try:
        assert genloop(folder, "up", "--no-schedules").returncode == 0
        settings = [part for name, value in SETTINGS.items() for part in ("-S", f"{name}={value}")]
        first = told(folder, "run", *settings)
        assert first["model"]["awaits"] and not first["batches"]
        assert told(folder, "promote", "1", "--by", "ann")["alias"] == "champion"
        yield folder
    finally:
        genloop(folder, "down")


@contextmanager
def review_page(workspace: Path) -> Iterator[str]:
    """The address of `genloop review`, as a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", workspace / "review.log"
    with log.open("w") as file:
        process = subprocess.Popen(**{**command(workspace, "review", "--port", str(port)), "stderr": file})
    try:
        deadline = time.monotonic() + 120
        while not answers(url):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def ink(image: NDArray[np.uint8]) -> float:
    return float(image.mean())


def test_reviews_make_the_next_batch_better(workspace: Path) -> None:
    batch = told(workspace, "generate")
    shares, inks = [], []
    with review_page(workspace) as url:
        with Judge(url, lambda image: inks.append(ink(image)) is None) as judge:
            judge.look(batch["id"], 60)
        least = float(np.quantile(inks, THICK))
        with Judge(url, lambda image: ink(image) > least) as judge:
            for _ in range(2):
                shares.append(float(np.mean(judge.review(batch["id"], 140))))
                step = told(workspace, "feedback", "run")
                assert step["preference"] is not None
                batch = told(workspace, "generate")
                judge.wait_for(batch["id"])
    print(shares)
    assert shares[0] < 0.45
    assert shares[-1] > shares[0] + 0.2
    assert step["uplift"]["difference"] > 0
    arms = step["facts"]["by_arm"]
    assert arms["preferred"]["share"] > arms["control"]["share"]


def test_a_retraining_is_asked_for_waits_for_a_person_and_goes_on(workspace: Path) -> None:
    """Reviews, a decision, Prefect's event and automation, a training that hears them, gates, approval, promotion."""
    override_params(
        workspace / "params.yaml",
        [
            "feedback.deciding.accepted=0.99",
            "train.start=champion",
            "train.feedback={negatives: 0.05, steer: 1.0}",
            "train.images_seen=8000",
        ],
    )
    services = {one["name"]: one["url"] for one in told(workspace, "up", "--no-schedules")}
    with httpx.Client(base_url=f"{services['prefect']}/api", timeout=30, trust_env=False) as prefect:
        step = told(workspace, "feedback", "run")
        assert step["step"]["action"] == "retrain", step["step"]
        until(lambda: states(prefect) == ["PAUSED"], "the retraining to wait for a person", 400)
        until(lambda: 'genloop_queue_runs{state="paused"} 1.0' in figures(services), "paused run in the figures", 60)
        say_yes(services["review"], 2)
        until(lambda: states(prefect) == ["COMPLETED"], "the retraining to go on", 400)
    assert told(workspace, "status")["model"]["version"] == 2
    lessons = json.loads((workspace / "data/lessons/lessons.json").read_text())
    assert lessons["preference"] and lessons["champion_sha256"]
    decisions = told(workspace, "feedback", "log")
    assert decisions[0]["decision"]["action"] == "retrain"
    lines = figures(services)
    assert {"genloop_champion_version 2.0", 'genloop_queue_runs{state="late"} 0.0'} <= {*lines}
    assert not [line for line in lines if line.startswith("genloop_collector_up") and not line.endswith(" 1.0")]


def figures(services: dict[str, str]) -> list[str]:
    """As Prometheus reads them."""
    return httpx.get(f"{services['metrics']}/metrics", trust_env=False).text.splitlines()


def deployments(prefect: httpx.Client) -> list[str]:
    found = prefect.post("/deployments/filter", json={}).raise_for_status().json()
    return [one["id"] for one in found if one["entrypoint"].endswith("retrain")]


def states(prefect: httpx.Client) -> list[str]:
    """Of the retrainings."""
    asked = {"deployments": {"id": {"any_": deployments(prefect)}}}
    return [run["state_type"] for run in prefect.post("/flow_runs/filter", json=asked).raise_for_status().json()]


def say_yes(page: str, version: int) -> None:
    """As an expert does on the page."""
    with httpx.Client(base_url=page, timeout=120, trust_env=False) as expert:
        assert f"Promote v{version}" in expert.get("/models").text
        csrf = expert.get("/api/me").json()["csrf"]
        answer = expert.post(f"/models/{version}", data={"say": "promote", "csrf": csrf})
        assert answer.status_code == 303, answer.text
