"""A loop that was run, for faults to befall it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.loops import make
from tests.flows.command import genloop


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by all faults: each leaves it well, or has failed."""
    workspace = make(tmp_path_factory.mktemp("house") / "w")
    done = genloop(workspace, "run")
    assert done.returncode == 0, done.stderr
    return workspace
