"""Of the machine: the workspace's disk, and GPUs where there are any."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import Metric

from flows.metrics.families import gauge, gauges


class Disk:
    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace

    def __call__(self) -> Iterator[Metric]:
        told = shutil.disk_usage(self._workspace)
        yield from gauge("disk_free_bytes", "Free on the workspace's disk.", told.free)
        yield from gauge("disk_size_bytes", "Of the workspace's disk.", told.total)


class Gpus:
    """By NVIDIA's own library; nothing where there is none."""

    def __init__(self) -> None:
        self._there: bool | None = None

    def __call__(self) -> Iterator[Metric]:
        import pynvml

        if self._there is None:
            self._there = _found()
        if not self._there:
            return
        values: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for index in range(pynvml.nvmlDeviceGetCount()):
            device = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(device)
            values["used"][str(index)], values["size"][str(index)] = memory.used, memory.total
            try:
                values["busy"][str(index)] = pynvml.nvmlDeviceGetUtilizationRates(device).gpu / 100
                values["watts"][str(index)] = pynvml.nvmlDeviceGetPowerUsage(device) / 1000
            except pynvml.NVMLError:  # a part of a GPU (MIG) has neither
                continue
        told = "Share of the last moments in which a GPU was at work."
        yield from gauges("gpu_utilization_ratio", told, ("gpu",), values["busy"])
        yield from gauges("gpu_memory_used_bytes", "Of a GPU's memory.", ("gpu",), values["used"])
        yield from gauges("gpu_memory_size_bytes", "A GPU's memory.", ("gpu",), values["size"])
        yield from gauges("gpu_power_watts", "That a GPU takes.", ("gpu",), values["watts"])


def _found() -> bool:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True
