"""Where something came from, and all that came of it: sources, snapshots, models, batches, items."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.adapters.registry import Registry
from pipeline.dataset.history import Version, version_of, versions
from pipeline.errors import GenloopError
from pipeline.generate.batches import Stores, batches, find_batch, is_cleaned, is_committed
from pipeline.generate.find import batch_of, is_item, row_of
from pipeline.values import Batch, ModelVersion

Kind = Literal["source", "snapshot", "model", "batch", "item"]
KINDS: tuple[Kind, ...] = ("source", "snapshot", "model", "batch", "item")
MODEL = re.compile(r"(?:models:/)?([A-Za-z0-9_.-]+)(?:@([a-z]+)|/(\d+)| v(\d+))")
BATCH = re.compile(r"[0-9a-f]{6,16}")


@dataclass(frozen=True)
class Node:
    """key: unlike any other's. facts: what is told of it."""

    kind: Kind
    key: str
    title: str
    facts: dict[str, str]


@dataclass
class Lineage:
    """edges: (from, to) by key; what comes of something is behind it."""

    focus: str
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)

    def of(self, kind: Kind) -> list[Node]:
        return [node for node in self.nodes.values() if node.kind == kind]

    def add(self, node: Node, behind: str | None = None) -> str:
        self.nodes.setdefault(node.key, node)
        if behind is not None and (behind, node.key) not in self.edges:
            self.edges.append((behind, node.key))
        return node.key


@dataclass(frozen=True)
class Walker:
    """What is asked: the workspace's versions, the registry, and the batches' stores."""

    workspace: Path
    registry: Registry
    stores: Stores

    def walk(self, what: str) -> Lineage:
        """what: an item, a batch (or the first digits of it), NAME@ALIAS or NAME/VERSION of a model, a version of the
        dataset (number, tag, id), or a source. Raises GenloopError where it is none of them."""
        if is_item(what):
            return self._from_item(what)
        if found := MODEL.fullmatch(what):
            return self._from_model(self._model(found))
        if what in {origin.name for version in versions(self.workspace) for origin in version.sources}:
            return self._from_source(what)
        if version := self._version(what):
            return self._from_version(version)
        if BATCH.fullmatch(what):
            return self._from_batch(find_batch(self.stores, what))
        raise GenloopError(
            "is no item, batch, model, dataset version or source",
            where=what,
            remedy="give a name such as 0123456789abcdef-00000042, 0123456789abcdef, generator@champion, latest",
        )

    def _from_item(self, item: str) -> Lineage:
        batch = find_batch(self.stores, batch_of(item))
        row = row_of(self.stores(batch.bucket), batch, item)
        if row is None:
            raise GenloopError("the batch does not have it", where=item, remedy="it may be withdrawn")
        line = self._from_batch(batch)
        told = ("label", "seed", "toward_seed", "share", "confidence", "distance", "sha256")
        facts = {name: str(row[name]) for name in told if row.get(name) is not None}
        line.focus = line.add(Node("item", item, item, facts), batch.id)
        return line

    def _from_batch(self, batch: Batch) -> Lineage:
        model, title = self.registry.version(batch.model, batch.version), f"{batch.model} v{batch.version}"
        line = self._from_model(model, downwards=False) if model else Lineage("")
        if model is None:
            line.add(Node("model", title, title, {"registry": "not there any more"}))
        line.focus = line.add(self._batch_node(batch), title)
        return line

    def _from_model(self, model: ModelVersion, downwards: bool = True) -> Lineage:
        snapshot, line = self.registry.snapshot_of(model), Lineage("")
        before = self._add_snapshot(line, snapshot)
        line.focus = line.add(self._model_node(model), before)
        if downwards:
            self._add_batches(line, [model])
        return line

    def _from_version(self, version: Version) -> Lineage:
        line = Lineage("")
        line.focus = self._add_snapshot(line, version.id)
        self._add_models(line, {version.id: version.ids})
        return line

    def _from_source(self, name: str) -> Lineage:
        line, having = Lineage(f"source {name}"), [v for v in versions(self.workspace) if name in _names(v)]
        for version in having:
            origin = next(origin for origin in version.sources if origin.name == name)
            line.add(Node("source", f"source {name}", name, _stated(uri=origin.uri, licence=origin.licence)))
            line.add(_version_node(version.id, [v for v in having if v.id == version.id]), f"source {name}")
        self._add_models(line, {version.id: version.ids for version in having})
        return line

    def _add_snapshot(self, line: Lineage, snapshot: str) -> str:
        same = [version for version in versions(self.workspace) if snapshot in version.ids]
        key = same[0].id if same else snapshot
        origins = {origin.name: origin for version in same for origin in version.sources}
        for origin in origins.values():
            stated = _stated(uri=origin.uri, licence=origin.licence, consent=origin.consent)
            line.add(Node("source", f"source {origin.name}", origin.name, stated))
        line.add(_version_node(key, same))
        for name in origins:
            line.add(line.nodes[key], f"source {name}")
        return key

    def _add_models(self, line: Lineage, snapshots: dict[str, set[str]]) -> None:
        models = []
        for key, ids in snapshots.items():
            for model in self.registry.trained_on(ids):
                line.add(self._model_node(model), key)
                models.append(model)
        self._add_batches(line, models)

    def _add_batches(self, line: Lineage, models: list[ModelVersion]) -> None:
        known = {(model.name, model.version) for model in models}
        for batch in batches(self.stores):
            if (batch.model, batch.version) in known:
                line.add(self._batch_node(batch), f"{batch.model} v{batch.version}")

    def _model_node(self, model: ModelVersion) -> Node:
        tags = self.registry.tags(model)
        told = {name: tags[name] for name in ("commit", "params", "dvc_lock") if tags.get(name)}
        forgotten = sum(name.startswith("forgotten-") for name in tags)
        facts = {"weights": model.bundle, "run": self.registry.run_of(model), **told}
        if forgotten:
            facts["forgotten"] = f"{forgotten} erasures since it was trained"
        return Node("model", f"{model.name} v{model.version}", f"{model.name} v{model.version}", facts)

    def _batch_node(self, batch: Batch) -> Node:
        store = self.stores(batch.bucket)
        status = (
            "committed" if is_committed(store, batch) else "cleaned" if is_cleaned(store, batch) else "not committed"
        )
        facts = {"order": batch.order, "items": f"{batch.items:,}", "uri": batch.uri}
        return Node("batch", batch.id, batch.id, facts | {"status": status})

    def _model(self, found: re.Match[str]) -> ModelVersion:
        name, alias, *numbers = found.groups()
        model = self.registry.by_alias(name, alias) if alias else None
        if alias and model is None:
            raise GenloopError("no such model", where=f"{name}@{alias}", remedy="`genloop status` names the champion")
        return model or self._by_version(name, int(next(filter(None, numbers))))

    def _by_version(self, name: str, version: int) -> ModelVersion:
        model = self.registry.version(name, version)
        if model is None:
            raise GenloopError("the registry has no such model", where=f"{name} v{version}", remedy="`genloop status`")
        return model

    def _version(self, what: str) -> Version | None:
        try:
            return version_of(self.workspace, what)
        except GenloopError:
            return None


def rows(line: Lineage) -> Iterator[Node]:
    """From the sources to the items."""
    for kind in KINDS:
        yield from line.of(kind)


def _names(version: Version) -> set[str]:
    return {origin.name for origin in version.sources}


def _version_node(key: str, same: list[Version]) -> Node:
    """same: the versions that have this content."""
    if not same:
        return Node("snapshot", key, key, {"versions": "none here: it was collected elsewhere"})
    last = same[-1]
    facts = {
        "versions": ", ".join(str(version.number) for version in same),
        "items": f"{last.accepted:,} accepted of {last.items:,}",
        "at": last.at,
        "why": f"{last.why} ({last.by})",
    }
    return Node("snapshot", key, key, facts)


def _stated(**facts: str) -> dict[str, str]:
    return {name: value for name, value in facts.items() if value}
