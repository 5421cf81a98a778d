"""One installation that the tests of this folder share: it takes two minutes to make."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.infra.installation import Installation, emulated
from tests.infra.people import logins, people

__all__ = ["emulator", "logins", "people", "place"]

# moto can't tell who is told of a budget, which Terraform asks it for: budgets are planned only.
APPLIED = {
    "money_a_month": 0,
    "protect": False,
    "events": True,
    "emails": ["platform@example.com"],
    "sources": [{"bucket": "photos", "prefix": "products/"}],
    "object_tags": {"team": "media"},
}


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Nothing is made yet."""
    with emulated(tmp_path_factory.mktemp("installation") / "terraform", **APPLIED) as place:
        yield place


@pytest.fixture
def place(emulator: Installation) -> Installation:
    """All is made, also after a test that destroyed it."""
    emulator.apply()
    return emulator
