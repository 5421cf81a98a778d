"""Group commit: what several threads want written at a moment is written in one transaction, durable for all."""

from __future__ import annotations

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import OperationalError

from pipeline.adapters.ratings.tables import identity
from pipeline.errors import ServiceError

MOST = 256  # calls in one transaction
PAUSE, PAUSE_S = 0.25, 0.01  # the most that it waits for more: of the last transaction's time, and at all

Work = Callable[[Connection], Any]
Call = tuple[Work, Future[Any]]


class Joinable(ABC):
    """Work that is done faster together with others of its kind; all of them return None."""

    @abstractmethod
    def __call__(self, connection: Connection) -> None: ...

    @abstractmethod
    def join(self, others: Sequence[Any]) -> Work: ...


class GroupWriter:
    """One thread that writes. A call that fails leaves nothing, and does its neighbours no harm."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ratings", daemon=True)
        self._closing = threading.Lock()
        self._closed = False
        self._thread.start()

    def __call__(self, work: Work) -> Any:
        """Its result, once that is on the disk; its error, if it fails."""
        future: Future[Any] = Future()
        with self._closing:
            if self._closed:
                raise ServiceError("the feedback's database was closed")
            self._calls.put((work, future))
        return future.result()

    def close(self) -> None:
        """What was asked for before is written."""
        with self._closing:
            if not self._closed:
                self._calls.put(None)
            self._closed = True
        self._thread.join()

    def _run(self) -> None:
        calls: list[Call] = []
        took_s = 0.0
        while (first := self._calls.get()) is not None:
            calls, last = self._gather(first, len(calls), min(PAUSE * took_s, PAUSE_S))
            start = time.monotonic()
            self._write(calls)
            took_s = time.monotonic() - start
            if last:
                return

    def _gather(self, first: Call, expected: int, pause_s: float) -> tuple[list[Call], bool]:
        """What waits already. Those who had their answers just now have not all come back yet: of as many as there
        were, the last are waited for a little, which costs less than another commit."""
        calls, end = [first], time.monotonic() + pause_s
        while len(calls) < MOST:
            try:
                left = end - time.monotonic()
                more = self._calls.get(timeout=left) if len(calls) < expected and left > 0 else self._calls.get_nowait()
            except queue.Empty:
                break
            if more is None:
                return calls, True
            calls.append(more)
        return calls, False

    def _write(self, calls: list[Call]) -> None:
        done: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self._engine.begin() as connection:
                lock(connection)
                for some in _joined(calls):
                    done += _done(connection, some)
        except Exception as error:  # the transaction as a whole: nobody's is written
            done = [(future, None, error) for _, future in calls]
        for future, result, fault in done:
            if fault is None:
                future.set_result(result)
            else:
                future.set_exception(fault)


def lock(connection: Connection) -> None:
    """Other processes write after this transaction, so that what it reads stays, and positions are in order of the
    commits. SQLite has begun so."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(identity.c.position).with_for_update())


def _joined(calls: list[Call]) -> Iterator[list[Call]]:
    """Those that can be written at once, together; they came at one moment, so none was to be first."""
    together = [call for call in calls if isinstance(call[0], Joinable)]
    if together:
        yield together
    yield from ([call] for call in calls if not isinstance(call[0], Joinable))


def _done(connection: Connection, calls: list[Call]) -> list[tuple[Future[Any], Any, BaseException | None]]:
    """Together where that works, else one by one. A fault of the database itself is all calls': the transaction is
    gone with it, and what was written after that would stand alone."""
    works = [work for work, _ in calls]
    joined = works[0].join(works[1:]) if isinstance(works[0], Joinable) else works[0]
    nested = connection.begin_nested()
    try:
        result = joined(connection)
        nested.commit()
    except OperationalError:
        raise
    except Exception as error:
        nested.rollback()
        if len(calls) == 1:
            return [(calls[0][1], None, error)]
        return [told for call in calls for told in _done(connection, [call])]
    return [(future, result, None) for _, future in calls]
