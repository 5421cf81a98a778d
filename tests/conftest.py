"""What every test is held to: it leaves the environment as it found it. And who of several processes does which."""

from __future__ import annotations

import os
from collections.abc import Iterator

import dvc  # noqa: F401 - its log goes to the stderr of its first import, which is closed later where that is a test's own
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a core each


@pytest.fixture(autouse=True)
def _environment_restored() -> Iterator[None]:
    """Libraries write to it too: `mlflow.set_tracking_uri` sets MLFLOW_TRACKING_URI, which child processes obey."""
    before = dict(os.environ)
    yield
    if dict(os.environ) != before:
        os.environ.clear()
        os.environ.update(before)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of a file stay together, for what they share is made once, unless they name a group of their own."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
