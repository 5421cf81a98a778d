"""The feedback's database: verdicts a second of ten clients, and what its questions take with many items in review.

Each verdict is a call of its own, answered when it is durable. PostgreSQL is the one that the tests start.

python -m tests.bench.ratings --items 1000000
python -m tests.bench.ratings --items 20000 --verdicts 500 --database sqlite
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.adapters.ratings import Ratings, open_ratings
from pipeline.reviews import Enrolled, Verdict
from tests.contract.databases import new_database, postgres_server

CLIENTS, BATCHES, CLASSES = 10, 4, 100
PAGES = 30  # questions of a kind
LIMITS = {"verdicts a second": 1000.0, "queue, ms": 50.0}


def batch_of(number: int) -> str:
    return f"{number:016x}"


def made(batch: int, count: int) -> Iterator[Enrolled]:
    for place in range(count):
        spread = (place * 7919 % count) / count
        yield Enrolled.model_construct(
            item=f"{batch_of(batch)}-{place:08d}",
            batch=batch_of(batch),
            order="bench",
            place=place,
            label=f"class {place % CLASSES}",
            segment="",
            model="generator",
            version=1 + batch,
            preference="p",
            arm="preferred",
            chance=spread,
            doubt=1 - spread / 2,
            odds=0.2,
        )


def rate(ratings: Ratings, verdicts: int) -> float:
    """Verdicts a second, one a call, of ten clients at once that each judge other items."""

    def client(number: int) -> None:
        for turn in range(verdicts):
            item = f"{batch_of(0)}-{number * verdicts + turn:08d}"
            said = Verdict(item=item, reviewer=f"client-{number}", at=datetime.now(UTC), accepted=turn % 3 > 0)
            ratings.record([said], [f"{number} {turn}"])

    start = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(client, range(CLIENTS)))
    return CLIENTS * verdicts / (time.perf_counter() - start)


def latencies_ms(ask: Callable[[int], object]) -> list[float]:
    took = []
    for number in range(PAGES):
        start = time.perf_counter()
        ask(number)
        took.append((time.perf_counter() - start) * 1000)
    return sorted(took)


def measure(url: str, items: int, verdicts: int) -> dict[str, float]:
    with open_ratings(url) as ratings:
        start = time.perf_counter()
        for batch in range(BATCHES):
            ratings.enroll(batch_of(batch), made(batch, items // BATCHES), 0.25)
        told = {"enrolled items a second": items / (time.perf_counter() - start)}
        told["verdicts a second"] = rate(ratings, verdicts)
        worst = {
            "queue, ms": latencies_ms(lambda n: ratings.queue(batch_of(0), f"client-{n % CLIENTS}", limit=20)),
            "queue of two opinions, ms": latencies_ms(
                lambda n: ratings.queue(batch_of(0), f"client-{n % CLIENTS}", opinions=2, limit=20)
            ),
            "queue of a class, ms": latencies_ms(
                lambda n: ratings.queue(batch_of(0), "eve", limit=20, label=f"class {n}")
            ),
            "batches, ms": latencies_ms(lambda n: ratings.batches()),
            "tallies, ms": latencies_ms(lambda n: ratings.tallies("label", "version")),
        }
        for name, took in worst.items():
            told[name], told[f"{name} (slowest)"] = statistics.median(took), took[-1]
        start = time.perf_counter()
        told["verdicts read a second"] = sum(1 for _ in ratings.judged()) / (time.perf_counter() - start)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--items", type=int, default=1_000_000, help="in review")
    parser.add_argument("--verdicts", type=int, default=1000, help="of each of ten clients")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    asked = parser.parse_args()
    told: dict[str, dict[str, float]] = {}
    if asked.database != "postgresql":
        with tempfile.TemporaryDirectory() as folder:
            told["SQLite"] = measure(f"sqlite:///{Path(folder)}/feedback.db", asked.items, asked.verdicts)
    if asked.database != "sqlite":
        with postgres_server() as server:
            told["PostgreSQL"] = measure(new_database(server), asked.items, asked.verdicts)
    table = Table("", *told, title=f"{asked.items:,} items in {BATCHES} batches, {CLIENTS} clients")
    for name in next(iter(told.values())):
        table.add_row(name, *(f"{of[name]:,.1f}" for of in told.values()))
    Console().print(table)
    for database, figures in told.items():
        slow = figures["verdicts a second"] < LIMITS["verdicts a second"] or figures["queue, ms"] > LIMITS["queue, ms"]
        if slow:
            raise SystemExit(f"{database} is not as fast as it should be")


if __name__ == "__main__":
    main()
