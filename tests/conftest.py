"""What every test is held to: it leaves the environment as it found it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _environment_restored() -> Iterator[None]:
    """Libraries write to it too: `mlflow.set_tracking_uri` sets MLFLOW_TRACKING_URI, which child processes obey."""
    before = dict(os.environ)
    yield
    if dict(os.environ) != before:
        os.environ.clear()
        os.environ.update(before)
