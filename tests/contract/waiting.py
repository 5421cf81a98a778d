"""A workspace in whose registry a model waits for a person."""

from __future__ import annotations

import os
from pathlib import Path

from flows.workspaces import make_workspace
from pipeline.adapters.approvals import note_approval
from pipeline.adapters.registry import SQLITE, Registry
from pipeline.environment import LOCAL_REGISTRY
from pipeline.values import Approval, Decision, GateResult

NAME = "generator"
GATE = GateResult(gate="nfd against champion", value=0.81, bound=0.93, direction="at most", passed=True)
REPORT = "<!doctype html><title>v2</title><script>document.title = 'run'</script><p>nfd 0.81"


def registry_of(workspace: Path) -> Registry:
    return Registry(f"{SQLITE}{workspace / LOCAL_REGISTRY}", workspace / "var/mlartifacts")


def with_waiting(workspace: Path) -> None:
    """Version 1 is the champion; version 2 passed its gates, and version 3 did not. For fixtures of a whole module too:
    MLflow's choice of a database does not stay in the environment."""
    before = dict(os.environ)
    try:
        _make(workspace)
    finally:
        os.environ.clear()
        os.environ.update(before)


def _make(workspace: Path) -> None:
    make_workspace(workspace)
    (workspace / "var").mkdir(exist_ok=True)
    registry = registry_of(workspace)
    for number in (1, 2, 3):
        run = registry.new_run(f"run-{number}", {})
        assert registry.new_version(NAME, run, "model", {"bundle": f"{number}" * 16}) == number
    first, second, _ = (registry.version(NAME, number) for number in (1, 2, 3))
    assert first and second
    registry.promote(first)
    decision = Decision(promoted=False, gates=(GATE,), reason="all gates passed; waits for a person", awaits=True)
    registry.attach(second, decision.model_dump_json(), "decision.json")
    registry.attach(second, REPORT, "report.html")
    note_approval(registry, second, Approval(state="asked", at="2026-05-04T10:00:00+00:00"))
