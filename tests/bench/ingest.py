"""Collect, validate and preprocess against the least that could be done: read the archive, decode each image.

python -m tests.bench.ingest --source mnist.tar.xz
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError
from rich.console import Console
from rich.table import Table

from flows.workspaces import make_workspace
from pipeline.params_file import override_params
from tests.peak import PeakMemory

T = TypeVar("T")
STAGES = ("collect", "validate", "preprocess")


def bare_loop(source: Path) -> int:
    """Images decoded from a tar by one process; nothing else is done with them."""
    decoded = 0
    with tarfile.open(source) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file:
                with suppress(UnidentifiedImageError):
                    Image.open(io.BytesIO(file.read())).load()
                    decoded += 1
    return decoded


def _seconds(command: list[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def _peak_bytes(command: list[str], folder: Path) -> int:
    """Looking costs time, so that it is never done in a run that is timed."""
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    with PeakMemory(process.pid) as peak:
        if process.wait():
            raise SystemExit(f"{' '.join(command)} failed")
    return peak.bytes


def _ingest(source: Path, measure: Callable[[list[str], Path], T]) -> list[T]:
    """Each stage as the loop runs it: a process of its own, in a fresh workspace."""
    with tempfile.TemporaryDirectory() as temporary:
        workspace = Path(temporary)
        make_workspace(workspace)
        override_params(workspace / "params.yaml", [f"collect.source={json.dumps(str(source))}"])
        return [measure([sys.executable, "-m", "pipeline", stage], workspace) for stage in STAGES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="a tar archive of images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    source = chosen.source.absolute()
    if chosen.bare:
        bare_loop(source)
        return
    table = Table("round", "bare loop", *STAGES, "together", "ratio")
    for number in range(chosen.rounds):
        bare = _seconds([sys.executable, "-m", "tests.bench.ingest", "--bare", "--source", str(source)], Path.cwd())
        seconds = _ingest(source, _seconds)
        cells = [f"{value:.2f} s" for value in (bare, *seconds, sum(seconds))]
        table.add_row(str(number + 1), *cells, f"{sum(seconds) / bare:.2f}")
    peaks = [f"{memory / 2**20:.0f} MiB" for memory in _ingest(source, _peak_bytes)]
    table.add_row("peak memory", "", *peaks, "", "")
    Console(width=120).print(table)
    print(f"{os.cpu_count()} cores")


if __name__ == "__main__":
    main()
