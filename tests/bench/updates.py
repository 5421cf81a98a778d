"""A dataset that grows: the first collection, an update that adds 1%, one that changes nothing, and the difference.

Beside bare Pillow decoding on all cores. The images are made up here, in tar archives of 10,000.

python -m tests.bench.updates --items 1000000
python -m tests.bench.updates --items 5000 --photos
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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from flows.workspaces import make_workspace
from pipeline.parallel import each
from pipeline.params_file import override_params
from tests.bench.ingest import bare_loop
from tests.peak import PeakMemory

CLASSES = 10
LIMITS = {"update": 0.03, "unchanged": 0.03}  # share of the first collection's time


@dataclass(frozen=True)
class Archive:
    path: Path
    first: int
    items: int
    photos: bool


def make(archive: Archive) -> int:
    """Grey noise of 28 x 28 as PNG, or colour of 640 x 480 as JPEG of about 100 KB, no two of them alike."""
    random = np.random.default_rng(archive.first)
    with tarfile.open(archive.path, "w") as tar:
        for number in range(archive.first, archive.first + archive.items):
            data = _photo(random) if archive.photos else _small(random)
            member = tarfile.TarInfo(f"{number % CLASSES}/{number:08}.{'jpg' if archive.photos else 'png'}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return archive.items


def _small(random: np.random.Generator) -> bytes:
    return _encoded(Image.fromarray(random.integers(0, 4, (28, 28), dtype=np.uint8) * np.uint8(80)), "PNG")


def _photo(random: np.random.Generator) -> bytes:
    coarse = Image.fromarray(random.integers(0, 256, (120, 160, 3), dtype=np.uint8))
    return _encoded(coarse.resize((640, 480), Image.Resampling.BICUBIC), "JPEG", quality=75)


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def archives(folder: Path, first: int, items: int, photos: bool) -> list[Archive]:
    size = 500 if photos else 10_000
    starts = range(first, first + items, size)
    return [Archive(folder / f"{start:09}.tar", start, min(size, first + items - start), photos) for start in starts]


def bare_seconds(folder: Path) -> float:
    start = time.perf_counter()
    list(each(bare_loop, sorted(folder.glob("*.tar")), ("PIL.PngImagePlugin", "PIL.JpegImagePlugin")))
    return time.perf_counter() - start


def measured(workspace: Path, *arguments: str) -> tuple[float, int]:
    """Seconds of a command, and its peak memory in bytes."""
    command = [sys.executable, "-m", "flows.cli", "data", *arguments, "--json"]
    environment = {**os.environ, "GENLOOP_WORKSPACE": str(workspace)}
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    with PeakMemory(process.pid) as peak:
        _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(errors)
    return time.perf_counter() - start, peak.bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--photos", action="store_true", help="photographs of about 100 KB, in place of 28 x 28 pixels")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workspace, source = Path(temporary) / "workspace", Path(temporary) / "source"
        make_workspace(workspace)
        source.mkdir()
        override_params(workspace / "params.yaml", [f"collect.source={json.dumps(str(source))}"])
        more = max(1, chosen.items // 100)
        list(each(make, archives(source, 0, chosen.items, chosen.photos)))
        bare = bare_seconds(source)
        rows = {"first": measured(workspace, "update")}
        rows["unchanged"] = measured(workspace, "update")
        list(each(make, archives(source, chosen.items, more, chosen.photos)))
        rows["update"] = measured(workspace, "update")
        rows["diff"] = measured(workspace, "diff", "1", "2")
    table = Table("", "seconds", "peak memory", "", "limit")
    table.add_row("bare decoding, all cores", f"{bare:.1f}", "", f"{chosen.items / bare:,.0f} images/s", "")
    told = {"first": (f"{bare / rows['first'][0]:.0%} of bare decoding", "70%"), "diff": ("", "5 s")}
    told |= {n: (f"{rows[n][0] / rows['first'][0]:.1%} of the first", f"{limit:.0%}") for n, limit in LIMITS.items()}
    for name, (seconds, memory) in rows.items():
        table.add_row(name, f"{seconds:.1f}", f"{memory / 2**20:,.0f} MiB", *told[name])
    Console(width=120).print(table)
    print(f"{chosen.items:,} images, update of {more:,}; memory limit 1,536 MiB; {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
