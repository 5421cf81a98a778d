"""The whole loop with its parts on a Ray cluster, and what comes of it beside what comes of it here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.params_file import override_params
from tests.flows.command import NO_FILTERS, genloop
from tests.flows.test_standing import SMALL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def looped(folder: Path, **environment: str) -> dict[str, Any]:
    assert genloop(folder, "init", str(folder)).returncode == 0
    override_params(folder / "params.yaml", [*SMALL, NO_FILTERS, "train.images_seen=3200", "preprocess.size=16"])
    done = genloop(folder, "run", "--json", **environment)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return dict(json.loads(done.stdout))


def test_the_loop_on_ray_makes_what_it_makes_here(tmp_path: Path) -> None:
    there = looped(tmp_path / "there", GENLOOP_ENGINE="ray")
    here = looped(tmp_path / "here")
    assert there["snapshot"] == here["snapshot"]
    shards = [json.loads((tmp_path / name / "data/shards/shards.json").read_text())["id"] for name in ("there", "here")]
    assert shards[0] == shards[1]
    scores = [run["model"]["scorecard"]["nfd"] for run in (there, here)]
    assert scores[0] == pytest.approx(scores[1], rel=0.2), "trained by what a measurement found fastest on either"
    assert [run["batches"][0]["items"] for run in (there, here)] == [20, 20]
