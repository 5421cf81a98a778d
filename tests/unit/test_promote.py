"""A person's word on a model that passed its gates."""

from __future__ import annotations

import pytest

from pipeline.promote import with_approval
from pipeline.values import Approval, Decision

PASSED = Decision(promoted=True, gates=(), reason="all gates passed")
FAILED = Decision(promoted=False, gates=(), reason="nfd is 40")


@pytest.mark.parametrize("said", [None, Approval(state="asked", at="2026-01-01")])
def test_who_passed_waits_and_is_told_how_to_go_on(said: Approval | None) -> None:
    found = with_approval(PASSED, said, 7)
    assert (found.promoted, found.awaits) == (False, True)
    assert "genloop promote 7" in found.reason


@pytest.mark.parametrize("state", ["approved", "rejected"])
def test_what_a_person_said_is_done_and_told(state: str) -> None:
    given = Approval.model_validate({"state": state, "by": "ann", "at": "2026-01-01", "why": "too dark"})
    found = with_approval(PASSED, given, 7)
    assert (found.promoted, found.awaits) == (state == "approved", False)
    assert "by ann" in found.reason and "too dark" in found.reason


def test_nobody_is_asked_of_who_failed() -> None:
    assert with_approval(FAILED, Approval(state="approved", by="ann"), 7) == FAILED
