"""Model versions that wait for a person's word, and the word that is given on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pipeline.values import Approval, Decision, Value


class Candidate(Value):
    """A version that passed its gates. approval: whether somebody was asked, or what they said."""

    name: str
    version: int
    decision: Decision
    approval: Approval

    @property
    def waits(self) -> bool:
        return self.approval.state == "asked"


class Models(Protocol):
    """Each raises GenloopError where that can't be done."""

    def candidates(self) -> Sequence[Candidate]:
        """Those that wait first, then those that were answered, the newest first."""

    def report(self, version: int) -> str | None:
        """The page of a version, as one file of HTML that needs nothing else."""

    def answer(self, version: int, by: str, why: str, yes: bool) -> None:
        """Have it promoted, or rejected; whoever waits for that goes on."""
