"""A Ray cluster of several machines' worth of processes on this one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def ray_cluster(machines: int, cores: int) -> Iterator[Any]:
    """Ray's Cluster; RAY_ADDRESS and GENLOOP_ENGINE lead to it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    named = {"RAY_ADDRESS": "", "GENLOOP_ENGINE": "ray"}
    before = {name: os.environ.get(name) for name in named}
    try:
        for _ in range(machines):
            cluster.add_node(num_cpus=cores, object_store_memory=200 * 2**20, include_dashboard=False)
        os.environ.update(named | {"RAY_ADDRESS": cluster.address})
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        for name, text in before.items():
            os.environ.pop(name) if text is None else os.environ.update({name: text})
