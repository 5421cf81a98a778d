"""The registry on a database of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from pipeline.adapters.registry import SQLITE, Registry

OPENED = """
import sys
from pathlib import Path
from pipeline.adapters.registry import SQLITE, Registry
Registry(SQLITE + sys.argv[1] + "/mlflow.db", Path(sys.argv[1]) / "artifacts")
"""


def test_a_database_whose_making_was_killed_is_made_again(tmp_path: Path) -> None:
    """MLflow refuses one in which some of its tables are missing."""
    process = subprocess.Popen([sys.executable, "-c", OPENED, str(tmp_path)], cwd=Path(__file__).parents[2])
    while not (begun := [path for path in tmp_path.rglob("mlflow.db") if path.stat().st_size > 100_000]):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert begun[0].parent != tmp_path and not (tmp_path / "mlflow.db").exists()
    registry = Registry(f"{SQLITE}{tmp_path}/mlflow.db", tmp_path / "artifacts")
    assert registry.trained_on({"nothing"}) == [] and (tmp_path / "mlflow.db").exists()
