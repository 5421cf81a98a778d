"""Group commit: what several threads want written at a moment is written in one transaction, durable for all."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from sqlalchemy import Connection, Engine

MOST = 256  # calls in one transaction

Work = Callable[[Connection], Any]


class GroupWriter:
    """One thread that writes. A call that fails leaves nothing, and does its neighbours no harm."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._calls: queue.SimpleQueue[tuple[Work, Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ratings", daemon=True)
        self._thread.start()

    def __call__(self, work: Work) -> Any:
        """Its result, once that is on the disk; its error, if it fails."""
        future: Future[Any] = Future()
        self._calls.put((work, future))
        return future.result()

    def close(self) -> None:
        self._calls.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._calls.get()) is not None:
            calls, last = [first], False
            while len(calls) < MOST and not self._calls.empty():
                more = self._calls.get()
                if more is None:
                    last = True
                    break
                calls.append(more)
            self._write(calls)
            if last:
                return

    def _write(self, calls: list[tuple[Work, Future[Any]]]) -> None:
        done: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self._engine.begin() as connection:
                for work, future in calls:
                    try:
                        with connection.begin_nested():
                            done.append((future, work(connection), None))
                    except Exception as error:
                        done.append((future, None, error))
        except Exception as error:  # the transaction as a whole: nobody's is written
            done = [(future, None, error) for _, future in calls]
        for future, result, fault in done:
            if fault is None:
                future.set_result(result)
            else:
                future.set_exception(fault)
