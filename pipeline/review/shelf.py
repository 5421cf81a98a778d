"""Images of delivered items, out of the parts that batches lie in; those read last are kept in memory."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections import OrderedDict
from contextlib import contextmanager
from typing import NamedTuple

from pipeline.adapters.store import Store
from pipeline.adapters.store.interface import Head
from pipeline.errors import GenloopError
from pipeline.generate import layouts
from pipeline.generate.batches import COMMIT, Stores, find_batch, home, read_manifest, read_object
from pipeline.generate.find import batch_of, order_of, part_of, read_rows, receipts_of
from pipeline.generate.layouts import Blob
from pipeline.generate.order import Order
from pipeline.generate.receipt import Receipt
from pipeline.media.encoding import MIME
from pipeline.values import Batch

FRESH_S = 2.0  # so long after another process withdrew an item it may still be seen
SMALL, LIGHT_BYTES, MOST_SMALL = 160, 16 * 1024, 4000  # pixels a side; a lighter file is its own thumbnail; kept
PRESIGNED_S = 60


class Picture(NamedTuple):
    data: bytes
    content_type: str


class Opened(NamedTuple):
    """A batch as it was committed at `seen_at`. parts: receipts by part."""

    batch: Batch
    store: Store
    order: Order
    parts: dict[int, Receipt]
    commit: Head
    seen_at: float


Files = dict[str, bytes | str]  # by item: the file, or the name of the object that it is


class Shelf:
    """most_bytes: of files of parts that are kept; the part read last is kept whatever its size."""

    def __init__(self, stores: Stores, most_bytes: int) -> None:
        self._stores, self._most_bytes = stores, most_bytes
        self._opened: dict[str, Opened] = {}
        self._parts: OrderedDict[tuple[str, int], Files] = OrderedDict()
        self._small: OrderedDict[str, Picture] = OrderedDict()
        self._lock, self._opening, self._reading = threading.RLock(), threading.Lock(), threading.Lock()

    def picture(self, item: str, small: bool = False) -> Picture | None:
        """None where the batch has it no more. Raises GenloopError for no item's name or an unknown batch."""
        opened = self._batch(batch_of(item))
        found = None if opened is None else self._file(opened, item)
        if opened is None or found is None:
            return None
        if small and (kept := self._small.get(item)):
            return kept
        data = opened.store.get(f"{home(opened.batch)}/{found}") if isinstance(found, str) else found
        if data is None:
            return None
        whole = Picture(data, MIME[opened.order.asked.image.format])
        return self._smaller(item, whole) if small else whole

    def address(self, item: str) -> str | None:
        """Of an item that is an object of its own, presigned; None where it is none, or not there."""
        opened = self._batch(batch_of(item))
        found = None if opened is None else self._file(opened, item)
        if opened is None or not isinstance(found, str):
            return None
        return opened.store.presigned(f"{home(opened.batch)}/{found}", PRESIGNED_S)

    def origin_of(self, batch: str) -> str | None:
        """An address as presigned ones of this batch's items are; None where items are no objects, or it is gone."""
        opened = self._batch(batch)
        if opened is None or opened.order.asked.layout != "files":
            return None
        return opened.store.presigned(f"{home(opened.batch)}/{COMMIT}", 1)

    def forget(self, batch: str) -> None:
        """Something of it was withdrawn: keep nothing of it."""
        with self._lock:
            self._opened.pop(batch, None)
            for key in [key for key in self._parts if key[0] == batch]:
                del self._parts[key]
            for item in [item for item in self._small if item.startswith(batch)]:
                del self._small[item]

    def _batch(self, name: str) -> Opened | None:
        """None where it is withdrawn. What is kept of it goes when it was committed anew since."""
        if fresh := self._fresh(name):
            return fresh
        with self._opening:  # once for all who ask at a moment: it takes a second for a large batch
            return self._fresh(name) or self._looked_at(name)

    def _fresh(self, name: str) -> Opened | None:
        kept = self._opened.get(name)
        return kept if kept and time.monotonic() - kept.seen_at < FRESH_S else None

    def _looked_at(self, name: str) -> Opened | None:
        kept = self._opened.get(name)
        batch = kept.batch if kept else find_batch(self._stores, name)
        store = self._stores(batch.bucket)
        commit, now = store.head(f"{home(batch)}/{COMMIT}"), time.monotonic()
        if kept and commit == kept.commit:
            opened: Opened | None = kept._replace(seen_at=now)
        else:
            self.forget(name)
            opened = None if commit is None else _open(store, batch, commit, now)
        if opened:
            self._opened[name] = opened
        return opened

    def _file(self, opened: Opened, item: str) -> bytes | str | None:
        part = part_of(opened.order, item)
        receipt, key = opened.parts.get(part), (opened.batch.id, part)
        if receipt is None:
            return None
        with self._lock:
            if key in self._parts:
                self._parts.move_to_end(key)
                return self._parts[key].get(item)
        with self._reading:  # one at a time: that many bytes are in memory at once
            with self._lock:
                files = self._parts.get(key)
            if files is None:
                files = _files(opened, receipt)
                self._keep(key, files)
        return files.get(item)

    def _keep(self, key: tuple[str, int], files: Files) -> None:
        with self._lock:
            self._parts[key] = files
            while len(self._parts) > 1 and sum(map(_bytes, self._parts.values())) > self._most_bytes:
                self._parts.popitem(last=False)

    def _smaller(self, item: str, whole: Picture) -> Picture:
        made = whole if len(whole.data) <= LIGHT_BYTES else _thumbnail(whole.data)
        with self._lock:
            self._small[item] = made
            if len(self._small) > MOST_SMALL:
                self._small.popitem(last=False)
        return made


def _open(store: Store, batch: Batch, commit: Head, now: float) -> Opened:
    manifest = read_manifest(store, batch)
    parts = {receipt.part: receipt for receipt in receipts_of(manifest)}
    return Opened(batch, store, order_of(manifest), parts, commit, now)


def _files(opened: Opened, receipt: Receipt) -> Files:
    """Of all items of a part. A file that is not what the table tells is left out."""
    store, batch, asked = opened.store, opened.batch, opened.order.asked
    rows = [row for one in receipt.named("items") for row in read_rows(read_object(store, batch, one.name))]
    if asked.layout == "files":
        form = asked.image.format
        return {r["item"]: layouts.file_name(receipt.part, r["item"], r["sha256"], form) for r in rows}
    blobs = [Blob(one.name, read_object(store, batch, one.name), "") for one in receipt.named("data")]
    pairs = zip(rows, layouts.contents(asked.layout, blobs), strict=True)
    return {row["item"]: data for row, data in pairs if hashlib.sha256(data).hexdigest() == row["sha256"]}


def _bytes(files: Files) -> int:
    return sum(map(len, files.values()))


def _thumbnail(data: bytes) -> Picture:
    from PIL import Image

    with _opened(data) as image:
        image.thumbnail((SMALL, SMALL), Image.Resampling.BOX)
        out = io.BytesIO()
        image.save(out, "PNG")
    return Picture(out.getvalue(), "image/png")


@contextmanager
def _opened(data: bytes):  # type: ignore[no-untyped-def]  # Pillow is imported late
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            yield image
    except OSError as error:
        raise GenloopError(
            f"an image can't be read: {error}", remedy="`genloop verify` tells what was altered"
        ) from None
