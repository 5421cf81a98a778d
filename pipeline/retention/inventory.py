"""All that there is, from where it lies, and what of it has to stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.adapters.objects import CACHE, places
from pipeline.adapters.references import references
from pipeline.adapters.registry import Registry
from pipeline.adapters.tracked import Tracked
from pipeline.dataset.history import Version, tags, versions
from pipeline.dataset.holds import Hold, standing
from pipeline.generate.batches import Stores
from pipeline.retention import dataset, delivered, local, registered
from pipeline.retention.delivered import Delivery
from pipeline.retention.plan import Inventory, Key, Root, inventory_of
from pipeline.retention.registered import Registered, model_key
from pipeline.settings import Params

Tell = Callable[[str], None]  # what is looked into, or taken away


@dataclass(frozen=True)
class Looked:
    """What was found, with what it takes to take it away."""

    inventory: Inventory
    registered: Registered
    places: tuple[dataset.Place, ...]


def look(
    workspace: Path,
    params: Params,
    now: datetime,
    registry: Registry,
    stores: Stores,
    busy: bool = False,
    tell: Tell = lambda what: None,
) -> Looked:
    """Changes nothing. busy: whether a batch is being made here.

    Raises ServiceError where a remote, the registry or the store does not answer, GenloopError where it can't be told
    what has to stay.
    """
    known = versions(workspace)
    held = standing(workspace, now.date())
    named = references(workspace)
    tell("MLflow")
    models = Registered.of(Tracked(registry), params.promote.name)
    found = delivered.deliveries(stores, params.batches, tell)
    looks = []
    for place in places(workspace):
        tell("DVC's cache" if place.name == CACHE else f"remote {place.name}")
        looks.append(dataset.looked_into(workspace, place))
    told = delivered.preferences_of(stores, found) if len(models.preferences) > 1 else {}

    def needs(one: Delivery) -> frozenset[Key]:
        made_by = [model_key(one.batch.model, one.batch.version)] if one.batch else []
        preference = models.preference(told.get(one.id, ""))
        return frozenset([*made_by, *([preference] if preference else [])])

    tell("the workspace")
    inventory = inventory_of(
        [
            *delivered.things(found, needs),
            *registered.things(workspace, models, dataset.known_by_id(known)),
            *dataset.things(known, looks),
            *local.things(workspace, registered.run_of_checkpoint(models)),
        ],
        [
            *_held(held, known, found),
            *registered.roots(workspace, models),
            *dataset.roots(known, looks, named, dataset.here(workspace), tags(workspace)),
            *delivered.roots(found, busy),
        ],
    )
    return Looked(inventory, models, tuple(looks))


def _held(held: list[Hold], known: list[Version], found: list[Delivery]) -> Iterator[Root]:
    for one in held:
        why = f"hold: {one.why}"
        if one.kind == "snapshot":
            yield Root(why, frozenset({Key("snapshots", one.name)}))
        elif one.kind == "model":
            name, _, number = one.name.rpartition("/")
            yield Root(why, frozenset({model_key(name, int(number))}))
        else:
            yield Root(why, frozenset(batch.key for batch in found if batch.id == one.name))
