"""A data team's day by `genloop data`, on a real DVC repository."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.media.image import encode_png
from tests.flows.command import genloop
from tests.unit.test_collect import folder

EASY = ["validate.min_items=10", "validate.min_class_items=2", "validate.max_rejected_share=0.5"]


def picture(seed: int) -> bytes:
    return encode_png(np.random.default_rng(seed).integers(0, 256, (1, 12, 12), dtype=np.uint8))


TREE = {f"{label}/{i}.png": picture(i + 100 * (label == "b")) for label in "ab" for i in range(12)}
BLANK = encode_png(np.zeros((1, 12, 12), np.uint8))


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """With two sources: a folder of classes, and one whose items are all owls."""
    root = tmp_path / "w"
    assert genloop(root, "init", str(root)).returncode == 0
    folder(root / "shop", TREE | {"a/blank.png": BLANK, "a/page.png": b"<html>"})
    folder(root / "owls", {f"{i}.png": picture(1000 + i) for i in range(4)})
    sources = "[{name: shop, uri: shop}, {name: owls, uri: owls, label: owl, licence: CC0, require: [licence]}]"
    settings = [f"collect.sources={sources}", *EASY]
    code = "import sys; from pathlib import Path; from pipeline.params_file import override_params as o;"
    code += "o(Path(sys.argv[1]), sys.argv[2:])"
    subprocess.run([sys.executable, "-c", code, str(root / "params.yaml"), *settings], check=True)
    yield root


def told(workspace: Path, *arguments: str) -> Any:
    done = genloop(workspace, "data", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(workspace: Path, code: int, words: str, *arguments: str) -> None:
    done = genloop(workspace, "data", *arguments)
    assert done.returncode == code and words in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_day(workspace: Path) -> None:
    first = told(workspace, "update", "--why", "the first one")
    assert (first["number"], first["items"], first["added"], first["rejected"]) == (1, 30, 30, 2)
    assert first["reasons"] == {"blank": 1, "not an image": 1} and first["why"] == "the first one"
    assert [source["licence"] for source in first["sources"]] == ["", "CC0"]
    again = told(workspace, "update")
    assert not again["changed"] and again["number"] == 1

    rejected = {row["path"]: row["sha256"] for row in told(workspace, "quarantine")}
    assert rejected.keys() == {"a/blank.png", "a/page.png"}
    refused(workspace, 2, "can't be accepted: not an image", "quarantine", "--accept", rejected["a/page.png"])
    second = told(workspace, "quarantine", "--accept", rejected["a/blank.png"])
    assert (second["number"], second["rejected"], second["accepted"]) == (2, 1, 29)

    wrong = {item["path"]: item for item in told(workspace, "diff", "1", "2")["added"]}
    assert wrong == {}
    (workspace / "shop/b/11.png").unlink()
    folder(workspace / "shop", {"a/new.png": picture(500)})
    folder(workspace / "owls", {"4.png": picture(2000)})
    third = told(workspace, "update", "--source", "shop")
    assert (third["added"], third["removed"], third["relabelled"]) == (1, 1, 0)
    fourth = told(workspace, "update")
    assert (fourth["added"], fourth["removed"], fourth["items"]) == (1, 0, 31)
    found = told(workspace, "diff", "1", "latest")
    assert [item["path"] for item in found["added"]] == ["4.png", "a/new.png"]
    assert [item["path"] for item in found["removed"]] == ["b/11.png"]
    assert found["labels"] == {
        "a": {"added": 1, "removed": 0},
        "b": {"added": 0, "removed": 1},
        "owl": {"added": 1, "removed": 0},
    }

    new = next(item["sha256"] for item in found["added"] if item["path"] == "a/new.png")
    with (workspace / "fix.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["sha256", "label"], [new, "b"]])
    fifth = told(workspace, "label", str(workspace / "fix.csv"))
    assert fifth["relabelled"] == 1
    (relabelled,) = told(workspace, "diff", "4", "5")["relabelled"]
    assert (relabelled["was"], relabelled["label"]) == ("a", "b")
    folder(workspace / "shop", {"b/new.png": picture(501)})
    told(workspace, "update")
    item = told(workspace, "show", new[:10])
    assert (item["label"], item["source"], item["versions"]) == ("b", "shop", [3, 4, 5, 6])
    assert Path(item["picture"]).read_bytes() == picture(500)
    owl = told(workspace, "diff", "3", "4")["added"][0]["sha256"]
    assert told(workspace, "show", owl)["licence"] == "CC0"

    told(workspace, "tag", "good", "1")
    back = told(workspace, "restore", "good")
    assert (back["number"], back["id"], back["restores"]) == (7, first["id"], 1)
    assert told(workspace, "diff", "1", "7")["counts"] == {"added": 0, "removed": 0, "relabelled": 0}
    log = told(workspace, "log")
    assert [entry["number"] for entry in log] == list(range(1, 8)) and log[0]["tags"] == ["good"]
    forward = told(workspace, "update")
    assert forward["id"] == log[5]["id"]

    page = Path(genloop(workspace, "data", "diff", "1", "6", "--html").stdout.strip())
    assert page.read_text().count("<img") == 4 and "http" not in page.read_text()
    page = Path(genloop(workspace, "data", "quarantine", "--html").stdout.strip())
    assert "not an image: 1" in page.read_text()
    page = Path(genloop(workspace, "data", "log", "--html").stdout.strip())
    assert page.read_text().count(">checks</a>") == 8 and (page.parent / "000003/index.html").exists()
    assert "29 of 30 items accepted" in (page.parent / "000002/index.html").read_text()
    for arguments in (["log"], ["diff", "1"], ["quarantine"], ["show", new], ["update"]):
        done = genloop(workspace, "data", *arguments)
        assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_mistakes_in_one_line(workspace: Path) -> None:
    refused(workspace, 1, "there is no version 1", "diff", "1", "2")
    refused(workspace, 1, "there is no quarantine yet", "quarantine")
    told(workspace, "update")
    refused(workspace, 2, "names no source elsewhere", "update", "--source", "elsewhere")
    refused(workspace, 1, "there is no version 9", "restore", "9")
    refused(workspace, 1, "no such item", "show", "abcdef")
    refused(workspace, 1, "can't be a version's name", "tag", "7")
    (workspace / "fix.csv").write_text(f"sha256,label\n{'0' * 64},x\n")
    refused(workspace, 2, "line 2 names no item", "label", str(workspace / "fix.csv"))
    assert not (workspace / "decisions.csv").exists()
    shutil.rmtree(workspace / "owls")
    refused(workspace, 3, "not there", "update")
    assert len(told(workspace, "log")) == 1


def test_a_dataset_that_drifts_too_far_stops_the_update(workspace: Path) -> None:
    told(workspace, "update")
    params = workspace / "params.yaml"
    params.write_text(params.read_text().replace("stop: {labels: 1.0", "stop: {labels: 0.2"))
    folder(workspace / "owls", {f"more{i}.png": picture(3000 + i) for i in range(30)})
    refused(workspace, 4, "labels moved by 0.4", "update")
    assert len(told(workspace, "log")) == 1
    assert told(workspace, "restore", "1")["restores"] == 1


def test_two_at_once_do_not_meet(workspace: Path) -> None:
    import fcntl

    (workspace / "var").mkdir(exist_ok=True)
    with (workspace / "var/run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(workspace, 1, "another run is at work here", "update")
    assert told(workspace, "update")["number"] == 1


def test_a_clone_gets_every_version_back(tmp_path: Path) -> None:
    """By git for the receipts and DVC for the bytes; a version that is not in the cache is fetched."""
    root, remote, clone = tmp_path / "w", tmp_path / "remote", tmp_path / "clone"

    def run(*command: str, at: Path = root) -> None:
        subprocess.run(command, cwd=at, check=True, capture_output=True, text=True)

    root.mkdir()
    run("git", "init", "-q")
    assert genloop(root, "init", str(root)).returncode == 0
    params = (root / "params.yaml").read_text().replace("source: sample://digits", "source: shop")
    (root / "params.yaml").write_text(params.replace("min_items: 100", "min_items: 10"))
    folder(root / "shop", TREE)
    first = told(root, "update")
    folder(root / "shop", {"a/new.png": picture(7000)})
    second = told(root, "update")
    dvc = str(Path(sys.executable).parent / "dvc")
    run(dvc, "remote", "add", "-d", "store", str(remote))
    assert told(root, "push")["sent"] > 6 and told(root, "push")["sent"] == 0
    (root / ".gitignore").write_text("/data/\n/runs/\n/var/\n/shop/\n/pipeline\n")
    run("git", "add", "-A")
    run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "data")
    run("git", "clone", "-q", str(root), str(clone), at=tmp_path)
    (clone / "pipeline").symlink_to((root / "pipeline").resolve())
    run(dvc, "pull", "-q", "data/snapshot", at=clone)
    here, there = (sorted(p.name for p in (w / "data/snapshot/parts").iterdir()) for w in (root, clone))
    assert here == there
    assert json.loads((clone / "data/snapshot/snapshot.json").read_text())["id"] == second["id"]
    entries = told(clone, "log")
    assert [entry["id"] for entry in entries] == [first["id"], second["id"]]
    assert told(clone, "diff", "1", "2")["counts"] == {"added": 1, "removed": 0, "relabelled": 0}
    assert told(clone, "restore", "1")["id"] == first["id"]  # without the source, which lies elsewhere
    run(dvc, "remote", "modify", "store", "url", str(tmp_path / "nowhere"), at=root)
    shutil.rmtree(root / ".dvc/cache")
    refused(root, 1, "in neither DVC's cache nor its remote", "diff", "1", "2")
    folder(root / "shop", {"b/new.png": picture(7001)})
    third = told(root, "update")
    assert (third["number"], third["items"], third["added"]) == (3, 26, None)  # against what is lost
