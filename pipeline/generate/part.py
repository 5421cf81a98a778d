"""One part of a batch: a function of the order and the part's number, done by a worker process.

It is sampled, held against the screen and the policies, encoded, marked, uploaded, and read back; only then its receipt
is written, which makes it count.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.store import Store
from pipeline.environment import SIGNING
from pipeline.errors import GenloopError
from pipeline.generate import layouts
from pipeline.generate.filters import REPEAT, Verdicts, judge
from pipeline.generate.gallery import page_blobs
from pipeline.generate.items import Item, item_id, item_table, pixel_hash, small_of
from pipeline.generate.layouts import Blob
from pipeline.generate.making import Sign, beside, pieces, plan
from pipeline.generate.order import Order, Slots
from pipeline.generate.policies import Policy, policies
from pipeline.generate.receipt import Receipt, Written, read_receipt, receipt_key
from pipeline.generate.screen import Screen, load_screen
from pipeline.generate.taking import Taken, take
from pipeline.log import log
from pipeline.marks.credentials import Marker
from pipeline.marks.reading import Claim, read_mark
from pipeline.marks.signer import Signer, SignerSettings, make_signer
from pipeline.marks.watermark import load_watermark
from pipeline.media.encoding import MIME, encode
from pipeline.model.bundle import Bundle, load_bundle
from pipeline.model.recipe import Recipes
from pipeline.preference.model import Preference, load_preference
from pipeline.purposes.piece import Piece, Refused
from pipeline.trace import finished, span

if TYPE_CHECKING:
    from pipeline.marks.watermark import Watermark

CONNECTIONS = 8  # uploads at once, where a part has many objects
STEPS = ("sample", "screen", "encode", "mark", "pack", "show", "upload", "verify")


@dataclass(frozen=True)
class Workplace:
    """With what a part is made. screen: None where there is nothing to hold candidates against. made_at: ISO, UTC.
    preference: of the model of what people like, None where nothing is known of that."""

    workspace: Path
    bundle: Path
    screen: Path | None
    store: Store
    signer: SignerSettings
    made_at: str
    preference: Path | None = None


@dataclass(frozen=True)
class Task:
    """excluded: indexes of items that are left out, since parts before this one have the like."""

    order: Order
    part: int
    at: Workplace
    excluded: tuple[int, ...] = ()


@dataclass
class Clock:
    """Seconds by step, and from when to when each was at work, in nanoseconds since 1970."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STEPS, 0.0))
    between: dict[str, tuple[int, int]] = field(default_factory=dict)

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        first = self.between.get(step, (time.time_ns(),))[0]
        yield
        self.seconds[step] += time.perf_counter() - start
        self.between[step] = first, time.time_ns()


@dataclass(frozen=True)
class _Kit:
    bundle: Bundle
    screen: Screen | None
    policies: tuple[Policy, ...]
    signer: Signer
    marker: Marker
    watermark: Watermark | None
    preference: Preference | None


_kits: dict[str, _Kit] = {}  # of the batch that this process works on


def make_part(task: Task) -> Receipt:
    """Raises ServiceError where the store does not answer, GenloopError where what it has is not what was sent."""
    with span("part", part=task.part) as tell:
        receipt = _make_part(task)
        counts = {"items": receipt.items, "dropped": sum(receipt.dropped.values())}
        tell(**counts)
        log("part made", part=task.part, **counts, seconds=receipt.seconds)
        return receipt


def _make_part(task: Task) -> Receipt:
    import torch

    torch.set_num_threads(1)  # every core has a part of its own, and sums are added in one order
    kit, clock, order = _kit(task.at, task.order), Clock(), task.order
    planned = plan(order, task.part)
    places, recipes = planned.places, planned.recipes
    with clock("sample"):
        images = kit.bundle.make(recipes, order.asked.truncation)
    with clock("screen"):
        verdicts = judge(
            order.asked.filters,
            order.around is not None,
            kit.screen,
            kit.policies,
            images,
            places.candidate_labels,
            places.candidate_seeds,
            order.classes,
        )
    with clock("screen"):
        chosen = take(order, places, verdicts, kit.preference, task.part)
    taken = chosen.rows
    repeated = np.isin(places.index, task.excluded)
    taken[repeated] = -1
    dropped = Counter(str(reason) for reason in verdicts.reasons if reason)
    dropped[REPEAT] += int(repeated.sum())
    items = list(_items(task, kit, clock, places, taken, images, dropped))
    blobs = _blobs(task, kit, clock, items, recipes, verdicts, chosen)
    with clock("upload"):
        _upload(task, blobs)
    with clock("verify"):
        _read_back(task, blobs, items, kit.signer)
    receipt = Receipt(
        part=task.part,
        items=len(items),
        classes=dict(Counter(label or "" for _, label in {(item.index, item.label) for item in items})),
        dropped=dict(+dropped),
        objects=tuple(map(Written.of, blobs)),
        seconds={step: round(seconds, 4) for step, seconds in clock.seconds.items()},
    )
    for step, (start, end) in clock.between.items():
        finished(step, start, end, seconds=receipt.seconds[step])
    return _count(task, receipt)


def _kit(at: Workplace, order: Order) -> _Kit:
    """Loaded once a process and batch."""
    if order.id not in _kits:
        signer = make_signer(at.signer, at.workspace / SIGNING)
        _kits.clear()
        _kits[order.id] = _Kit(
            bundle=load_bundle(at.bundle),
            screen=load_screen(at.screen) if at.screen else None,
            policies=tuple(policies(order.asked, at.workspace)),
            signer=signer,
            marker=Marker(signer),
            watermark=load_watermark(order.asked.watermark) if order.asked.watermark else None,
            preference=load_preference(at.preference) if at.preference else None,
        )
    return _kits[order.id]


def _items(
    task: Task,
    kit: _Kit,
    clock: Clock,
    places: Slots,
    taken: NDArray[np.int64],
    images: NDArray[np.uint8],
    dropped: Counter[str],
) -> Iterator[Item]:
    """dropped: counts what can't be made of an image, by its reason."""
    order, form = task.order, task.order.asked.image
    for place in np.flatnonzero(taken >= 0):
        row, index = int(taken[place]), int(places.index[place])
        claim = claim_of(order, index, item_id(order, index), task.at.made_at)
        image = kit.watermark(images[row], claim) if kit.watermark else images[row]
        made = pieces(order, claim.item, image, task.at.workspace)
        while True:
            with clock("encode"):
                piece = next(made, None)
                if isinstance(piece, Piece):
                    data = encode(piece.image, form)
            if piece is None:
                break
            if isinstance(piece, Refused):
                dropped[piece.reason] += 1
                continue
            with clock("mark"):
                data = kit.marker.mark(data, MIME[form.format], claim_of(order, index, piece.name, task.at.made_at))
            yield Item(
                id=piece.name,
                index=index,
                row=row,
                label=order.classes[places.labels[place]] if order.classes else None,
                data=data,
                pixels=pixel_hash(piece.image),
                width=piece.image.shape[1],
                height=piece.image.shape[0],
                facts=piece.facts,
                small=small_of(piece.image),
            )


def claim_of(order: Order, index: int, name: str, made_at: str) -> Claim:
    return Claim(
        batch=order.id,
        item=name,
        index=index,
        model=order.model,
        version=order.version,
        snapshot=order.snapshot,
        made_at=made_at,
        title=name,
    )


def signing(marker: Marker, order: Order, made_at: str) -> Sign:
    """Marks the pictures of a batch that are no items."""
    return lambda name, png: marker.mark(png, "image/png", claim_of(order, 0, f"{order.id} {name}", made_at))


def _blobs(
    task: Task,
    kit: _Kit,
    clock: Clock,
    items: Sequence[Item],
    recipes: Recipes,
    verdicts: Verdicts,
    chosen: Taken,
) -> list[Blob]:
    order, place = task.order, f"{task.part:05d}-of-{task.order.parts:05d}"
    marked = signing(kit.marker, order, task.at.made_at)

    def sign(name: str, png: bytes) -> bytes:
        with clock("mark"):
            return marked(name, png)

    with clock("pack"):
        measured: dict[str, NDArray[Any]] = {
            "distance": verdicts.distances,
            "confidence": verdicts.confidences,
            "areas": np.array([area.tobytes() for area in verdicts.areas], object),
            **chosen.columns,
        }
        table = item_table(order, items, recipes, measured, verdicts.features)
        told, left_out = layouts.parquet_bytes(table), _dropped(order, recipes, verdicts)
        blobs = layouts.pack(order.asked.layout, order.asked.image.format, place, items, table)
        for folder, data in (("items", told), ("dropped", left_out)):
            blobs.append(Blob(layouts.named(folder, f"part-{place}", data, "parquet"), data, layouts.PARQUET_TYPE))
    with clock("show"):
        return [*blobs, *page_blobs(order, task.part, items, sign), *beside(order, task.part, items, sign)]


def _dropped(order: Order, recipes: Recipes, verdicts: Verdicts) -> bytes:
    """Candidates that were refused, and why."""
    import pyarrow as pa

    rows = np.flatnonzero(~verdicts.good)
    names = [order.classes[label] if order.classes else None for label in recipes.labels[rows]]
    told = {
        "label": pa.array(names, pa.string()),
        "seed": recipes.seeds[rows],
        "reason": pa.array(verdicts.reasons[rows].tolist(), pa.string()),
        "distance": verdicts.distances[rows],
        "confidence": verdicts.confidences[rows],
    }
    return layouts.parquet_bytes(pa.table(told))


def _upload(task: Task, blobs: Sequence[Blob]) -> None:
    def put(blob: Blob) -> None:
        task.at.store.put(f"{task.order.home}/{blob.name}", blob.data, blob.content_type)

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        list(threads.map(put, blobs))


def _read_back(task: Task, blobs: Sequence[Blob], items: Sequence[Item], signer: Signer) -> None:
    """What the store has of the part is what was sent, and every item in it carries its mark."""

    def get(blob: Blob) -> Blob:
        key = f"{task.order.home}/{blob.name}"
        data = task.at.store.get(key)
        if data != blob.data:
            what = "is not there" if data is None else "is not what was sent"
            raise GenloopError(f"read back, it {what}", where=task.at.store.uri(key), remedy="run it again")
        return Blob(blob.name, data, blob.content_type)

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        found = list(threads.map(get, blobs))
    asked = task.order.asked
    delivered = [blob for blob in found if blob.name.partition("/")[0] in layouts.FOLDERS]
    for item, data in zip(items, layouts.contents(asked.layout, delivered), strict=True):
        mark = read_mark(data, MIME[asked.image.format], certificates=signer.certificates)
        if not mark.trusted or mark.claim is None or mark.claim.item != item.id:
            what = f"read back, its mark is {mark.state} {' '.join(mark.problems)}"
            raise GenloopError(what, where=item.id, remedy="nothing was delivered; run it again")


def _count(task: Task, receipt: Receipt) -> Receipt:
    """The receipt that counts: of two runs that made the same part, the first one's, and the other's objects go."""
    store, key = task.at.store, receipt_key(task.order, task.part, task.excluded)
    if store.put_new(key, receipt.model_dump_json(indent=1).encode(), "application/json"):
        return receipt
    first = read_receipt(store, key)
    if first is None:
        raise GenloopError("a receipt is there and is not", where=store.uri(key), remedy="run it again")
    kept = {written.name for written in first.objects}
    store.delete([f"{task.order.home}/{w.name}" for w in receipt.objects if w.name not in kept])
    return first
