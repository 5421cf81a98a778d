"""Update, forget, restore and diff in any order keep their laws, on a real DVC repository and a real registry."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flows.workspaces import make_workspace
from pipeline import stages
from pipeline.adapters.objects import places
from pipeline.adapters.registry import Registry
from pipeline.adapters.store import FolderStore
from pipeline.adapters.versions import Versions, initialise
from pipeline.collect.snapshot import collect
from pipeline.dataset.diff import difference
from pipeline.dataset.forget import forget
from pipeline.dataset.history import Stored, Version, add_version, versions
from pipeline.dataset.profile import Profile
from pipeline.dataset.proof import Proof
from pipeline.dataset.traces import Search
from pipeline.dataset.wanted import Wanted
from pipeline.errors import SourceError
from pipeline.manifest import read_manifest
from pipeline.media.image import encode_png
from pipeline.settings import Collect, Source
from pipeline.tombstones import read_tombstones

SEEDS = st.integers(0, 11)
LABELS = st.sampled_from("ab")
IMAGES = [encode_png(np.random.default_rng(seed).integers(0, 256, (1, 8, 8), dtype=np.uint8)) for seed in range(12)]
HASHES = [hashlib.sha256(data).hexdigest() for data in IMAGES]
SETTINGS = Collect(sources=(Source(name="s", uri="source", label_pattern="^([ab])/"),))
EMPTY = Profile(labels={}, brightness=(0,) * 16, sides=(0,) * 15)

Contents = frozenset[tuple[str, str]]  # (sha256, label)


class Dataset(RuleBasedStateMachine):
    """What stands in the source, in each version and in the snapshot, kept beside the real thing in plain sets."""

    @initialize()
    def begin(self) -> None:
        self.root, self.before = Path(tempfile.mkdtemp()), Path.cwd()
        os.chdir(self.root)  # DVC reads paths from where it stands
        make_workspace(self.root)
        initialise(self.root)
        self.files: dict[str, str] = {}  # sha256 by path
        self.versions: list[Contents] = []
        self.here: Contents = frozenset()
        self.forgotten = set[str]()
        self.registry = Registry(f"sqlite:///{self.root}/mlflow.db", self.root / "artifacts")
        (self.root / "bucket").mkdir()
        self.put(0, "a")

    def teardown(self) -> None:
        os.chdir(self.before)
        shutil.rmtree(self.root, ignore_errors=True)

    @rule(seed=SEEDS, label=LABELS)
    def put(self, seed: int, label: str) -> None:
        path = self.root / "source" / label / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(IMAGES[seed])
        self.files[f"{label}/{seed}.png"] = HASHES[seed]

    @rule(data=st.data())
    @precondition(lambda self: self.files)
    def take(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.files)))
        (self.root / "source" / path).unlink()
        del self.files[path]

    @rule()
    def update(self) -> None:
        wanted = frozenset((sha256, p[0]) for p, sha256 in self.files.items() if sha256 not in self.forgotten)
        places_ = (stages.SNAPSHOT, stages.PIXELS, stages.LEDGERS)
        try:
            collect(SETTINGS, self.root, *(self.root / place for place in places_))
        except SourceError:
            assert not wanted
            return
        self.here = wanted
        Versions(self.root).commit("collect")
        self._record()

    @rule(data=st.data())
    @precondition(lambda self: self.versions)
    def restore(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.versions) - 1))
        version = versions(self.root)[number]
        Versions(self.root).restore("collect", str(stages.SNAPSHOT), version.stored.model_dump())
        assert stages.read_snapshot(self.root).id == version.id
        self.here = self.versions[number]

    @rule(seeds=st.sets(SEEDS, min_size=1, max_size=2))
    @precondition(lambda self: self.versions)
    def forget(self, seeds: set[int]) -> None:
        gone = {HASHES[seed] for seed in seeds}
        proof = Proof(id=f"p{len(self.forgotten)}", at="now", by="me", why="asked", items=len(gone))
        store = FolderStore(self.root / "bucket")
        assert forget(self.root, Wanted(frozenset(gone), len(gone), True), proof, self.registry, store).clean
        self.forgotten |= gone
        self.versions = [frozenset(item for item in old if item[0] not in gone) for old in self.versions]
        self.here = frozenset(item for item in self.here if item[0] not in gone)

    @rule(data=st.data())
    @precondition(lambda self: len(self.versions) > 1)
    def diff(self, data: st.DataObject) -> None:
        one, other = (data.draw(st.integers(0, len(self.versions) - 1)) for _ in range(2))
        found = difference(self._parts(one), self._parts(other))
        before, after = ({sha256 for sha256, _ in self.versions[number]} for number in (one, other))
        assert {item.sha256 for item in found.added} == after - before
        assert {item.sha256 for item in found.removed} == before - after
        changed = {sha256 for sha256, _ in self.versions[one] ^ self.versions[other]} & before & after
        assert {item.sha256 for item in found.relabelled} == changed

    @invariant()
    def the_snapshot_is_what_it_should_be(self) -> None:
        if (self.root / stages.SNAPSHOT).exists():
            table = read_manifest(self.root / stages.SNAPSHOT)
            assert sorted(zip(table["sha256"].to_pylist(), table["label"].to_pylist(), strict=True)) == sorted(
                self.here
            )

    @invariant()
    def what_is_forgotten_is_in_no_object(self) -> None:
        if self.forgotten:
            looks = [Search(read_tombstones(self.root)).look(place) for place in places(self.root)]
            assert not any(look.held for look in looks)

    def _record(self) -> None:
        known, snapshot = versions(self.root), stages.read_snapshot(self.root)
        stored = Stored(**Versions(self.root).stored("collect", str(stages.SNAPSHOT)))
        told: dict[str, Any] = {"at": "now", "by": "me", "why": "", "reasons": {}, "drift": {}, "profile": EMPTY}
        told |= dict.fromkeys(("accepted", "rejected", "added", "removed", "relabelled"), 0)
        version = Version(
            number=len(known) + 1, id=snapshot.id, stored=stored, items=snapshot.items, sources=snapshot.sources, **told
        )
        add_version(self.root, version)
        self.versions.append(self.here)

    def _parts(self, number: int) -> dict[str, Path]:
        files = Versions(self.root).files(versions(self.root)[number].stored.md5)
        return {name.removeprefix("parts/"): path for name, path in files.items() if name.startswith("parts/")}


TestDataset = pytest.mark.slow(Dataset.TestCase)
TestDataset.settings = settings(
    max_examples=8,
    stateful_step_count=14,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # to shrink a failing example would take minutes
    suppress_health_check=list(HealthCheck),
)
