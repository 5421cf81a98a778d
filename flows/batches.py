"""Named orders into delivered batches: what is due, and all that one is made with."""

from __future__ import annotations

import fcntl
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import wiring
from flows.beside import provenance, screen_of
from flows.receipts import keep_receipt
from flows.timing import work_receipt
from pipeline.errors import GenloopError, ParamsError
from pipeline.files import sha256_json
from pipeline.ids import known_as
from pipeline.log import log
from pipeline.marks.own import signer_settings
from pipeline.orders import BatchOrder, Variations, period
from pipeline.progress import bar
from pipeline.settings import Params
from pipeline.trace import span
from pipeline.values import Batch, ModelVersion

if TYPE_CHECKING:
    from pipeline.adapters.ratings import Ratings
    from pipeline.adapters.registry import Registry
    from pipeline.generate.batches import Stores
    from pipeline.generate.order import Order
    from pipeline.model.recipe import Turn


def asked_of(params: Params, name: str) -> BatchOrder:
    """Raises ParamsError where there is no such order."""
    if name not in params.batches:
        names = ", ".join(params.batches) or "there are none"
        raise ParamsError(f"no order {name!r}", where="batches", remedy=f"params.yaml has: {names}")
    return params.batches[name]


def changed(params: Params, name: str, count: int | None, seed: int | None, around: str | None) -> BatchOrder:
    """An order with what a person gave in place of its own. Raises ParamsError."""
    asked = asked_of(params, name)
    wanted = {key: value for key, value in {"count": count, "seed": seed}.items() if value is not None}
    if around is None:
        return asked.model_copy(update=wanted)
    from pydantic import ValidationError

    try:
        purpose = Variations(kind="variations", around=around)
    except ValidationError:
        remedy = "give one such as 0123456789abcdef-00000042"
        raise ParamsError("is no item's name", where=f"--around {around[:80]}", remedy=remedy) from None
    return asked.model_copy(update={**wanted, "purpose": purpose})


def delivered(workspace: Path, params: Params, name: str, asked: BatchOrder) -> list[Batch]:
    """By the champion, with the services that it takes."""
    with wiring.environment_for_run(workspace, ("s3",)) as services:
        services.wait()
        wiring.store().check()
        return deliver_shares(workspace, params, name, asked, champion_of(workspace, params))


def delivered_due(workspace: Path, params: Params) -> list[Batch]:
    """All that the clock asks for, as a Prefect flow."""
    with wiring.environment_for_run(workspace, ("s3", "prefect")) as services:
        services.wait(timeout_s=120)
        from flows.due import deliver_due

        with wiring.prefect_failures():
            return deliver_due(workspace, params)


def champion_of(workspace: Path, params: Params) -> ModelVersion:
    """Raises GenloopError where there is none."""
    found = wiring.registry(workspace).champion(params.promote.name)
    if found is None:
        raise GenloopError("there is no champion yet", where=params.promote.name, remedy="`genloop run` first")
    return found


def due(params: Params) -> list[str]:
    """Orders that the clock asks for; one that was delivered for this stretch of time already costs nothing."""
    return [name for name, asked in params.batches.items() if asked.every not in ("run", "never")]


def deliver_shares(
    workspace: Path, params: Params, name: str, asked: BatchOrder, champion: ModelVersion
) -> list[Batch]:
    """One order by the champion, and a share of it by the one before, as long as both are compared."""
    from flows.canary import Maker, makers

    registry = wiring.registry(workspace)
    with wiring.ratings_if_any(workspace) as ratings:
        alone = [Maker(champion, 1.0, False)]
        several = alone if isinstance(asked.purpose, Variations) else makers(registry, params, champion, ratings)
        done, left = [], asked.count
        for maker in reversed(several):
            count = left if maker is several[0] else round(asked.count * maker.share)
            left -= count
            if count:
                mine = asked.model_copy(update={"count": count})
                done.append(deliver(workspace, params, name, mine, maker.model, ratings, maker.canary))
        return done[::-1]


def deliver(
    workspace: Path,
    params: Params,
    name: str,
    asked: BatchOrder,
    model: ModelVersion,
    ratings: Ratings | None = None,
    canary: bool = False,
) -> Batch:
    """One order by one model. Of two at the same time in one workspace the second waits, and finds it delivered.
    ratings: what people said so far, by which items are taken."""
    when = period(asked.every, datetime.now(UTC))
    with tempfile.TemporaryDirectory() as temporary, _alone(workspace, name), ExitStack() as stack:
        folder, registry = Path(temporary), wiring.registry(workspace)
        model, around = _around(registry, asked, model)
        bundle = registry.download_bundle(model, folder / "model")
        screen = screen_of(registry, asked, model, folder)
        known = None
        if ratings and screen and asked.preferred and not around:
            from flows.learning import learned

            known = stack.enter_context(learned(workspace, params, registry, model, ratings))
        order = _order(workspace, params, name, asked, when, registry, model, bundle, screen, around)
        if known and ratings:
            order = adapted(order, known.key, params, ratings)
        order = order.model_copy(update={"canary": canary})
        from pipeline.generate.batches import committed

        store, start = wiring.stores(asked.bucket), time.perf_counter()
        batch, seconds = committed(store, order), 0.0
        if batch is None:
            from pipeline.generate.part import Workplace
            from pipeline.generate.publish import deliver as publish

            at = Workplace(workspace, bundle, screen, store, signer_settings(), "", known.folder if known else None)
            with (
                known_as(batch=order.id),
                span(f"batch {name}", order=name),
                work_receipt(workspace, "generate"),
                bar("generate", "items") as show,
            ):
                batch = publish(
                    wiring.stores,
                    order,
                    at,
                    provenance(workspace, registry, model),
                    params.costs,
                    lambda made: show(made, order.asked.count, name),
                )
            seconds = time.perf_counter() - start
            told: dict[str, Any] = {"order": name, "items": batch.items, "uri": batch.uri, "seconds": round(seconds, 2)}
            log("batch committed", batch=batch.id, **told)
        keep_receipt(workspace, store, batch, seconds, wiring.trusted_certificates(workspace))
        return batch


def adapted(order: Order, preference: str, params: Params, ratings: Ratings) -> Order:
    """The order with items taken by what people like, and more of the classes that they like."""
    from pipeline.feedback.mixing import adapted_mix
    from pipeline.feedback.votes import votes

    adapting = params.feedback.adapting
    taken = order.model_copy(update={"preference": preference, "adapting": adapting})
    if not adapting.mix or len(order.classes) < 2:
        return taken
    seed, said = int(sha256_json([order.seed, preference])[:12], 16), votes(ratings.judged(sampled=True))
    mix, control = adapted_mix(said, order.classes, order.weights, order.asked.segment, adapting, seed)
    return taken.model_copy(update={"weights": mix, "control": control})


def regenerated(workspace: Path, registry: Registry, stores: Stores, item: str) -> tuple[bytes, dict[str, Any]]:
    """An item's image again, as PNG, marked, and its row of the manifest. Raises BatchError where it is another one."""
    from pipeline.generate.batches import find_batch, read_manifest
    from pipeline.generate.find import batch_of, order_of, row_of
    from pipeline.generate.part import claim_of
    from pipeline.generate.regenerate import regenerate
    from pipeline.marks.credentials import Marker
    from pipeline.media.encoding import encode
    from pipeline.model.bundle import load_bundle
    from pipeline.orders import Encoding

    batch = find_batch(stores, batch_of(item))
    store = stores(batch.bucket)
    manifest, row = read_manifest(store, batch), row_of(store, batch, item)
    model = registry.version(batch.model, batch.version)
    if row is None or model is None:
        what = "the batch does not have it" if row is None else f"the registry has no {batch.model} v{batch.version}"
        raise GenloopError(what, where=item, remedy="it may be withdrawn, or its model deleted")
    order = order_of(manifest)
    with tempfile.TemporaryDirectory() as folder:
        bundle = load_bundle(registry.download_bundle(model, Path(folder)))
        pixels = regenerate(order, row, bundle, workspace, manifest["made_at"])
    claim = claim_of(order, row["index"], item, manifest["made_at"])
    return Marker(wiring.signer(workspace)).mark(encode(pixels, Encoding()), "image/png", claim), row


def _around(registry: Registry, asked: BatchOrder, model: ModelVersion) -> tuple[ModelVersion, str]:
    """By which model: variations are by the one that made the item. And the item."""
    purpose = asked.purpose
    if not isinstance(purpose, Variations):
        return model, ""
    from pipeline.generate.batches import find_batch
    from pipeline.generate.find import batch_of

    batch = find_batch(wiring.stores, batch_of(purpose.around))
    found = registry.version(batch.model, batch.version)
    if found is None:
        raise GenloopError(f"the registry has no {batch.model} v{batch.version}", where=purpose.around)
    return found, purpose.around


def _chosen(item: str) -> tuple[int, int, tuple[Turn, ...]]:
    """Class and seed that an item began from, and its way from there."""
    from pipeline.generate.batches import find_batch, read_manifest
    from pipeline.generate.find import batch_of, order_of, row_of
    from pipeline.generate.regenerate import recipe_of

    batch = find_batch(wiring.stores, batch_of(item))
    store = wiring.stores(batch.bucket)
    row = row_of(store, batch, item)
    if row is None:
        raise GenloopError("the batch does not have it", where=item, remedy="choose another item")
    return recipe_of(order_of(read_manifest(store, batch)), row).onward(0)


def _order(
    workspace: Path,
    params: Params,
    name: str,
    asked: BatchOrder,
    when: str,
    registry: Registry,
    model: ModelVersion,
    bundle: Path,
    screen: Path | None,
    around: str,
) -> Order:
    from pipeline.generate.order import make_order
    from pipeline.generate.policies import fingerprints

    classes = tuple(json.loads((bundle / "config.json").read_text())["classes"])
    held_against = ""
    if screen:
        from pipeline.generate.screen import screen_id

        held_against = screen_id(screen)
    snapshot, code = registry.snapshot_of(model), fingerprints(asked, workspace)
    beginning: tuple[int, int] | None = None
    way: tuple[Turn, ...] = ()
    if around:
        label, seed, way = _chosen(around)
        beginning = label, seed
    return make_order(name, asked, when, model, classes, snapshot, held_against, code, params.segments, beginning, way)


def lock_of(workspace: Path, order: str) -> Path:
    """Who makes a batch of the order holds it. `*` for an order: a pattern."""
    return workspace / f"var/batch-{order}.lock"


@contextmanager
def _alone(workspace: Path, name: str) -> Iterator[None]:
    (workspace / "var").mkdir(exist_ok=True)
    with lock_of(workspace, name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
