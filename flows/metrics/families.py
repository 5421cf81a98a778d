"""Metrics with their labels, in one line each. A label has few values: what comes from outside is cut off at MOST."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

MOST = 50
Labelled = Mapping[str, float] | Mapping[tuple[str, ...], float]


def gauge(name: str, told: str, value: float | None) -> list[Metric]:
    """Nothing where it is not known."""
    return [] if value is None else [GaugeMetricFamily(f"genloop_{name}", told, value=value)]


def gauges(name: str, told: str, labels: tuple[str, ...], values: Labelled) -> list[Metric]:
    family = GaugeMetricFamily(f"genloop_{name}", told, labels=labels)
    for told_, value in list(values.items())[:MOST]:
        family.add_metric((told_,) if isinstance(told_, str) else told_, value)
    return [family]


def counter(name: str, told: str, value: float) -> list[Metric]:
    """name: without `_total`."""
    return [CounterMetricFamily(f"genloop_{name}", told, value=value)]


def counters(name: str, told: str, labels: tuple[str, ...], values: Labelled) -> list[Metric]:
    """name: without `_total`."""
    family = CounterMetricFamily(f"genloop_{name}", told, labels=labels)
    for told_, value in list(values.items())[:MOST]:
        family.add_metric((told_,) if isinstance(told_, str) else told_, value)
    return [family]
