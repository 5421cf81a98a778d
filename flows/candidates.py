"""Model versions that wait for a person, for the review page: read from the registry, answered by the command."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows import wiring
from pipeline.errors import ServiceError
from pipeline.review.models import Candidate
from pipeline.values import Decision

if TYPE_CHECKING:
    from pipeline.adapters.registry import Registry

DECISION, REPORT = "decision.json", "report.html"
SHOWN, PATIENCE_S = 20, 300
UNTOLD = Decision(promoted=False, gates=(), reason="")


class Candidates:
    """pipeline.review.models.Models of a workspace."""

    def __init__(self, workspace: Path, name: str) -> None:
        self._workspace, self._name = workspace, name
        self._lock = threading.Lock()
        self._opened: Registry | None = None

    def candidates(self) -> Sequence[Candidate]:
        from pipeline.adapters.approvals import TAG, approval_of

        registry = self._registry()
        numbers = sorted(registry.tagged(self._name, TAG), reverse=True)[:SHOWN]
        models = [model for number in numbers if (model := registry.version(self._name, number))]
        found = []
        for model in models:
            if said := approval_of(registry, model):
                text = registry.text(model, DECISION)
                decision = Decision.model_validate_json(text) if text else UNTOLD
                found.append(Candidate(name=self._name, version=model.version, decision=decision, approval=said))
        return sorted(found, key=lambda one: (not one.waits, -one.version))

    def report(self, version: int) -> str | None:
        registry = self._registry()
        model = registry.version(self._name, version)
        return registry.text(model, REPORT) if model else None

    def answer(self, version: int, by: str, why: str, yes: bool) -> None:
        """In a process of its own: Prefect keeps the address that it was first imported with."""
        command = [sys.executable, "-m", "flows.cli", "promote", f"--by={by}", f"--why={why}"]
        command += [str(version)] if yes else ["--reject", str(version)]
        environment = os.environ | {"GENLOOP_WORKSPACE": str(self._workspace)}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise ServiceError(f"no answer within {PATIENCE_S} s", remedy="`genloop promote` tells more") from None
        if done.returncode:
            told = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise ServiceError(told[-1].removeprefix("genloop: "), where=f"{self._name} v{version}")

    def _registry(self) -> Registry:
        with self._lock:
            if self._opened is None:
                self._opened = wiring.registry(self._workspace)
            return self._opened
