"""Of what Prefect has to do in the workspace: how many runs are late, begin, are at work, or wait for a person."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from prometheus_client.core import Metric

from flows.metrics.families import gauges
from flows.names import name_of
from flows.prefect_api import login

STATES = {
    "late": {"name": {"any_": ["Late"]}},  # due, and no worker has taken it
    "pending": {"type": {"any_": ["PENDING"]}},
    "running": {"type": {"any_": ["RUNNING"]}},
    "paused": {"type": {"any_": ["PAUSED"]}},
}
KEPT_S = 15.0
TIMEOUT_S = 2.0


class Queue:
    """Nothing where the environment names no Prefect."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._asked, self._known = -KEPT_S, dict[str, float]()

    def __call__(self) -> Iterator[Metric]:
        url = os.environ.get("PREFECT_API_URL")
        if not url:
            return
        if time.monotonic() - self._asked >= KEPT_S:
            self._asked, self._known = time.monotonic(), {}
            self._known = _counts(url.rstrip("/"), name_of(self._workspace))
        if not self._known:
            raise ConnectionError("Prefect did not answer")
        told = "Runs of the workspace's deployments that Prefect knows, by what they wait for."
        yield from gauges("queue_runs", told, ("state",), self._known)


def _counts(url: str, deployment: str) -> dict[str, float]:
    ours = {"name": {"any_": [deployment]}}
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False, auth=login()) as client:
        answers = {
            state: client.post(f"{url}/flow_runs/count", json={"deployments": ours, "flow_runs": {"state": found}})
            for state, found in STATES.items()
        }
        return {state: float(answer.raise_for_status().json()) for state, answer in answers.items()}
