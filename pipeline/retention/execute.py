"""Taking away what a plan says, step by step: killed at any of them, the next run ends it.

What needs something goes before it, so that what is left is always whole, or is known to be going.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.adapters.registry import Registry
from pipeline.adapters.tracked import Tracked
from pipeline.adapters.versions import Versions
from pipeline.generate.batches import Stores
from pipeline.retention import dataset, delivered, local, registered
from pipeline.retention.inventory import Looked, Tell
from pipeline.retention.plan import Key, Kind, Plan, Thing, needed_by

Things = Sequence[Thing]
Act = Callable[[Things], Things]  # those that went, of some of one sort


@dataclass(frozen=True)
class Executor:
    workspace: Path
    looked: Looked
    now: datetime
    registry: Registry
    stores: Stores
    tell: Tell = lambda what: None

    def execute(self, planned: Plan) -> list[Thing]:
        """What went. What has changed since it was looked at stays, with all that it needs. Raises ServiceError."""
        done, spared = list[Thing](), set[Key]()
        phases: list[tuple[tuple[Kind, ...], Act]] = [
            (("batches", "withdrawn", "unfinished"), self._batches),
            (("models", "preferences"), self._versions),
            (("runs",), self._runs),
            (("snapshots",), self._snapshots),
            (("remotes", "cache"), self._objects),
            (("checkpoints", "pages", "temporary"), self._files),
        ]
        for kinds, act in phases:
            wanted = [thing for thing in planned.goes if thing.key.kind in kinds and thing.key not in spared]
            gone = act(wanted) if wanted else ()
            done += gone
            spared |= needed_by(self.looked.inventory, {t.key for t in wanted} - {t.key for t in gone})
        return done

    @property
    def _at(self) -> str:
        return self.now.isoformat(timespec="seconds")

    def _batches(self, things: Things) -> Things:
        done = []
        for thing in things:
            self.tell(f"batch {thing.key.name}")
            if delivered.clean(self.stores, thing, self._at):
                done.append(thing)
        return done

    def _versions(self, things: Things) -> Things:
        self.tell("model versions")
        tracked, known = Tracked(self.registry), {registered.key(one): one for one in self.looked.registered.versions}
        return [thing for thing in things if tracked.drop_version(known[thing.key])]

    def _runs(self, things: Things) -> Things:
        self.tell("runs in MLflow")
        tracked = Tracked(self.registry)
        for thing in things:
            tracked.drop_run(thing.key.name)
        return things

    def _snapshots(self, things: Things) -> Things:
        dropped = dataset.drop(self.workspace, [int(thing.key.name) for thing in things], self._at)
        return [thing for thing in things if int(thing.key.name) in dropped]

    def _objects(self, things: Things) -> Things:
        going = {thing.key for thing in things}
        with Versions(self.workspace).locked():
            for look in self.looked.places:
                if oids := [oid for oid in look.objects if look.key(oid) in going]:
                    self.tell(f"{len(oids):,} objects of {look.place.name}")
                    dataset.delete(look, oids)
        return things

    def _files(self, things: Things) -> Things:
        self.tell("the workspace")
        for thing in things:
            with suppress(FileNotFoundError):  # whoever wrote it has ended its work
                local.remove(self.workspace, thing.key)
        return things
