"""What the README says can be typed can be typed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

from flows.cli import app
from pipeline.media.image import encode_png
from tests.flows.command import NO_FILTERS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = [
    line.partition("  #")[0].strip()
    for block in re.findall(r"```\n(.*?)```", README, re.S)
    for line in block.splitlines()
]
SMALL = ["train.images_seen=64", "evaluate.classifier_steps=2", "evaluate.tstr_images=64", "batches.samples.count=20"]
SMALL += [NO_FILTERS]
SMALL += ["promote.gates={nfd: {at_most: 1000000.0}}"]


def test_every_command_and_option_is_in_the_readme() -> None:
    table = dict(re.findall(r"^\| (`genloop (?:\w+).*?) \| (.+?) \|$", README, re.M))
    for name, command in _below("", get_command(app)):
        row = next((row for row in table if f"`genloop {name}" in row), None)
        assert row, f"genloop {name} is not in the README's table"
        for parameter in command.params:
            if parameter.name == "help":
                continue
            shown = parameter.opts[0] if parameter.param_type_name == "option" else parameter.name.upper()
            assert shown in row, f"{shown} of genloop {name} is not in the README"


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Every command that can be typed, with its whole name."""
    for word, below in getattr(command, "commands", {}).items():
        yield from _below(f"{name} {word}".strip(), below)
    if not hasattr(command, "commands"):
        yield name, command


@pytest.mark.parametrize("command", [line for line in BLOCKS if line.startswith("make ")])
def test_make_has_the_targets(command: str) -> None:
    done = subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [line for line in BLOCKS if line.startswith("python -m tests.")])
def test_a_bench_takes_its_options(command: str) -> None:
    module, *words = shlex.split(command)[2:]
    words = [word.strip("[]…") for word in words]
    shown = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True).stdout
    assert all(word in shown for word in words if word.startswith("-"))


def test_ones_own_images_in_a_workspace_elsewhere(tmp_path: Path) -> None:
    (command,) = [line for line in BLOCKS if "--source path/to/images" in line]
    random = np.random.default_rng(0)
    for i in range(120):
        path = tmp_path / "path/to/images" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(random.integers(0, 256, (1, 16, 16), dtype=np.uint8)))
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}

    def typed(text: str, *more: str) -> subprocess.CompletedProcess[str]:
        words = [word.removeprefix(".venv/bin/") for word in shlex.split(text)]
        return subprocess.run(
            [*words, *more], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    assert "`genloop init FOLDER`" in README and "`GENLOOP_WORKSPACE=FOLDER`" in README
    assert typed("genloop init elsewhere").returncode == 0
    environment["GENLOOP_WORKSPACE"] = "elsewhere"
    done = typed(command, "--json", *(word for pair in SMALL for word in ("-S", pair)))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["snapshot"]["items"] == 120
    assert json.loads(done.stdout)["batches"][0]["items"] == 20
    assert typed("genloop status").returncode == 0
