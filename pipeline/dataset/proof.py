"""The proof of an erasure: what was removed where and when, and what was found when all of it was read back."""

from __future__ import annotations

from pathlib import Path

from pipeline.files import write_json
from pipeline.values import Value

FOLDER = Path("proofs")


class Rewritten(Value):
    """A dataset version that is without the items now. before, after: ids of its content."""

    number: int
    before: str
    after: str
    items: int


class Checked(Value):
    """What was read back: how many files, objects or records, and how many of them still hold or show an item."""

    what: str
    looked_into: int
    holding: int


class Proof(Value):
    """items: by content; marks: their keyed hashes, as in the tombstones. objects: removed ones, by place.

    files: removed in the workspace; pictures: removed beside models' runs; models, batches: made of data that had it.
    """

    id: str
    at: str
    by: str
    why: str
    items: int
    marks: tuple[str, ...] = ()
    versions: tuple[Rewritten, ...] = ()
    objects: dict[str, tuple[str, ...]] = {}
    files: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    batches: tuple[str, ...] = ()
    checked: tuple[Checked, ...] = ()

    @property
    def clean(self) -> bool:
        return not any(checked.holding for checked in self.checked)


def write_proof(workspace: Path, proof: Proof) -> Path:
    path = workspace / FOLDER / f"{proof.id}.json"
    write_json(path, proof.model_dump(mode="json"))
    return path
