"""Approvals of model versions and what follows a promotion, as tags of them in the registry."""

from __future__ import annotations

from pipeline.adapters.registry import Registry
from pipeline.values import Approval, ModelVersion

TAG = "approval"
BEFORE, CANARY, OPEN = "before", "canary", "open"  # which was champion before it; what became of the comparison


def approval_of(registry: Registry, model: ModelVersion) -> Approval | None:
    found = registry.tags(model).get(TAG)
    return Approval.model_validate_json(found) if found else None


def note_approval(registry: Registry, model: ModelVersion, approval: Approval) -> None:
    registry.tag(model, TAG, approval.model_dump_json())


def asked_for(registry: Registry, name: str) -> list[ModelVersion]:
    """Versions that wait for a person, the newest first."""
    found = (registry.version(name, number) for number in registry.tagged(name, TAG))
    waiting = [m for m in found if m and (said := approval_of(registry, m)) and said.state == "asked"]
    return sorted(waiting, key=lambda model: -model.version)
