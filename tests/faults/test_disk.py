"""A disk that is full: one clear line and exit code 6, nothing half written, and it goes on once there is space."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.media.image import encode_png

ROOT = Path(__file__).parents[2]
STAGES = [("collect", 16), ("validate", 16), ("preprocess", 16), ("preprocess", 64), ("train", 16), ("evaluate", 16)]
OUTPUTS = {
    "collect": ["data/snapshot"],
    "validate": ["data/accepted.parquet"],
    "preprocess": ["data/shards"],
    "train": ["data/bundle", "data/curves.csv", "data/progress.png"],
    "evaluate": ["data/scorecard.json", "data/pictures"],
}


def stage(workspace: Path, name: str, largest_file: int = 0) -> subprocess.CompletedProcess[str]:
    """Run one stage, in files of at most `largest_file` bytes if that is set."""
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.run(
        [sys.executable, "-m", "pipeline", name],
        cwd=workspace,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=limit if largest_file else None,
    )


def prepare(workspace: Path, source: Path) -> None:
    from pipeline.params_file import override_params

    random = np.random.default_rng(0)
    for i in range(120):
        path = source / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(random.integers(0, 256, (1, 32, 32), dtype=np.uint8)))
    shutil.copy(ROOT / "params.yaml", workspace)
    override_params(
        workspace / "params.yaml",
        [
            f"collect.source={source}",
            "train.images_seen=64",
            "train.width=8",
            "evaluate.classifier_steps=2",
            "evaluate.tstr_images=64",
        ],
    )


def litter(workspace: Path) -> list[Path]:
    """What `replacing` and `replacing_folder` leave where they fail."""
    return [path for path in workspace.rglob(".*") if path.name.startswith(".") and "-" in path.name]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, with a workspace's params in it."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(mounted)]
    if sys.platform != "linux" or os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        prepare(mounted, tmp_path / "source")
        yield mounted
    finally:
        subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def fill(disk: Path, leave: int) -> Path:
    filler = disk / "filler"
    free = shutil.disk_usage(disk).free
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - leave)
    return filler


@pytest.mark.slow
def test_every_stage_tells_of_a_full_disk_and_goes_on_with_space(disk: Path) -> None:
    for name, leave_kib in STAGES:
        filler = fill(disk, leave_kib * 1024)
        done = stage(disk, name)
        told = [line for line in done.stderr.splitlines() if line.startswith(f"{name}: ")]
        assert done.returncode == 6, (name, done.stderr)
        assert "Traceback" not in done.stderr and len(told) == 1, done.stderr
        assert "No space left" in told[0] and "free some space" in told[0]
        assert not any((disk / output).exists() for output in OUTPUTS[name]), name
        assert litter(disk) == []
        filler.unlink()
        if (name, leave_kib) == ("preprocess", 16):
            continue  # once more with other space: for the arrays' ends and not for what is between
        done = stage(disk, name)
        assert done.returncode == 0, (name, done.stderr)
        assert all((disk / output).exists() for output in OUTPUTS[name]), name


def test_files_that_may_not_grow_are_a_full_disk(tmp_path: Path) -> None:
    """Where no small disk can be mounted: the limit of a file's size raises in the same places."""
    prepare(tmp_path, tmp_path / "source")
    for name in ("collect", "validate", "preprocess"):
        if name != "validate":
            done = stage(tmp_path, name, largest_file=64 * 1024)
            assert done.returncode == 6, (name, done.stderr)
            assert "File too large" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
            assert not any((tmp_path / output).exists() for output in OUTPUTS[name])
            assert litter(tmp_path) == []
        assert stage(tmp_path, name).returncode == 0
