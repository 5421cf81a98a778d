"""A hundred people on the review page, each judging an item a second, while ten batches are made at once.

The page is `genloop review`, the batches are `genloop generate`: processes of their own on one workspace, whose model
is trained for a moment. An error is any answer but 200, or none; 429, where the page asks to wait, is told apart.

python -m tests.bench.load --clients 100 --batches 10 --seconds 60
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from flows import wiring
from pipeline.reviews import Reviewer
from tests.flows.command import NO_FILTERS, command, genloop, told
from tests.flows.test_circle import review_page

SMALL = ["train.images_seen=3200", "evaluate.classifier_steps=10", "evaluate.tstr_images=100", NO_FILTERS]
SMALL += ["promote.gates={nfd: {at_most: 1000000.0}}", "review.quorum=100000", "feedback.learning.least=100000"]
THINKS_S = 1.0


class Client:
    """One person: logs in, then looks at an item and judges it, a second each."""

    def __init__(self, url: str, name: str, token: str, batch: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=60, trust_env=False)
        self._name, self._token, self._batch = name, token, batch
        self.took: dict[str, list[float]] = {}
        self.statuses: Counter[str] = Counter()

    async def work(self, until: float) -> None:
        try:
            form = await self._http.get("/login")
            csrf = re.search(r'name="csrf" value="(\w+)"', form.text)
            assert csrf
            login = {"name": self._name, "token": self._token, "csrf": csrf[1], "next": "/"}
            await self._http.post("/login", data=login)
            key = (await self._http.get("/api/me")).json()["csrf"]
            turn = 0
            while time.monotonic() < until:
                queue = await self._asked("queue", "GET", f"/api/batches/{self._batch}/queue")
                for item in (queue.json()["items"] if queue is not None else [])[:20]:
                    if time.monotonic() >= until:
                        break
                    began, turn = time.monotonic(), turn + 1
                    await self._asked("image", "GET", item["image"])
                    act = {"key": f"{self._name}-{turn:08d}", "item": item["item"], "accepted": turn % 3 > 0}
                    await self._asked("verdict", "POST", "/api/verdicts", {"acts": [act]}, key)
                    await asyncio.sleep(max(0.0, THINKS_S - (time.monotonic() - began)))
        finally:
            await self._http.aclose()

    async def _asked(
        self, kind: str, method: str, path: str, body: object = None, csrf: str = ""
    ) -> httpx.Response | None:
        start = time.perf_counter()
        try:
            answer = await self._http.request(method, path, json=body, headers={"X-CSRF-Token": csrf} if csrf else {})
        except httpx.HTTPError as error:
            self.statuses[type(error).__name__] += 1
            return None
        self.took.setdefault(kind, []).append(1000 * (time.perf_counter() - start))
        self.statuses[str(answer.status_code)] += 1
        return answer if answer.status_code == 200 else None


async def judged(clients: list[Client], seconds: float) -> None:
    await asyncio.gather(*(client.work(time.monotonic() + seconds) for client in clients))


def prepared(workspace: Path, clients: int) -> tuple[str, dict[str, str]]:
    """A batch to judge, and tokens by name."""
    assert genloop(workspace, "init", str(workspace)).returncode == 0
    done = told(
        workspace, "run", *(word for pair in SMALL for word in ("-S", pair)), "-S", "batches.samples.count=2000"
    )
    with wiring.ratings(workspace) as ratings:
        people = [Reviewer(name=f"r{number}", role="reviewer") for number in range(clients)]
        tokens = {person.name: ratings.add_reviewer(person) for person in people}
    return str(done["batches"][0]["id"]), tokens


def started(workspace: Path, batches: int) -> list[subprocess.Popen[bytes]]:
    words = ("generate", "samples", "--count", "200", "--json")
    return [subprocess.Popen(**command(workspace, *words, "--seed", str(9000 + seed))) for seed in range(batches)]


def measure(workspace: Path, clients: int, batches: int, seconds: float) -> dict[str, object]:
    batch, tokens = prepared(workspace, clients)
    with review_page(workspace) as url:
        people = [Client(url, name, token, batch) for name, token in tokens.items()]
        made, start = started(workspace, batches), time.monotonic()
        asyncio.run(judged(people, seconds))
        codes = Counter(process.wait(1200) for process in made)
        batches_s = time.monotonic() - start
    statuses = sum((one.statuses for one in people), Counter())
    with wiring.ratings(workspace) as ratings:
        kept = ratings.position()
    said = sum(len(one.took.get("verdict", [])) for one in people)
    times = {kind: np.concatenate([one.took.get(kind, []) for one in people]) for kind in ("queue", "image", "verdict")}
    return {
        "statuses": dict(statuses),
        "verdicts answered": said,
        "verdicts kept": kept,
        "batches' exit codes": {str(code): count for code, count in codes.items()},
        "batches, s": round(batches_s, 1),
        "ms": {
            kind: {"n": len(took), **{f"p{q}": round(float(np.percentile(took, q)), 1) for q in (50, 99, 100)}}
            for kind, took in times.items()
            if len(took)
        },
    }


def show(told: dict[str, object]) -> None:
    table = Table("", "", box=None)
    for name, value in told.items():
        table.add_row(name, json.dumps(value))
    Console(width=160).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--batches", type=int, default=10, help="of 200 items, made at once")
    parser.add_argument("--seconds", type=float, default=60)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        show(measure(Path(folder) / "workspace", asked.clients, asked.batches, asked.seconds))


if __name__ == "__main__":
    main()
