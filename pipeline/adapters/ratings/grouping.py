"""Group commit: what several threads want written at a moment is written in one transaction, durable for all."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, runtime_checkable

from sqlalchemy import Connection, Engine

MOST = 256  # calls in one transaction

Work = Callable[[Connection], Any]
Call = tuple[Work, Future[Any]]


@runtime_checkable
class Joinable(Protocol):
    """Work that is done faster together with others of its kind; all of them return None."""

    def __call__(self, connection: Connection) -> None: ...

    def join(self, others: Sequence[Any]) -> Work: ...


class GroupWriter:
    """One thread that writes. A call that fails leaves nothing, and does its neighbours no harm."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
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

    def _write(self, calls: list[Call]) -> None:
        done: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self._engine.begin() as connection:
                for some in _joined(calls):
                    done += _done(connection, some)
        except Exception as error:  # the transaction as a whole: nobody's is written
            done = [(future, None, error) for _, future in calls]
        for future, result, fault in done:
            if fault is None:
                future.set_result(result)
            else:
                future.set_exception(fault)


def _joined(calls: list[Call]) -> Iterator[list[Call]]:
    """Those that can be written at once, together; they came at one moment, so none was to be first."""
    together = [call for call in calls if isinstance(call[0], Joinable)]
    if together:
        yield together
    yield from ([call] for call in calls if not isinstance(call[0], Joinable))


def _done(connection: Connection, calls: list[Call]) -> list[tuple[Future[Any], Any, BaseException | None]]:
    """Together where that works, else one by one."""
    try:
        with connection.begin_nested():
            works = [work for work, _ in calls]
            joined = works[0].join(works[1:]) if isinstance(works[0], Joinable) else works[0]
            result = joined(connection)
        return [(future, result, None) for _, future in calls]
    except Exception as error:
        if len(calls) == 1:
            return [(calls[0][1], None, error)]
        return [told for call in calls for told in _done(connection, [call])]
