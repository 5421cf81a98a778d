"""Sources of figures as one of prometheus_client's collectors: one that fails takes no other with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import Lock

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Source = Callable[[], Iterable[Metric]]


class Sources(Collector):
    """One scrape at a time: sources keep what they have read."""

    def __init__(self, sources: Mapping[str, Source], tell: Callable[[str], None] = lambda line: None) -> None:
        """tell: of a source that fails, once for each fault."""
        self._sources, self._tell, self._lock = sources, tell, Lock()
        self._told: dict[str, str] = {}

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("genloop_collector_up", "Whether a source of figures could be read.", labels=["source"])
        took = GaugeMetricFamily("genloop_collector_seconds", "How long reading a source took.", labels=["source"])
        with self._lock:
            for name, source in self._sources.items():
                start = time.perf_counter()
                found = self._read(name, source)
                up.add_metric([name], found is not None)
                took.add_metric([name], time.perf_counter() - start)
                yield from found or ()
        yield from (up, took)

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is shows when it is asked for."""
        return ()

    def _read(self, name: str, source: Source) -> list[Metric] | None:
        try:
            found = list(source())
        except Exception as error:  # whatever is broken there, the others are well
            told = f"metrics: {name}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            if self._told.get(name) != told:
                self._tell(told)
            self._told[name] = told
            return None
        self._told.pop(name, None)
        return found
