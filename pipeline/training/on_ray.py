"""A training by processes on a Ray cluster: Ray Train starts them, and starts them again where one of them is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.cluster import connected, look_for
from pipeline.errors import GenloopError, ServiceError
from pipeline.training.ranks import PeerEnded, launched

RESTARTS = 3  # each goes on from the last checkpoint, with as many processes as the cluster then has room for


def gpus() -> int:
    """Of the whole cluster. Raises ServiceError where none answers."""
    return int(connected().cluster_resources().get("GPU", 0))


def take_part_on_ray(take_part: Callable[[], object], workspace: Path, processes: int) -> None:
    """`take_part` in each of `processes` processes, as torchrun would have started it, in the workspace.

    Raises what the first of them raises, ServiceError where processes were lost again and again.
    """
    connected()
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import LoggingConfig

    on_gpus = gpus() > 0
    trainer = TorchTrainer(
        _part,
        train_loop_config={"take_part": take_part, "workspace": workspace},
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if on_gpus else "gloo"),
        scaling_config=ScalingConfig(num_workers=(1, processes), use_gpu=on_gpus),
        run_config=RunConfig(
            name="train",
            storage_path=str(workspace / "runs/ray"),
            failure_config=FailureConfig(max_failures=RESTARTS),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )
    try:
        error = trainer.fit().return_value
    except TrainingFailedError as failure:
        what = f"processes of the training were lost {RESTARTS + 1} times: {str(failure).splitlines()[-1][:200]}"
        raise ServiceError(what, where="Ray", remedy="run again: it goes on from its last checkpoint") from failure
    if error is not None:
        raise error


def _part(told: dict[str, Any]) -> GenloopError | None:
    """In one of the processes. An error that a new start would not mend is given back, and not raised."""
    os.chdir(told["workspace"])
    look_for(told["workspace"])
    place = launched()
    try:
        told["take_part"]()
    except PeerEnded:
        if place and place.first:
            raise
    except GenloopError as error:
        return error
    return None
