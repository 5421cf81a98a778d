"""Promote: a pure decision whether the challenger becomes champion."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.evaluate.directions import DIRECTIONS
from pipeline.settings import Promote
from pipeline.values import Approval, Decision, GateResult, Scorecard


def with_approval(decision: Decision, approval: Approval | None, version: int) -> Decision:
    """What becomes of a promotion that a person has to agree to. approval: what was said, if anything was."""
    if not decision.promoted:
        return decision
    if approval is None or approval.state == "asked":
        told = f"{decision.reason}; waits for a person: `genloop promote {version} --by NAME`"
        return decision.model_copy(update={"promoted": False, "awaits": True, "reason": told})
    promoted = approval.state == "approved"
    return decision.model_copy(update={"promoted": promoted, "reason": f"{decision.reason}; {approval}"})


def decide(settings: Promote, challenger: Scorecard, champion: Scorecard | None) -> Decision:
    """Judge the challenger by the absolute gates, and against the champion scored on the same holdout.

    Raises ValueError where the two cards stand in different spaces: their numbers can't be compared.
    """
    if champion and not champion.comparable(challenger):
        raise ValueError(f"scored in {champion.space} and in {challenger.space}: not to be compared")
    gates = (*_absolute(settings, challenger), *(_relative(settings, challenger, champion) if champion else ()))
    failed = [gate for gate in gates if not gate.passed]
    if failed:
        return Decision(promoted=False, gates=gates, reason="; ".join(map(_tell, failed)))
    return Decision(
        promoted=True,
        gates=gates,
        reason="all gates passed" if champion else "all gates passed, no champion to compare with",
    )


def _absolute(settings: Promote, card: Scorecard) -> Iterator[GateResult]:
    for metric, gate in settings.gates.items():
        for bound, direction in ((gate.at_most, "at most"), (gate.at_least, "at least")):
            if bound is not None and metric in card.metrics:
                yield _judge(metric, card.metrics[metric], bound, direction)


def _relative(settings: Promote, challenger: Scorecard, champion: Scorecard) -> Iterator[GateResult]:
    for metric, slack in settings.slack.items():
        if metric in champion.metrics and metric in challenger.metrics:
            old, low = champion.metrics[metric], DIRECTIONS[metric] == "low"
            bound = old + abs(old) * slack * (1 if low else -1)
            direction = "at most" if low else "at least"
            yield _judge(metric, challenger.metrics[metric], bound, direction, f"{metric} against champion")


def _judge(metric: str, value: float, bound: float, direction: str, name: str = "") -> GateResult:
    passed = value <= bound if direction == "at most" else value >= bound
    return GateResult(gate=name or metric, value=value, bound=bound, direction=direction, passed=passed)


def _tell(gate: GateResult) -> str:
    missed = abs(gate.value - gate.bound)
    return f"{gate.gate} is {gate.value:.4g}, must be {gate.direction} {gate.bound:.4g} (missed by {missed:.3g})"
