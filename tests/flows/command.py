"""`genloop`, as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NO_FILTERS = "batches.samples.filters={copies: 0, odd: 1, confidence: 0, alike: false}"  # models of a few steps


def command(workspace: Path, *arguments: str, **environment: str) -> dict[str, Any]:
    """What subprocess takes; its output is kept from the terminal."""
    return {
        "args": [sys.executable, "-m", "flows.cli", *arguments],
        "env": {**os.environ, "GENLOOP_WORKSPACE": str(workspace), "OMP_NUM_THREADS": "1", **environment},
        "cwd": ROOT,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }


def genloop(workspace: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    told = command(workspace, *arguments, **environment) | {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(**told, text=True, timeout=400)


def told(workspace: Path, *arguments: str) -> Any:
    """What a command says as JSON; it has to succeed."""
    done = genloop(workspace, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def until(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {timeout_s:g} s"
        time.sleep(0.5)
