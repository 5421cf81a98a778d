"""The whole circle on digits: batch, reviews on the real page, decision, and a next batch that is liked more."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.flows.command import command, genloop
from tests.flows.judge import Judge

SETTINGS = {
    "train.images_seen": "16000",
    "evaluate.classifier_steps": "100",
    "promote.gates": "{}",
    "promote.approval": "human",
    "batches.samples.count": "200",
    "batches.samples.filters": "{copies: 0, odd: 1, confidence: 0, alike: true}",
    "feedback.deciding": "{verdicts: 100, accepted: 0.6, drift: 1000, cool_down_hours: 0, hours: 100, money: 100}",
    "feedback.adapting.holdout": "0.2",
}
THICK = 0.7  # quantile of the ink of what is made at first


def told(workspace: Path, *arguments: str) -> Any:
    done = genloop(workspace, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With a first champion that a person agreed to, and shared services."""
    folder = tmp_path_factory.mktemp("circle") / "workspace"
    assert genloop(folder, "init", str(folder)).returncode == 0
    try:
        assert genloop(folder, "up").returncode == 0
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
            for _ in range(3):
                shares.append(float(np.mean(judge.review(batch["id"], 140))))
                step = told(workspace, "feedback", "run")
                assert step["preference"] is not None
                batch = told(workspace, "generate")
                judge.wait_for(batch["id"])
    print(shares)
    assert shares[0] < 0.45
    assert shares[-1] > shares[0] + 0.2
    arms = step["facts"]["by_arm"]
    assert arms["preferred"]["share"] > arms["control"]["share"]
