"""A workspace as runs leave it, without any having been made: what the figures for Prometheus are read from."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from flows.history import HISTORY, RunRecord
from flows.receipts import BATCHES, BatchReceipt
from flows.status import LAST
from flows.summary import ModelSummary, SnapshotSummary, Summary
from pipeline.adapters.ratings import open_ratings
from pipeline.dataset.history import Stored, add_version
from pipeline.environment import LOCAL_FEEDBACK, LOCAL_REGISTRY
from pipeline.files import write_json
from pipeline.generate.release import Cost
from pipeline.values import Validation
from tests.contract.test_ratings import BATCH, enrolled, verdict
from tests.unit.told_versions import told_version

OUTCOMES = ("promoted", "failed", "running", "kept", "failed")  # the third one was killed
REASONS = {'a "quoted"\nreason \\': 4, "too small": 2}
TICK = {"images_seen": 500, "budget": 1000, "rate_per_s": 250.0, "loss_g": 1.5, "loss_d": 0.5, "rollbacks": 1}


def build(root: Path) -> None:
    (root / "dvc.yaml").write_text("stages: {}\n")
    for number, outcome in enumerate(OUTCOMES):
        run = RunRecord.model_validate(
            {"started_at": f"2026-01-0{number + 1}T00:00:00+00:00", "source": "s", "outcome": outcome, "seconds": 60.0}
        )
        write_json(root / HISTORY / f"2026010{number + 1}T000000.000000.json", run.model_dump())
    write_json(root / LAST, _summary().model_dump())
    write_json(root / "runs/stages/validate.json", {"work_s": 2.0, "imports_s": 1.0})
    write_json(root / "runs/stages/train.json", {"error": {"kind": "GenloopError", "what": "w"}})
    validation = Validation(snapshot="s2", items=100, accepted=94, rejected=6, reasons=REASONS, classes={})
    write_json(root / "data/validation.json", validation.model_dump())
    for name in ("versions", "var"):
        (root / name).mkdir()
    for number in (1, 2):
        version = told_version(number, "2026-01-01T00:00:00+00:00", Stored(md5="m", size=1, nfiles=1))
        told = {"accepted": 94, "rejected": 6, "reasons": REASONS, "drift": {"labels": 0.25}}
        add_version(root, version.model_copy(update=told))
    ticks = [TICK | {"images_seen": 250, "nfd": 3.5}, TICK | {"nfd": None}]
    write_json(root / "runs/train/abc/history.json", ticks)
    for name, order, items, seconds in (("b1", "samples", 100, 4.0), ("b2", "samples", 50, 2.5), ("b3", "ads", 7, 0.0)):
        add_batch(root, name, order, items, seconds)
    _registry(root, version=3)
    with open_ratings(f"sqlite:///{root / LOCAL_FEEDBACK}") as ratings:
        ratings.enroll(BATCH, enrolled(40), 0.25)
        said = [verdict(place, accepted=place % 4 > 0) for place in range(24)]
        ratings.record(said, [str(place) for place in range(24)])


def add_batch(root: Path, name: str, order: str, items: int, seconds: float) -> None:
    receipt = BatchReceipt(
        id=name,
        order=order,
        at=f"2026-01-01T00:00:0{name[-1]}+00:00",
        items=items,
        seconds=seconds,
        core_seconds=2 * seconds,
        money=0.5,
        currency="EUR",
        dropped=3,
    )
    write_json(root / BATCHES / f"{name}.json", receipt.model_dump())


def _summary() -> Summary:
    return Summary(
        run="r",
        snapshot=SnapshotSummary(id="s2", items=100, rejected=6),
        model=ModelSummary(name="generator", version=3, alias="champion", scorecard={"nfd": 1.25}, floor={"nfd": 0.5}),
        batches=(),
        seconds={"start": 1.0, "train": 40.0, "total": 60.0},
        up_to_date=[],
        picture="",
        finished_at="2026-01-04T00:01:00+00:00",
        cost=Cost(seconds={"train": 80.0}, kwh=0.1, money=0.25, currency="EUR"),
    )


def _registry(root: Path, version: int) -> None:
    """MLflow's table, as much of it as is read; a real one is in tests/flows/test_loop.py."""
    with closing(sqlite3.connect(root / LOCAL_REGISTRY)) as database, database:
        database.execute("create table registered_model_aliases (alias text, version integer, name text)")
        database.execute("insert into registered_model_aliases values ('champion', ?, 'generator')", (version,))
