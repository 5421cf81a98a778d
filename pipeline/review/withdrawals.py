"""An expert's concern takes its item out of the batch at once; what a killed server left is ended by the next."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from pipeline.adapters.ratings import Ratings
from pipeline.errors import GenloopError
from pipeline.generate.batches import Stores, find_batch, is_committed
from pipeline.generate.find import batch_of
from pipeline.generate.release import Withdrawal
from pipeline.marks.signer import Signer
from pipeline.review.told import Withdrawn
from pipeline.reviews import Verdict

LOG = logging.getLogger("genloop.review")
AGAIN_S, STOP_S = 20.0, 5.0
Withdraw = Callable[[Verdict], None]


def withdrawer(stores: Stores, signer: Signer, certificates: bytes) -> Withdraw:
    """Of an item by an expert's verdict; returns where it is withdrawn, by this call or before."""

    def withdraw(verdict: Verdict) -> None:
        from pipeline.generate.verify import read_release
        from pipeline.generate.withdraw import withdraw_item  # with torch

        batch = find_batch(stores, batch_of(verdict.item))
        store = stores(batch.bucket)
        why = f"{verdict.concern}: {verdict.note}" if verdict.note else verdict.concern
        at = verdict.at.isoformat(timespec="seconds")
        told = Withdrawal(item=verdict.item, at=at, by=verdict.reviewer, why=why)
        if not is_committed(store, batch):
            return
        try:
            withdraw_item(store, batch, verdict.item, told, signer, certificates)
        except GenloopError:
            if all(one.item != verdict.item for one in read_release(store, batch, certificates).withdrawn):
                raise

    return withdraw


class Withdrawals:
    """Of items that experts raised a concern about; one at a time. gone: told of each batch that lost an item."""

    def __init__(self, ratings: Ratings, withdraw: Withdraw, gone: Callable[[str], None]) -> None:
        self._ratings, self._withdraw, self._gone = ratings, withdraw, gone
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="withdrawals", daemon=True)

    def raised(self, verdict: Verdict) -> Withdrawn:
        """Withdraw it now; where that fails, it is tried again until it is done."""
        self._gone(batch_of(verdict.item))
        with self._lock:
            error = self._done(verdict)
        return Withdrawn(item=verdict.item, withdrawn=not error, error=error)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(STOP_S)

    def _go_on(self) -> None:
        while True:
            try:
                for verdict in self._ratings.open_concerns():
                    with self._lock:
                        self._done(verdict)
            except GenloopError as error:
                LOG.warning("open concerns can't be read: %s", error)
            if self._ended.wait(AGAIN_S):
                return

    def _done(self, verdict: Verdict) -> str:
        """Why it could not be done; nothing where it was."""
        try:
            self._withdraw(verdict)
            self._ratings.close_concern(verdict.item)
        except GenloopError as error:
            LOG.warning("%s is hidden, but not withdrawn yet: %s", verdict.item, error)
            return error.what
        finally:
            self._gone(batch_of(verdict.item))
        LOG.info("%s was withdrawn by %s: %s", verdict.item, verdict.reviewer, verdict.concern)
        return ""
