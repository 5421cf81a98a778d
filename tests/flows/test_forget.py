"""`genloop data forget`: gone from every version, cache, remote, shard and picture, and it does not come back."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from pipeline.adapters.objects import places
from pipeline.adapters.registry import Registry
from pipeline.adapters.store import FolderStore
from pipeline.dataset.history import versions
from pipeline.files import sha256_file
from pipeline.media.image import encode_png
from tests.flows.command import NO_FILTERS, command, genloop
from tests.flows.test_data import refused, told
from tests.unit.test_collect import folder

PARAMS = [
    "validate.min_items=10",
    "validate.min_class_items=2",
    "validate.max_rejected_share=0.5",
    "preprocess.size=16",
    "train.images_seen=640",
    "evaluate.classifier_steps=5",
    "evaluate.tstr_images=64",
    "promote.gates={nfd: {at_most: 1.0e+9}}",
    "batches.samples.count=20",
    NO_FILTERS,
]


def pixels(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (1, 16, 16), dtype=np.uint8)


def picture(seed: int) -> bytes:
    return encode_png(pixels(seed))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def set_params(root: Path, *pairs: str) -> None:
    code = "import sys; from pathlib import Path; from pipeline.params_file import override_params as o;"
    code += "o(Path(sys.argv[1]), sys.argv[2:])"
    subprocess.run([sys.executable, "-c", code, str(root / "params.yaml"), *pairs], check=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workspace of two versions, the first of them without the owls, and a remote that has both."""
    whole = tmp_path_factory.mktemp("made")
    root = whole / "w"
    assert genloop(root, "init", str(root)).returncode == 0
    images = {f"{label}/{i}.png": picture(i + 1000 * (label == "b")) for label in "ab" for i in range(60)}
    folder(root / "shop", images)
    set_params(root, "collect.sources=[{name: shop, uri: shop}]", *PARAMS)
    dvc = str(Path(sys.executable).parent / "dvc")
    subprocess.run([dvc, "remote", "add", "-d", "far", str(whole / "remote")], cwd=root, check=True)
    told(root, "update")
    folder(root / "owls", {f"{i}.png": picture(2000 + i) for i in range(4)})
    set_params(root, "collect.sources=[{name: shop, uri: shop}, {name: owls, uri: owls, label: b}]")
    told(root, "update")
    told(root, "push")
    return whole


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Path:
    return copied(made, tmp_path / "all")


def copied(whole: Path, to: Path) -> Path:
    """The workspace of a copy of the folder, which has a remote of its own."""
    shutil.copytree(whole, to, symlinks=True)
    config = to / "w/.dvc/config"
    told = config.read_text()
    assert told.count(str(whole / "remote")) == 1
    config.write_text(told.replace(str(whole / "remote"), str(to / "remote")))
    return to / "w"


def stands(root: Path, *needles: bytes) -> list[str]:
    """Files below a folder that have some of these bytes in them."""
    return [str(path) for path in root.rglob("*") if path.is_file() and any(n in path.read_bytes() for n in needles)]


def test_what_is_forgotten_is_nowhere_and_stays_away(workspace: Path) -> None:
    gone, other = picture(7), picture(8)
    remote = workspace.parent / "remote"
    assert stands(workspace / "data", gone) and stands(workspace / ".dvc/cache", gone) and stands(remote, gone)
    before = versions(workspace)
    planned = told(workspace, "forget", sha256(gone), "--dry-run")
    assert planned["versions"] == [1, 2] and planned["objects"]["far"]
    assert versions(workspace) == before and not (workspace / "tombstones.csv").exists()

    proof = told(workspace, "forget", sha256(gone)[:12], "--why", "a letter of today")
    assert [entry["items"] for entry in proof["versions"]] == [1, 1] and proof["why"] == "a letter of today"
    assert all(entry["holding"] == 0 for entry in proof["checked"]) and proof["validation"] == ""
    assert json.loads((workspace / f"proofs/{proof['id']}.json").read_text())["marks"] == proof["marks"]
    for place in (workspace / "data", workspace / "runs", workspace / ".dvc", workspace / "versions", remote):
        assert not stands(place, gone, sha256(gone).encode())
        assert place.name in ("runs", "versions") or stands(place, other), f"{place} lost an item that was to stay"
    assert not stands(workspace / "var", gone) and not stands(workspace, sha256(gone).encode())

    assert not told(workspace, "update")["changed"]
    folder(workspace / "shop", {"b/again.png": gone, "b/new.png": picture(5000)})
    after = told(workspace, "update")
    assert (after["added"], after["items"], after["forgotten"]) == (1, 124, 0)
    assert json.loads((workspace / "data/snapshot/snapshot.json").read_text())["forgotten"] == 2
    assert told(workspace, "restore", "1")["items"] == 119
    refused(workspace, 1, "no such item", "show", sha256(gone))

    shutil.rmtree(workspace / ".dvc/cache")  # what is left in the remote is whole
    (found,) = [item for item in told(workspace, "diff", "1", "2")["added"] if item["path"] == "0.png"]
    assert found["source"] == "owls"


def test_a_source_a_list_and_what_is_not_there(workspace: Path) -> None:
    refused(workspace, 2, "no such item", "forget", "abcdef012345")
    refused(workspace, 2, "no version has an item of that source", "forget", "--source", "nobody")
    refused(workspace, 2, "nothing to forget", "forget")
    (workspace / "list.csv").write_text(f"sha256\n{sha256(picture(1))}\nnonsense\n")
    refused(workspace, 2, "is no hash", "forget", "--list", str(workspace / "list.csv"))
    assert not (workspace / "tombstones.csv").exists()

    proof = told(workspace, "forget", "--source", "owls")
    assert proof["items"] == 4 and [entry["number"] for entry in proof["versions"]] == [2]
    (workspace / "list.csv").write_text(f"sha256\n{sha256(picture(1))}\n{'0' * 64}\n")
    proof = told(workspace, "forget", "--list", str(workspace / "list.csv"))
    assert proof["items"] == 2 and [entry["items"] for entry in proof["versions"]] == [1, 1]
    log = told(workspace, "log")
    assert [(entry["items"], entry["forgotten"]) for entry in log] == [(119, 1), (119, 5)]
    assert log[0]["id"] == log[1]["id"] and len(log[1]["was"]) == 2

    (workspace / "var/tombstones.key").unlink()
    folder(workspace / "shop", {"b/new.png": picture(5000)})
    refused(workspace, 2, "GENLOOP_TOMBSTONE_KEY", "update")


def own_images_are_rejected(workspace: Path, batch: str) -> None:
    """Those of a batch that a source brings back; a person can take them in all the same."""
    (part,) = (workspace / f"var/s3/genloop/batches/{batch}/data").iterdir()
    own = pq.read_table(part, columns=["image"])["image"][0].as_py()["bytes"]
    folder(workspace / "shop", {"a/own.png": own})
    assert told(workspace, "update")["reasons"] == {"made by this system": 1}
    (rejected,) = told(workspace, "quarantine")
    assert rejected["reason"] == f"made by this system: in batch {batch}"
    assert batch in told(workspace, "show", sha256(picture(7)))["near"]
    assert told(workspace, "quarantine", "--accept", sha256(own))["rejected"] == 0


def test_models_and_batches_of_it_are_told(workspace: Path) -> None:
    done = genloop(workspace, "run", "--json")
    assert done.returncode == 0, done.stderr
    batch = json.loads(done.stdout)["batches"][0]["id"]
    own_images_are_rejected(workspace, batch)
    registry = Registry(f"sqlite:///{workspace}/var/mlflow.db", workspace / "var/mlartifacts")
    assert stands(workspace / "data/shards", pixels(7).tobytes())
    (model,) = registry.trained_on({versions(workspace)[1].id})
    assert {"pictures", "report.html", "run.html"} <= set(registry.files(model))
    assert (workspace / "data/shards").exists() and list((workspace / "runs/reports").rglob("report.html"))

    proof = told(workspace, "forget", sha256(picture(7)))
    assert proof["models"] == ["generator v1"] and [uri.rpartition("/")[2] for uri in proof["batches"]] == [batch]
    assert json.loads(registry.tags(model)[f"forgotten-{proof['id']}"])["proof"] == proof["id"]
    assert not {"pictures", "report.html", "run.html"} & set(registry.files(model))
    assert "scorecard.json" in registry.files(model)
    store = FolderStore(workspace / "var/s3/genloop")
    notice = store.get(f"batches/{batch}/notices/{proof['id']}.json")
    assert notice and json.loads(notice)["items"] == 1
    event = json.loads((workspace / f"runs/events/{proof['id']}.json").read_text())
    assert event["event"] == "genloop.retrain.asked" and event["models"] == ["generator v1"]
    for path in ("data/shards", "data/pictures", "runs/reports", "runs/train", "runs/evaluators"):
        assert not (workspace / path).exists(), path
    assert not stands(workspace, pixels(7).tobytes())

    delivered = genloop(workspace, "generate", "--count", "5", "--json")  # the champion still works
    assert delivered.returncode == 0, delivered.stderr


def state(root: Path) -> dict[str, Any]:
    """What an erasure ends in."""
    parts = {path.name: sha256_file(path) for path in (root / "data/snapshot/parts").iterdir()}
    known = [version.model_dump(exclude={"at"}) for version in versions(root)]
    marks = sorted(line.split(",")[1] for line in (root / "tombstones.csv").read_text().splitlines()[1:])
    return {"parts": parts, "versions": known, "marks": marks} | {
        place.name: place.all() for place in places(root) if place.name != "cache"
    }


MOMENTS = [  # of an erasure, from its begin to its end
    (1, "os.rename", "tombstones.csv"),
    (1, "os.rename", "w/versions/"),
    (2, "os.rename", "w/.dvc/cache/files"),
    (1, "os.rename", "w/data/.snapshot.old"),
    (1, "open", "rwlock"),
    (1, "open", "dvc.lock"),
    (1, "open", "remote/files"),
    (2, "os.remove", "remote/files"),
    (2, "os.remove", "remote/files"),
    (2, "os.remove", "w/.dvc/cache/files"),
    (1, "subprocess.Popen", "-m pipeline validate"),
    (5, "open", "rwlock"),
    (1, "open", "dvc.lock"),
]


@pytest.mark.slow
def test_killed_at_any_moment_the_next_one_ends_it(workspace: Path) -> None:
    gone = [sha256(picture(seed)) for seed in (3, 1004, 2001)]
    (workspace / "var").mkdir(exist_ok=True)
    (workspace / "var/tombstones.key").write_text("one key for both\n")
    other = copied(workspace.parent, workspace.parent.parent / "undisturbed")
    told(other, "forget", *gone)
    for nth, event, words in MOMENTS:
        asked = command(workspace, "data", "forget", *gone, "--json")
        asked["args"][1:3] = ["-m", "tests.flows.dying", str(nth), event, words]
        done = subprocess.run(**asked | {"stderr": subprocess.PIPE}, stdin=subprocess.DEVNULL, text=True)
        assert done.returncode == -signal.SIGKILL, (nth, event, words, done.stderr)
    told(workspace, "forget", *gone)
    assert state(workspace) == state(other)
    assert not stands(workspace / ".dvc", *map(picture, (3, 1004, 2001)))
